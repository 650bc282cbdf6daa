"""What the bank's own files say of its products: rates, fees, limits and times, and the names that customers use.

Pure: texts come in, with the file's name for the messages. A rate is an exact `Decimal` with a version; whatever is
said with it carries the stamp "rate:<key>@<version>", so a change of the rate makes it stale.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from teller.errors import KnowledgeError
from teller.turn import Citation
from teller.values import Catalogue

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LARGEST = Decimal(1_000_000_000_000)
_FIELDS = ("value", "unit", "label", "version", "since")


@dataclass(frozen=True, slots=True)
class Rate:
    """One row of the rate table.

    Attributes:
        value: exact; words where `unit` is "text".
        unit: a key of UNITS.
        label: what it is, for people.
        version: from 1; raised with every change of the value.
        since: the day from which it holds.
    """

    key: str
    value: Decimal | str
    unit: str
    label: str
    version: int
    since: date

    @property
    def stamp(self) -> str:
        """What an answer that mentions it depends on: "rate:personal_loan_apr@3"."""
        return f"rate:{self.key}@{self.version}"

    @property
    def spoken(self) -> str:
        """The value with its unit, as it is said: "6.5%", "£1,250", "1 day"."""
        return self.value if isinstance(self.value, str) else UNITS[self.unit](self.value)

    @property
    def citation(self) -> Citation:
        """The row, as what an answer rests on."""
        return Citation(id=f"rate:{self.key}", title=self.label, version=str(self.version))


@dataclass(frozen=True, slots=True)
class RateTable:
    """All rates, by key.

    Attributes:
        name: of the file, for messages.
    """

    name: str
    rates: Mapping[str, Rate]

    def __contains__(self, key: object) -> bool:
        return key in self.rates

    def __iter__(self) -> Iterator[Rate]:
        return iter(self.rates.values())

    def __getitem__(self, key: str) -> Rate:
        """The row of a key.

        Raises:
            KnowledgeError: if there is none.
        """
        try:
            return self.rates[key]
        except KeyError as exc:
            raise KnowledgeError(f"{self.name}: no rate '{key}' in it; add a [{key}] table") from exc

    def number(self, key: str, unit: str) -> Decimal:
        """The exact value of a key that must be in this unit.

        Raises:
            KnowledgeError: if there is no such row, or it is in another unit.
        """
        rate = self[key]
        if isinstance(rate.value, str) or rate.unit != unit:
            raise KnowledgeError(f"{self.name}: [{key}] is in '{rate.unit}', but '{unit}' is wanted")
        return rate.value

    @property
    def stamps(self) -> frozenset[str]:
        """Every stamp that holds today: an answer with a rate stamp that is not among them is stale."""
        return frozenset(rate.stamp for rate in self)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text with its rates filled in, and the stamps of those rates in order of first use."""

    text: str
    stamps: tuple[str, ...]


def load_rates(text: str, name: str) -> RateTable:
    """Read a rate table: one TOML table for each key with value, unit, label, version and since.

    Raises:
        KnowledgeError: naming file and line, for text that is not TOML or a row that is not such.
    """
    tree = parse_toml(text, name)
    rates = {key: _rate(key, fields, f"{name}:{line_of(text, f'[{key}]')}") for key, fields in tree.items()}
    if not rates:
        raise KnowledgeError(f"{name}:1: no rate in it; each is a table such as [personal_loan_apr]")
    return RateTable(name, rates)


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """TOML with its decimal numbers exact.

    Raises:
        KnowledgeError: naming file and line, if it is not TOML.
    """
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as exc:
        line = re.search(r"at line (\d+)", str(exc))
        raise KnowledgeError(f"{name}:{line[1] if line else text.count(chr(10)) + 1}: not TOML: {exc}") from exc


def line_of(text: str, header: str) -> int:
    """The line, from 1, that begins with a TOML header; 1 if none does."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if line.startswith(header)), 1)


def render(text: str, rates: RateTable, where: str = "text") -> Rendered:
    """Fill `{key}` placeholders with rates as they are spoken; `where` is the text's file and line, for messages.

    Raises:
        KnowledgeError: for a key that the table does not have, or a brace that belongs to no placeholder.
    """
    used: dict[str, None] = {}

    def fill(match: re.Match[str]) -> str:
        if match[1] not in rates:
            raise KnowledgeError(f"{where}: no rate '{match[1]}' in {rates.name}, but the text asks for {match[0]}")
        used[rates[match[1]].stamp] = None
        return rates[match[1]].spoken

    if "{" in (rest := _PLACEHOLDER.sub("", text)) or "}" in rest:
        raise KnowledgeError(f"{where}: a brace that belongs to no placeholder; a rate is written {{its_key}}")
    return Rendered(_PLACEHOLDER.sub(fill, text), tuple(used))


def load_catalogue(text: str, name: str) -> Catalogue:
    """Read the bank's own names: products, tiers and places, each with its aliases.

    [products.<id>] and [places.<id>] have a name and aliases; [tiers] gives aliases by tier. The name and the id, its
    underscores as spaces, are aliases too.

    Raises:
        KnowledgeError: naming file and line, for text that is not TOML, an entry that is not such, or an alias that two
            entries of a kind claim.
    """
    tree = parse_toml(text, name)
    kinds: dict[str, dict[str, str]] = {"products": {}, "tiers": {}, "places": {}}
    for kind, found in kinds.items():
        for canonical, entry in _table(tree, kind, name).items():
            where = f"{name}:{line_of(text, f'{canonical} =' if kind == 'tiers' else f'[{kind}.{canonical}]')}"
            for alias in (canonical.replace("_", " "), *_aliases(entry, canonical, where)):
                if found.setdefault(alias.lower(), canonical) != canonical:
                    raise KnowledgeError(f"{where}: '{alias}' names both '{found[alias.lower()]}' and '{canonical}'")
    return Catalogue(**kinds)


def load_opposites(text: str, name: str) -> tuple[tuple[str, str], ...]:
    """Read the pairs of opposite actions of a catalogue, `pairs` of [actions]; none if it has none.

    Raises:
        KnowledgeError: naming file and line, for text that is not TOML or pairs that are not such.
    """
    pairs = _table(parse_toml(text, name), "actions", name).get("pairs", [])
    where = f"{name}:{line_of(text, '[actions]')}"
    if not isinstance(pairs, list):
        raise KnowledgeError(f'{where}: pairs must be a list such as [["block", "unblock"]]')
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(word, str) and word for word in pair):
            raise KnowledgeError(f"{where}: {pair!r} is not a pair of actions in words")
    return tuple((left, right) for left, right in pairs)


def _table(tree: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    table = tree.get(key, {})
    if not isinstance(table, dict):
        raise KnowledgeError(f"{name}:1: '{key}' must be a table")
    return table


def _aliases(entry: object, canonical: str, where: str) -> list[str]:
    names = [entry.get("name"), *entry.get("aliases", [])] if isinstance(entry, dict) else entry
    if not isinstance(names, list) or not all(isinstance(alias, str) and alias.strip() for alias in names):
        raise KnowledgeError(f"{where}: '{canonical}' needs a name and a list of aliases, in words")
    return names


def spoken_money(amount: Decimal) -> str:
    """Pounds as they are said and read: "£1,250", "£2.50"."""
    return f"£{amount:,.0f}" if amount == amount.to_integral_value() else f"£{amount:,.2f}"


def spoken_number(value: Decimal) -> str:
    """A number without needless zeros: "1,000", "4.5"."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def spoken_count(value: Decimal, singular: str) -> str:
    """A number of things: "1 day", "5 days"."""
    return f"{spoken_number(value)} {singular}{'' if value == 1 else 's'}"


def _counted(singular: str) -> Callable[[Decimal], str]:
    return lambda value: spoken_count(value, singular)


# Unit -> how a value in it is said; "text" is said as it stands.
UNITS: Mapping[str, Callable[[Decimal], str]] = {
    "percent": lambda value: f"{spoken_number(value)}%",
    "gbp": spoken_money,
    "count": spoken_number,
    "minutes": _counted("minute"),
    "hours": _counted("hour"),
    "days": _counted("day"),
    "months": _counted("month"),
    "years": _counted("year"),
}


def _rate(key: str, fields: object, where: str) -> Rate:
    if not isinstance(fields, dict):
        raise KnowledgeError(f"{where}: '{key}' must be a table: write [{key}] and its fields below it")
    if set(fields) != set(_FIELDS):
        raise KnowledgeError(
            f"{where}: [{key}] needs exactly the fields {', '.join(_FIELDS)}; it has {', '.join(fields)}"
        )
    unit, version, since, label = fields["unit"], fields["version"], fields["since"], fields["label"]
    if unit not in UNITS and unit != "text":
        raise KnowledgeError(f"{where}: [{key}] has the unit '{unit}'; known are {', '.join(UNITS)}, text")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise KnowledgeError(f"{where}: [{key}] needs a whole version from 1 on, not {version!r}")
    if type(since) is not date:
        raise KnowledgeError(f"{where}: [{key}] needs a day as since = 2026-04-01, not {since!r}")
    if not isinstance(label, str) or not label.strip():
        raise KnowledgeError(f"{where}: [{key}] needs a label in words, not {label!r}")
    return Rate(key, _value(key, fields["value"], unit, where), unit, label, version, since)


def _value(key: str, value: object, unit: str, where: str) -> Decimal | str:
    if unit == "text":
        if isinstance(value, str) and value.strip():
            return value
        raise KnowledgeError(f"{where}: [{key}] needs words as its value, not {value!r}")
    try:
        number = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or not 0 <= number <= _LARGEST:
        raise KnowledgeError(f"{where}: [{key}] needs a number from 0 to {_LARGEST:,} as its value, not {value!r}")
    if unit == "gbp" and number % Decimal("0.01") != 0:
        raise KnowledgeError(f"{where}: [{key}] is in pounds and must be in whole pence, not {value!r}")
    return number
