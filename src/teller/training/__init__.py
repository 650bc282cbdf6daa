"""Training: what ships with Teller was made by these commands, seeded and repeatable."""
