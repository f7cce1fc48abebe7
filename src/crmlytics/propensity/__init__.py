"""Who buys what, or responds, within a horizon."""
