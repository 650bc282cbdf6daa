"""Broken adapters: which ones are refused, and what PEFT does with the same folders; and how long the checks take.

    python -m benchmarks.adapter_faults [--records 100000] [--json]

A random Mistral of two layers gets an adapter with PEFT, and a copy of its folder is spoiled in one way for each fault.
Unless the fault is about signature or files, the manifest is made and signed anew for the spoiled files: what has to
find the fault is the check of its kind. PEFT loads each folder on the same base model; "in silence" means without an
error and without a warning. Then the cost: an adapter's checks at the size of a small and of a 7 B model, and the audit
log.

Targets: every fault refused, the right adapter taken; 100,000 audit records verified in less than 1 s.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import MistralConfig, MistralForCausalLM

from benchmarks.cache_parts import machine, report
from teller.adapters.audit import AuditLog
from teller.adapters.manifest import Manifest, digest_of, signed
from teller.adapters.registry import Registry
from teller.adapters.tensors import TensorFile, tensor_digests
from teller.adapters.weights import MODEL_FILE, BaseShapes, check_folder
from teller.errors import TellerError
from teller.ports import Fingerprint
from teller.stores.signing import Ed25519Signer

NAME = "banking-lora"
TOKENS = torch.arange(1, 33)[None, :]
Tensors = dict[str, torch.Tensor]
Settings = dict[str, Any]


def base_model(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    MistralForCausalLM(config).save_pretrained(folder)


def right_adapter(folder: Path, base: Path) -> None:
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(MistralForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, matrix in model.named_parameters():
            if "lora_B" in name:
                matrix.normal_(std=0.5)
    model.save_pretrained(str(folder))


def manifest_for(folder: Path, base: Path) -> Manifest:
    """A manifest that agrees with the folder, whatever is in it."""
    with TensorFile(folder / MODEL_FILE) as file:
        tensors = file.digests()
    stored = tensor_digests(base)
    said = Fingerprint((("a",),), ((-1.0,),))
    return Manifest(
        name=NAME,
        base_name="random",
        base_digest=digest_of(stored),
        base_tensors=stored,
        adapter_tensors=tensors,
        trained=tuple(tensors),
        config=json.loads((folder / "adapter_config.json").read_bytes()),
        data_sha256="0" * 64,
        code_version="benchmark",
        seed=1,
        recipe={},
        parent=None,
        metrics={},
        seconds=0.0,
        made_at=0.0,
        fingerprint_questions=("?",),
        fingerprint_base=said,
        fingerprint_on=said,
    )


def on_tensors(change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = change(load_file(folder / MODEL_FILE))
        save_file({name: each.contiguous() for name, each in tensors.items()}, folder / MODEL_FILE)

    return spoil


def on_settings(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))

    return spoil


def filled(part: str, value: float, *, rows: slice = slice(None)) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        for name, tensor in tensors.items():
            if part in name:
                tensor[rows] = value
        return tensors

    return change


def to_pickle(folder: Path) -> None:
    torch.save(load_file(folder / MODEL_FILE), folder / "adapter_model.bin")
    (folder / MODEL_FILE).unlink()


def to_link(folder: Path) -> None:
    outside = folder.parent / f"{folder.name}-outside"
    (folder / MODEL_FILE).rename(outside)
    (folder / MODEL_FILE).symlink_to(outside)


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / MODEL_FILE).read_bytes())
    content[-3] ^= 1
    (folder / MODEL_FILE).write_bytes(content)


def cut_off(folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes((folder / MODEL_FILE).read_bytes()[:-8])


def rank_twice(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_text(path.read_text().replace('"r": 4,', '"r": 8, "r": 4,'))


def nothing(folder: Path) -> None:
    """The fault is elsewhere."""


STEM = "base_model.model.model.layers.0.self_attn.q_proj"
FAULTS: Mapping[str, Callable[[Path], None]] = {
    "another base model of the same shapes": nothing,
    "unsigned": nothing,
    "signed by a stranger": nothing,
    "one bit of a weight changed": flip_a_bit,
    "wrong module prefix": on_tensors(lambda old: {name.replace("model.model.", "model."): old[name] for name in old}),
    "only layer 0": on_tensors(lambda old: {name: old[name] for name in old if "layers.0" in name}),
    "only lora_A": on_tensors(lambda old: {name: old[name] for name in old if "lora_A" in name}),
    "one target too few in the file": on_tensors(lambda old: {name: old[name] for name in old if "q_proj" in name}),
    "NaN": on_tensors(filled(f"{STEM}.lora_B", float("nan"))),
    "all-zero lora_B": on_tensors(filled("lora_B", 0.0)),
    "half of the rows zero (a lost shard)": on_tensors(filled("lora_B", 0.0, rows=slice(0, 8))),
    "rank of the configuration is another": on_settings(r=8),
    "a rank given twice": rank_twice,
    "pickle": to_pickle,
    "a link out of the folder": to_link,
    "cut off": cut_off,
    "DoRA": on_tensors(lambda old: old | {f"{STEM}.lora_magnitude_vector": torch.ones(32)}),
    "a whole module saved": on_tensors(lambda old: old | {"base_model.model.lm_head.weight": torch.zeros(64, 32)}),
    "a bias saved": on_tensors(lambda old: old | {f"{STEM}.base_layer.bias": torch.ones(32)}),
    "initialised from the base (PiSSA)": on_settings(init_lora_weights="pissa"),
    "biases trained": on_settings(bias="all"),
    "a pattern of ranks": on_settings(rank_pattern={"q_proj": 4}),
}


def asked_of_teller(folder: Path, base: Path, home: Path, signer: Ed25519Signer) -> str:
    """Empty if the adapter would be served, else the reason why not."""
    registry = Registry(home)
    try:
        installed = registry.import_folder(folder, NAME)
        registry.verify(installed, signer, base=BaseShapes.read(base), base_digest=digest_of(tensor_digests(base)))
    except TellerError as exc:
        return str(exc)
    return ""


def asked_of_peft(folder: Path, model: Any, plain: torch.Tensor) -> str:
    with warnings.catch_warnings(record=True) as warned, torch.no_grad():
        warnings.simplefilter("always")
        try:
            found = PeftModel.from_pretrained(model, folder).eval()(TOKENS).logits
        except Exception as exc:  # noqa: BLE001 - whatever it refuses with
            return f"refused: {type(exc).__name__}"
    told = "warned" if any("peft" in str(one.filename) for one in warned) else "in silence"
    if not torch.isfinite(found).all():
        return f"served {told}: answers NaN"
    return f"served {told}: {'the base model answers' if torch.equal(found, plain) else 'other answers'}"


def catalogue(work: Path) -> dict[str, Any]:
    """Every fault, as Teller and as PEFT take it."""
    base, other = work / "base", work / "other"
    base_model(base, seed=0)
    base_model(other, seed=9)
    signer, stranger = Ed25519Signer(work / "keys"), Ed25519Signer(work / "elsewhere")
    rows: dict[str, Any] = {}
    for at, (fault, spoil) in enumerate({"none: a right adapter": nothing, **FAULTS}.items()):
        folder = work / f"adapter-{at}"
        right_adapter(folder, base)
        manifest = manifest_for(folder, base)
        spoil(folder)
        if spoil not in (cut_off, flip_a_bit, rank_twice, to_pickle, to_link):
            manifest = manifest_for(folder, base)
        key = stranger if "stranger" in fault else signer
        sealed = manifest if fault == "unsigned" else signed(manifest, key)
        (folder / "manifest.json").write_bytes(sealed.to_json())
        served_on = other if "another base" in fault else base
        reason = asked_of_teller(folder, served_on, work / "adapters", signer)
        model: Any = MistralForCausalLM.from_pretrained(served_on)
        model.eval()
        with torch.no_grad():
            plain = model(TOKENS).logits.clone()
        rows[fault] = {
            "teller": f"refused: {reason}" if reason else "served",
            "peft": asked_of_peft(folder, model, plain),
        }
    return rows


def check_times(work: Path) -> dict[str, Any]:
    """Milliseconds of one `check_folder`, all linear modules, rank 16."""
    found = {}
    for label, layers, width, narrow, wide in (("teller-nano size", 4, 192, 96, 512), ("7 B", 32, 4096, 1024, 14336)):
        sizes = {"q": (width, width), "k": (narrow, width), "v": (narrow, width), "o": (width, width)}
        shapes = {f"self_attn.{key}_proj": size for key, size in sizes.items()}
        shapes |= {f"mlp.{key}_proj": (wide, width) for key in ("gate", "up")} | {"mlp.down_proj": (width, wide)}
        base = BaseShapes({f"model.layers.{n}.{name}": size for n in range(layers) for name, size in shapes.items()})
        tensors = {}
        for module, (out, into) in base.modules.items():
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(16, into, dtype=torch.bfloat16)
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(out, 16, dtype=torch.bfloat16)
        folder = work / f"size-{layers}"
        folder.mkdir()
        save_file(tensors, folder / MODEL_FILE)
        names = [name.split(".")[1] for name in shapes]
        settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16, "lora_alpha": 32, "target_modules": names}
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            check_folder(folder, base=base)
            spent.append(1000 * (time.perf_counter() - start))
        found[label] = {"MB": round((folder / MODEL_FILE).stat().st_size / 1e6, 1), "ms": round(min(spent), 1)}
    return found


def long_log(path: Path, records: int) -> None:
    """A log as `AuditLog` writes it, but flushed once; the format is spelled out, apart from the code."""
    before, lines = "0" * 64, []
    for seq in range(1, records + 1):
        body = {"who": "anna", "why": f"ticket {seq}", "old": None, "new": f"{NAME}@{seq:012x}", "evidence": "e" * 64}
        fields = {"at": float(seq), "kind": "enable", "body": body, "prev": before}
        content = f'{{"seq":{seq},{json.dumps(fields, separators=(",", ":"), sort_keys=False)[1:-1]}'
        before = hashlib.sha256(content.encode()).hexdigest()
        lines.append(f'{content},"hash":"{before}"}}\n')
    path.write_text("".join(lines))
    head = {"seq": records, "hash": before, "public_key": "", "signature": ""}
    path.with_name(f"{path.name}.head").write_text(json.dumps(head))


def audit_times(work: Path, records: int) -> dict[str, Any]:
    path = work / "audit.jsonl"
    long_log(path, records)
    log = AuditLog(path)
    verify, busy, append = [], [], []
    for _ in range(3):
        start, start_cpu = time.perf_counter(), time.process_time()
        if log.verify() != records:
            raise SystemExit("the log has another number of records")
        verify.append(time.perf_counter() - start)
        busy.append(time.process_time() - start_cpu)
    start = time.perf_counter()
    for _ in range(10_000):
        log.head()
    head = (time.perf_counter() - start) / 10_000
    for at in range(50):
        start = time.perf_counter()
        log.append("disable", {"who": "anna", "why": "trial"}, at=float(at))
        append.append(time.perf_counter() - start)
    return {
        "records": records,
        "MB": round(path.stat().st_size / 1e6, 1),
        "verify_s": round(min(verify), 3),
        "verify_s_worst_of_3": round(max(verify), 3),
        "verify_processor_s": round(min(busy), 3),
        "head_us": round(1e6 * head, 2),
        "append_ms_p50": round(1000 * float(np.median(append)), 2),
        "spoiled_records_found": f"{spoiled_found(path)} of 300",
    }


def spoiled_found(path: Path, tries: int = 300) -> int:
    """How many of random changes, removals, repetitions and swaps of records `verify` finds, in a log of 1,000."""
    short = path.with_name("short.jsonl")
    long_log(short, 1000)
    lines, draw, found = short.read_bytes().splitlines(keepends=True), np.random.default_rng(0), 0
    for number in range(tries):
        at, to = (int(one) for one in draw.choice(1000, 2, replace=False))
        spoiled = list(lines)
        match number % 4:
            case 0:
                byte = int(draw.integers(len(lines[at])))
                spoiled[at] = lines[at][:byte] + bytes([lines[at][byte] ^ 1]) + lines[at][byte + 1 :]
            case 1:
                del spoiled[at]
            case 2:
                spoiled.insert(to, lines[at])
            case _:
                spoiled[at], spoiled[to] = lines[to], lines[at]
        short.write_bytes(b"".join(spoiled))
        try:
            AuditLog(short).verify()
        except TellerError:
            found += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        rows = catalogue(work)
        faults = [row for name, row in rows.items() if not name.startswith("none")]
        found = {
            "machine": machine(),
            "faults": rows,
            "refused_by_teller": f"{sum(row['teller'].startswith('refused') for row in faults)} of {len(faults)}",
            "refused_by_peft": f"{sum(row['peft'].startswith('refused') for row in faults)} of {len(faults)}",
            "served_by_peft_in_silence": f"{sum('in silence' in row['peft'] for row in faults)} of {len(faults)}",
            "check_folder": check_times(work),
            "audit": audit_times(work, args.records),
        }
    report(found, as_json=args.json)


if __name__ == "__main__":
    main()
