"""Point-in-time panels: features strictly before a cutoff, labels strictly after it."""
