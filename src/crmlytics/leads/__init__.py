"""Which prospects become customers, and where the pipeline loses them."""
