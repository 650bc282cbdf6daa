"""Who may be given whose answer: the partition, a small cache of its own.

An answer is found only by questions of the same partition, and a partition has its own index and its own exact table,
so there is no filter to forget. Every part of the key must be there: an empty or missing part is an error, never a
wildcard. Not here: which questions may be looked up at all (banking policy).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from teller.errors import InputError
from teller.turn import DataClass, Scope

_MAX_PART = 512
_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@dataclass(frozen=True, slots=True)
class Basis:
    """What answers are made from; an answer is never served on another basis than the one it was made on.

    Attributes:
        base_model: identity of the generator's weights.
        adapters: digests of the LoRA adapters in use; empty for the base model alone.
        prompt: version of the prompt template.
        policy: version of the bank's policy.
        knowledge: version of the bank's approved texts.
    """

    base_model: str
    prompt: str
    policy: str
    knowledge: str
    adapters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("base_model", "prompt", "policy", "knowledge"):
            _check(name, getattr(self, name))
        if not isinstance(self.adapters, tuple):
            raise InputError(f"adapters are a tuple of digests, got {type(self.adapters).__name__}")
        for digest in self.adapters:
            _check("adapter", digest)


@dataclass(frozen=True, slots=True)
class Partition:
    """The whole key. `customer` is set if and only if the data class is CUSTOMER."""

    tenant: str
    locale: str
    data_class: DataClass
    basis: Basis
    customer: str | None = None

    def __post_init__(self) -> None:
        _check("tenant", self.tenant)
        _check("locale", self.locale)
        if not isinstance(self.data_class, DataClass) or not isinstance(self.basis, Basis):
            raise InputError("a partition needs a DataClass and a Basis")
        if self.data_class is DataClass.CUSTOMER:
            _check("customer", self.customer)
        elif self.customer is not None:
            raise InputError(f"a {self.data_class} partition is shared: it has no customer")

    @property
    def digest(self) -> bytes:
        """16 bytes, equal for equal partitions only."""
        return hashlib.blake2b(json.dumps(self.parts(), sort_keys=True).encode(), digest_size=16).digest()

    def parts(self) -> dict[str, Any]:
        """JSON form; `read` gives the partition back."""
        basis = self.basis
        return {
            "tenant": self.tenant,
            "locale": self.locale,
            "class": self.data_class.value,
            "customer": self.customer,
            "base_model": basis.base_model,
            "adapters": sorted(basis.adapters),
            "prompt": basis.prompt,
            "policy": basis.policy,
            "knowledge": basis.knowledge,
        }

    @staticmethod
    def read(parts: Mapping[str, Any]) -> Partition:
        """The partition of its JSON form.

        Raises:
            InputError: if a part is missing or empty.
        """
        try:
            basis = Basis(
                parts["base_model"], parts["prompt"], parts["policy"], parts["knowledge"], tuple(parts["adapters"])
            )
            data_class = DataClass(parts["class"])
            return Partition(parts["tenant"], parts["locale"], data_class, basis, parts["customer"])
        except (KeyError, ValueError, TypeError) as exc:
            raise InputError(f"not a partition: {exc}") from exc


def partition_of(scope: Scope, data_class: DataClass, basis: Basis) -> Partition:
    """The partition in which an answer of this data class is kept for this scope.

    Raises:
        InputError: if a part is missing: a customer's own answer has no place without a verified customer.
    """
    customer = scope.customer if data_class is DataClass.CUSTOMER else None
    return Partition(scope.tenant, scope.locale, data_class, basis, customer)


def _check(name: str, part: object) -> None:
    if not isinstance(part, str) or not part:
        raise InputError(f"the partition's {name} is missing: every part is needed, an empty one is not a wildcard")
    if len(part) > _MAX_PART or _UNSEEN.search(part):
        raise InputError(f"the partition's {name} has {len(part)} characters or white space: give a plain identifier")
