"""Stores: what is kept on disk or in a database, behind the ports."""
