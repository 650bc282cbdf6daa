"""What the turn log amounts to over days, for people: one page with pictures, and the same numbers as plain data."""
