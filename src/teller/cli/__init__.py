"""Command lines: parse, call, print; no decisions."""
