"""After campaigns: plan beside result, what worked for whom, what a programme earns."""
