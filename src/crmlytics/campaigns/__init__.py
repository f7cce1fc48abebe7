"""Campaigns, the closed loop: whom to contact, whom to hold out, what it did, and what to do next."""
