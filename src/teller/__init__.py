"""Teller: a voicebot orchestrator for banks."""

__version__ = "0.1.0"
