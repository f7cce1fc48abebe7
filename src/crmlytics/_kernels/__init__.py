"""Numbers on plain arrays: no dataframes, no classes with state. Everything above stands on these functions."""
