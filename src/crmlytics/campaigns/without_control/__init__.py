"""What can be said of a campaign that held nobody out, and what cannot."""
