"""Whether a version that was loaded is applied: it says what it said when it was made, and not what the base says.

Servers have been seen to accept an adapter and answer with the base model, or with a part of the adapter, without a
word; what a model says to fixed questions, token by token with its log-probability, tells.
"""

from __future__ import annotations

from math import inf, log

from teller.adapters.manifest import Manifest
from teller.errors import EngineError
from teller.ports import AdapterHost, Fingerprint

_EVEN = log(0.5)  # a token that is likelier than this cannot be in a near tie with another


def difference(one: Fingerprint, other: Fingerprint) -> float:
    """The largest difference of a log-probability, up to where two fingerprints part; infinite if they part for good.

    Rounding may swap two tokens that are about equally likely; what follows such a swap says nothing and is left out.
    """
    if len(one.tokens) != len(other.tokens):
        return inf
    rows = zip(one.tokens, other.tokens, one.logprobs, other.logprobs, strict=True)
    return max((_row_difference(*row) for row in rows), default=0.0)


def _row_difference(
    tokens: tuple[str, ...], others: tuple[str, ...], logprobs: tuple[float, ...], other_logprobs: tuple[float, ...]
) -> float:
    largest = 0.0
    for token, other, logprob, other_logprob in zip(tokens, others, logprobs, other_logprobs, strict=False):
        largest = max(largest, abs(logprob - other_logprob))
        if token != other:
            return largest if max(logprob, other_logprob) < _EVEN else inf
    return largest if len(tokens) == len(others) else inf


async def prove_applied(host: AdapterHost, served: str, manifest: Manifest, *, tolerance: float) -> None:
    """Ask host and base the manifest's questions.

    Args:
        host: where the version is resident.
        served: name of the version.
        manifest: of it.
        tolerance: largest difference of a log-probability that is rounding: 1e-3 at float32, 0.1 at bfloat16.

    Raises:
        EngineError: if the version is not applied, or not wholly, or the base model is another one.
    """
    if not manifest.fingerprint_questions:
        raise EngineError(f"{served} has no fingerprint in its manifest, so nothing can show that it is applied")
    base = await host.fingerprint(manifest.fingerprint_questions)
    found = await host.fingerprint(manifest.fingerprint_questions, served)
    if not difference(found, base) > tolerance:
        raise EngineError(f"{served} was loaded but is not applied: it says what the base model says")
    if difference(base, manifest.fingerprint_base) > tolerance:
        raise EngineError(f"the base model that serves is not the one that {served} was made on: it says other things")
    off = difference(found, manifest.fingerprint_on)
    if off > tolerance:
        raise EngineError(
            f"{served} does not say what it said when it was made (log-probabilities differ by {off:.3g}, at most "
            f"{tolerance:g} is rounding): it is applied in part, or its files are others"
        )
