"""The bank's own files: rates, catalogue and approved answers, and the folders of what ships with Teller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from teller.banking.document_names import Products
from teller.banking.knowledge import Approved, read_knowledge
from teller.banking.products import RateTable, load_catalogue, load_opposites, load_rates
from teller.config import Settings
from teller.values import Catalogue


@dataclass(frozen=True, slots=True)
class Bank:
    """The bank's own files, read.

    Attributes:
        near_topic: questions near its business that it does not answer; none are known of knowledge that a person
            brings along.
    """

    rates: RateTable
    catalogue: Catalogue
    opposites: tuple[tuple[str, str], ...]
    approved: tuple[Approved, ...]
    near_topic: tuple[str, ...]


def bank_folder() -> Path:
    """Where the bank that ships with Teller is."""
    return Path(str(resources.files("teller"))) / "data" / "bank"


def nano_folder() -> Path:
    """Where teller-nano is, the language model that ships with Teller."""
    return bank_folder().parent / "nano"


def read_bank(settings: Settings) -> Bank:
    """Read rates, catalogue and approved answers, the shipped ones or the ones that `knowledge.path` names.

    Raises:
        KnowledgeError: naming the file and, where known, the line.
    """
    folder = bank_folder()
    rates = load_rates((folder / "rates.toml").read_text(encoding="utf-8"), "rates.toml")
    names = (folder / "catalogue.toml").read_text(encoding="utf-8")
    catalogue, opposites = load_catalogue(names, "catalogue.toml"), load_opposites(names, "catalogue.toml")
    approved = read_knowledge(settings.knowledge.path or folder / "answers", rates)
    # Two questions that name different products of the documents are as little the same as those of the catalogue's.
    products = Products(entry.about for entry in approved if entry.about)
    catalogue = replace(catalogue, tiers={**{word: word for word in products.telling_words()}, **catalogue.tiers})
    near_topic = () if settings.knowledge.path else (*read_near_topic(), *read_close_misses())
    return Bank(rates, catalogue, opposites, approved, near_topic)


def read_off_topic() -> list[str]:
    """Questions that no bank answers."""
    return (resources.files("teller") / "data" / "off_topic.txt").read_text(encoding="utf-8").splitlines()


def read_near_topic() -> list[str]:
    """Questions that some bank might answer and the one that ships with Teller does not."""
    return (bank_folder() / "near_topic.txt").read_text(encoding="utf-8").splitlines()


def read_close_misses() -> list[str]:
    """Questions beside its answers, one or two each, that ask in the same words for what none of them says.

    They only vote: an encoder that learns to tell them from the answers' own ways of asking finds fewer of those.
    """
    return (bank_folder() / "close_misses.txt").read_text(encoding="utf-8").splitlines()


def read_on_topic() -> list[str]:
    """Questions that any bank may be asked: the first way of asking for each of the answers that ship with Teller."""
    return (resources.files("teller") / "data" / "on_topic.txt").read_text(encoding="utf-8").splitlines()
