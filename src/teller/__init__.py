"""Teller: a voicebot orchestrator for banks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teller.training.lora import load_lora_model

__version__ = "0.1.0"
__all__ = ["__version__", "load_lora_model"]


def __getattr__(name: str) -> Any:
    """`load_lora_model`, from `teller.training.lora`: importing Teller alone loads nothing of it."""
    if name == "load_lora_model":
        return importlib.import_module("teller.training.lora").load_lora_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
