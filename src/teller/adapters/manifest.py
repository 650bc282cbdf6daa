"""What is known of an adapter: base model, data, recipe, proof, metrics and signature, in one canonical JSON document.

The signature is over `Manifest.body()`, so the document is written in one way only: sorted keys, no spaces, UTF-8. What
is read is checked key by key; a key too many is refused too, for a signature must cover all that anybody reads.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NoReturn

from teller.errors import InputError
from teller.ports import Fingerprint, Signer

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")  # to be matched whole
MAX_MANIFEST_BYTES = 32 << 20  # a base model of 100,000 tensors needs about 15 MB
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is known of one version of an adapter.

    Attributes:
        name: of the adapter, as `NAME` wants it.
        base_name: of the base model, for people; `base_digest` is what binds.
        base_digest: `digest_of(base_tensors)`, equal to `AdapterHost.base_digest` of a host that can serve it.
        base_tensors: SHA-256 of every tensor of the base model, after training, by its name.
        adapter_tensors: SHA-256 of every tensor of adapter_model.safetensors, by its name there.
        trained: names of the parameters that were trained, as the training loop saw them.
        config: LoRA configuration, as in adapter_config.json.
        data_sha256: of the training data, as it was read.
        recipe: what else a training run needs to be repeated.
        parent: digest of the adapter that this one continues, None if it began at zero.
        metrics: held-out loss and the like, by name.
        seconds: that training took.
        made_at: Unix time in seconds.
        fingerprint_questions: asked to prove that the adapter is applied; one row of each fingerprint for each.
        fingerprint_base: what the base model says to them, `fingerprint_on`: what the adapter makes of it.
        signature: of `body()`, 64 bytes in hexadecimal; empty before it is signed.
        public_key: that the signature is checked with, 32 bytes in hexadecimal; part of the body.

    Raises:
        InputError: if a name, a digest or a fingerprint is none; the message names the key.
    """

    name: str
    base_name: str
    base_digest: str
    base_tensors: Mapping[str, str]
    adapter_tensors: Mapping[str, str]
    trained: tuple[str, ...]
    config: Mapping[str, Any]
    data_sha256: str
    code_version: str
    seed: int
    recipe: Mapping[str, Any]
    parent: str | None
    metrics: Mapping[str, float]
    seconds: float
    made_at: float
    fingerprint_questions: tuple[str, ...]
    fingerprint_base: Fingerprint
    fingerprint_on: Fingerprint
    signature: str = ""
    public_key: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        for key in ("base_tensors", "adapter_tensors"):
            for tensor, digest in getattr(self, key).items():
                _want_sha256(f"{key}[{tensor!r}]", digest)
        for name in (*self.adapter_tensors, *self.trained):
            if not name.isprintable():
                _refuse("trained or adapter_tensors", repr(name[:80]), "names that can be printed")
        if self.base_digest != digest_of(self.base_tensors):
            _refuse("base_digest", f"{self.base_digest[:80]!r}", "the digest of base_tensors")
        _want_sha256("data_sha256", self.data_sha256)
        if self.parent is not None:
            _want_sha256("parent", self.parent)
        for key in ("fingerprint_base", "fingerprint_on"):
            _want_rows(key, getattr(self, key), len(self.fingerprint_questions))

    def body(self) -> bytes:
        """What the signature is over: all but the signature itself."""
        content = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "signature"}
        return canonical_json(content)

    def to_json(self) -> bytes:
        """The whole document; equal manifests give equal bytes.

        Raises:
            InputError: if config, recipe or metrics hold what JSON cannot (NaN, an object of Python).
        """
        return canonical_json({field.name: getattr(self, field.name) for field in fields(self)})


def signed(manifest: Manifest, signer: Signer) -> Manifest:
    """The manifest with the signer's public key and signature, in place of those that it had."""
    mine = replace(manifest, public_key=signer.public_key.hex(), signature="")
    return replace(mine, signature=signer.sign(mine.body()).hex())


def read_manifest(data: bytes) -> Manifest:
    """The manifest of its JSON.

    Raises:
        InputError: naming the key, for whatever `Manifest.to_json` would not have written.
    """
    content = parse_json(data, "manifest.json", max_bytes=MAX_MANIFEST_BYTES)
    if not isinstance(content, dict):
        raise InputError("manifest.json: not an object; wanted the manifest of an adapter")
    for key in sorted(_READERS.keys() ^ content.keys()):
        _refuse(
            key if key.isprintable() else ascii(key),
            "nothing" if key in _READERS else "a key",
            "just the keys that a manifest has",
        )
    read = {}
    for key, reader in _READERS.items():
        try:
            read[key] = reader(content[key])
        except (TypeError, ValueError, KeyError, OverflowError) as exc:
            raise InputError(f"manifest.json: {key}: {str(exc)[:200]}") from exc
    manifest = Manifest(**read)
    if manifest.to_json() != data:
        raise InputError("manifest.json: not in canonical form (sorted keys, no spaces, UTF-8): it was edited")
    return manifest


def check_name(name: str) -> str:
    """The name, if it is one that an adapter may have: it becomes part of a path and of a served name.

    Raises:
        InputError: if it is not.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} is no name of an adapter; wanted 1 to 63 of a-z, 0-9 and '-', the first no '-'"
        )
    return name


def digest_of(digests: Mapping[str, str]) -> str:
    """One SHA-256 for a set of named ones: over "name, NUL, sha256, newline", sorted by name.

    Raises:
        InputError: if a name has a character that cannot be printed: two sets could have one digest.
    """
    total = hashlib.sha256()
    for name in sorted(digests):
        if not name.isprintable():
            raise InputError(f"{name[:80]!r}: wanted a name that can be printed")
        total.update(f"{name}\0{digests[name]}\n".encode())
    return total.hexdigest()


def tensor_digest(
    dtype: str, shape: Sequence[int], data: bytes | bytearray | memoryview | Iterable[bytes | memoryview]
) -> str:
    """SHA-256 of a tensor, whatever its name: over dtype, shape and its raw bytes, in one piece or in several.

    Args:
        dtype: as safetensors names it: "F32", "BF16", "U8", ...
        shape: () for a scalar.
        data: little-endian, row by row.
    """
    total = hashlib.sha256(f"{dtype}[{','.join(map(str, shape))}]\n".encode())
    for piece in (data,) if isinstance(data, bytes | bytearray | memoryview) else data:
        total.update(piece)
    return total.hexdigest()


def canonical_json(content: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: the one way in which a document that is signed or hashed is written.

    Raises:
        InputError: if it holds what JSON cannot: NaN, infinity, half a surrogate pair, an object of Python.
    """
    try:
        text = json.dumps(
            content, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise InputError(f"it cannot be written as JSON: {str(exc)[:200]}") from exc


def parse_json(data: bytes, source: str, *, max_bytes: int) -> Any:
    """JSON as a standard has it: UTF-8, no key twice, no NaN, not nested without end.

    Raises:
        InputError: naming the source, for anything else.
    """
    if len(data) > max_bytes:
        raise InputError(f"{source}: {len(data)} bytes; wanted at most {max_bytes}")
    try:
        return json.loads(data.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise InputError(f"{source}: not UTF-8 at byte {exc.start}") from exc
    except (ValueError, RecursionError) as exc:
        raise InputError(f"{source}: not JSON: {str(exc)[:200]}") from exc


def _refuse(key: str, found: str, wanted: str) -> NoReturn:
    raise InputError(f"manifest.json: {key}: found {found}; wanted {wanted}")


def _want_sha256(key: str, digest: str) -> None:
    if not _SHA256.fullmatch(digest):
        _refuse(key, repr(digest[:80]), "a SHA-256 in hexadecimal")


def _want_rows(key: str, fingerprint: Fingerprint, rows: int) -> None:
    if [len(row) for row in fingerprint.tokens] != [len(row) for row in fingerprint.logprobs]:
        _refuse(key, "tokens and logprobs of other lengths", "a log-probability for each token")
    if len(fingerprint.tokens) != rows:
        _refuse(key, f"{len(fingerprint.tokens)} rows", f"one for each of the {rows} fingerprint_questions")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {twice[:80]!r} twice")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Fingerprint):
        return {"tokens": value.tokens, "logprobs": value.logprobs}
    raise TypeError(f"a {type(value).__name__} is not plain data")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("wanted a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(one) for one in _list(value))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("wanted a list")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("wanted an object")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("wanted a finite number")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("wanted a whole number")
    return value


def _hexadecimal(length: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value and not re.fullmatch(rf"[0-9a-f]{{{2 * length}}}", _text(value)):
            raise ValueError(f"wanted {length} bytes in hexadecimal, or nothing")
        return _text(value)

    return read


def _fingerprint(value: Any) -> Fingerprint:
    content = _object(value)
    if content.keys() != {"tokens", "logprobs"}:
        raise KeyError("wanted tokens and logprobs")
    logprobs = tuple(tuple(_number(one) for one in _list(row)) for row in _list(content["logprobs"]))
    return Fingerprint(tuple(_texts(row) for row in _list(content["tokens"])), logprobs)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "name": _text,
    "base_name": _text,
    "base_digest": _text,
    "base_tensors": lambda value: {name: _text(digest) for name, digest in _object(value).items()},
    "adapter_tensors": lambda value: {name: _text(digest) for name, digest in _object(value).items()},
    "trained": _texts,
    "config": _object,
    "data_sha256": _text,
    "code_version": _text,
    "seed": _whole,
    "recipe": _object,
    "parent": lambda value: None if value is None else _text(value),
    "metrics": lambda value: {name: _number(figure) for name, figure in _object(value).items()},
    "seconds": _number,
    "made_at": _number,
    "fingerprint_questions": _texts,
    "fingerprint_base": _fingerprint,
    "fingerprint_on": _fingerprint,
    "signature": _hexadecimal(64),
    "public_key": _hexadecimal(32),
}
