"""Before a campaign: goals, who is due, who may be contacted, how many it takes, and who is dealt to which arm."""
