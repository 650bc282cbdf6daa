import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.test_lora import made_recipe
from tests.training.tiny_chats import conversations, tiny_mistral, write_jsonl

from teller.adapters.weights import MODEL_FILE
from teller.training.lora import train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
ROOT = Path(__file__).parents[2]


def test_two_processes_train_what_one_does(tmp_path):
    base = tiny_mistral(tmp_path / "tiny")
    write_jsonl(tmp_path / "data.jsonl", conversations(30))
    write_jsonl(tmp_path / "replay.jsonl", conversations(20, about="the"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = [str(Path(__file__).parent / "train_in_processes.py"), str(base), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    done = subprocess.run([*command, *script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    alone = train(made_recipe(base, tmp_path, output=tmp_path / "alone", epochs=1, dropout=0.0))

    told = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            told |= json.loads(line)
    for way in ("ddp", "fsdp2"):
        assert told[way] == pytest.approx(alone.losses, rel=1e-4)
        shared, one = load_file(tmp_path / way / MODEL_FILE), load_file(alone.folder / MODEL_FILE)
        for name, matrix in one.items():
            torch.testing.assert_close(shared[name], matrix, atol=1e-3, rtol=1e-2)
