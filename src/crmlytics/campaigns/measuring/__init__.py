"""What a campaign did, against its control group: effects, returns, over time."""
