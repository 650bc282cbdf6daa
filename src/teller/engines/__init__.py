"""Engines: one third-party library per file, behind the ports."""
