"""LoRA adapters: kept by content, proved to be LoRA and nothing else, signed, gated, and toggled on a live system."""
