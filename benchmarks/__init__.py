"""Benchmarks: each a module with one command, `python -m benchmarks.NAME`."""
