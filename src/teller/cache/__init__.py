"""The semantic cache: one log, derived indexes, guards, consensus and a certified bound."""
