"""Whom to contact with which offer, under a budget, and what to expect of it."""
