"""What the gate found about one version, signed, beside the versions: what `enable` demands.

It speaks for one adapter on one base model and one set of cases; a change of any of them, or too much time, and the
gate is asked again.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from teller.adapters.durable import write_flushed
from teller.adapters.ledger import Version
from teller.adapters.manifest import canonical_json, parse_json
from teller.errors import InputError, StoreCorrupt, StoreError
from teller.ports import Signer

_MAX_BYTES = 16 << 20
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One evaluation.

    Attributes:
        adapter: digest of the version that was evaluated.
        base_digest: of the base model that it was compared with.
        cases_sha256: of the cases that both were asked.
        passed: the gate's verdict.
        reasons: why not, empty if it passed.
        verdict: the gate's figures, as it wrote them.
        at: Unix time in seconds.
        by: who had it evaluated.
    """

    adapter: str
    base_digest: str
    cases_sha256: str
    passed: bool
    reasons: tuple[str, ...]
    verdict: Mapping[str, Any]
    at: float
    by: str
    public_key: str = ""
    signature: str = ""

    def body(self) -> bytes:
        """What the signature is over."""
        return canonical_json({**asdict(self), "signature": ""})


class EvidenceStore:
    """One file for each version, the newest evaluation in it."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self._folder = folder
        self._signer = signer

    def keep(self, evidence: Evidence) -> Evidence:
        """Sign it and keep it in place of the one before; gives it signed.

        Raises:
            StoreError: if it cannot be written; the one before is kept.
        """
        mine = replace(evidence, public_key=self._signer.public_key.hex(), signature="")
        mine = replace(mine, signature=self._signer.sign(mine.body()).hex())
        path = self._path(evidence.adapter)
        beside = path.with_name(f".{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_flushed(beside, canonical_json(asdict(mine)))
            beside.replace(path)
        except OSError as exc:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise StoreError(f"{path}: cannot be written: {exc.strerror}") from exc
        return mine

    def find(self, digest: str) -> Evidence | None:
        """The evidence for a version, its signature checked; None if it was never evaluated.

        Raises:
            StoreCorrupt: if it was changed, or signed by a key that is not trusted here.
        """
        path = self._path(digest)
        try:
            data = path.read_bytes()
            content = parse_json(data, path.name, max_bytes=_MAX_BYTES)
            found = Evidence(**{**content, "reasons": tuple(content["reasons"])})
            key, signature = bytes.fromhex(found.public_key), bytes.fromhex(found.signature)
        except FileNotFoundError:
            return None
        except (OSError, TypeError, ValueError, KeyError) as exc:
            raise StoreCorrupt(f"{path.name}: not evidence that the gate wrote: evaluate again") from exc
        if found.adapter != digest or not self._signer.verify(found.body(), signature, key):
            raise StoreCorrupt(f"{path.name}: changed, or not signed by a key that is trusted here: evaluate again")
        return found

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def check_evidence(
    evidence: Evidence | None, version: Version, *, base_digest: str, cases_sha256: str, now: float, max_age_s: float
) -> Evidence:
    """Whether the gate's word holds for this version, this base and these cases, today.

    Raises:
        InputError: with the reason.
    """
    again = f"`adapter-control evaluate {version.served}` asks the gate"
    if evidence is None:
        raise InputError(f"{version.served} was never evaluated: {again}; --override --reason goes past it, on record")
    if evidence.base_digest != base_digest:
        raise InputError(f"{version.served} was evaluated on another base model: {again}")
    if evidence.cases_sha256 != cases_sha256:
        raise InputError(f"the cases have changed since {version.served} was evaluated: {again}")
    if not 0 <= now - evidence.at + _DAY_S <= max_age_s + _DAY_S:  # clocks may differ by a day
        raise InputError(
            f"{version.served} was evaluated {(now - evidence.at) / _DAY_S:.0f} days ago, {max_age_s / _DAY_S:.0f} are "
            f"allowed: {again}"
        )
    if not evidence.passed:
        raise InputError(f"{version.served} did not pass the gate: {'; '.join(evidence.reasons) or 'no reason given'}")
    return evidence
