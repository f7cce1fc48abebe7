"""What the commands are made of; :mod:`crmlytics.cli` is their door. Nothing heavy is imported at the top of a file."""
