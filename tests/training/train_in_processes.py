"""Run under torchrun: trains the same recipe by DDP and by FSDP2 and prints the losses of both."""

import json
import os
import sys
from pathlib import Path

from tests.training.test_lora import made_recipe

from teller.training.lora import train

base, folder = Path(sys.argv[1]), Path(sys.argv[2])
for name, changes in {"ddp": {}, "fsdp2": {"shard": True}}.items():
    trained = train(made_recipe(base, folder, output=folder / name, epochs=1, rows_at_once=1, dropout=0.0, **changes))
    if os.environ["RANK"] == "0":
        sys.stdout.write(json.dumps({name: trained.losses}) + "\n")
