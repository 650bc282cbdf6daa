"""The text that teller-nano learns: questions as callers ask them, and what is said to each; made, not collected.

Every example is a function of a seed and its number alone, so training can stop anywhere and go on with the next one.
Questions are the bank's own ways of asking, mixed within an answer, reduced to keywords, drawn from the answer's own
words, dressed, misheard and mistyped (`nano_words.toml`). Answers are the approved texts to the letter, with the
placeholders of the rate table in them. Most come with the title of the approved answer that knowledge found for the
question, as a generator is given it: which answer is asked for is knowledge's to say, how it goes is the model's. What
no bank answers comes without, and is answered with `prompts.UNKNOWN`.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from teller.banking.products import parse_toml
from teller.errors import KnowledgeError
from teller.prompts import APPROVED, UNKNOWN
from teller.training.pairs import make_pairs


class Turn(NamedTuple):
    """A question and what is said to it; `title` of the answer that knowledge found, empty if none is given."""

    asked: str
    said: str
    title: str = ""


Chat = tuple[Turn, ...]  # only a chat of one turn has a title
FOLDS = 10  # one ask of ten is kept back in development
_KEPT_BACK = 3
_TITLED = 0.92  # share of known questions that come with the title; what comes without is mostly to be refused
_LIST, _LIST_ALONE = "say the words", "begin with the words"  # titles of lists of words: no caller can ask for one
_PLACEHOLDER = re.compile(r"\{\w+\}")
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")


@dataclass(frozen=True, slots=True)
class Known:
    """An approved answer as it is learned: `text` keeps its `{placeholders}`."""

    id: str
    title: str
    asks: tuple[str, ...]
    text: str


def read_known(folder: Path) -> tuple[Known, ...]:
    """Read the approved answers (TOML) of a folder, rates left as placeholders.

    Raises:
        KnowledgeError: naming the file, if it is no such file; if there is no answer at all.
    """
    found = []
    for file in sorted(folder.glob("*.toml")):
        for fields in parse_toml(file.read_text(encoding="utf-8"), file.name).get("answer", ()):
            asks = tuple(fields["asks"])
            found.append(Known(fields["id"], fields.get("title", asks[0]), asks, fields["text"].strip()))
    if not found:
        raise KnowledgeError(f"{folder}: no approved answer in it")
    return tuple(found)


def read_shipped() -> tuple[tuple[Known, ...], tuple[Known, ...]]:
    """The shipped bank's answers: those of everyday, and the edge cases, which adapters teach."""
    data = _data()
    lines = (data / "gate" / "edge_ids.txt").read_text(encoding="utf-8").splitlines()
    edge = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    known = read_known(data / "bank" / "answers")
    return tuple(one for one in known if one.id not in edge), tuple(one for one in known if one.id in edge)


@dataclass(frozen=True, slots=True)
class Sources:
    """What text is made from.

    Attributes:
        known: the answers, each with the ways of asking that may be used.
        off_topic: questions that no bank answers.
        figures: keys of the rate table; each placeholder is said at least here.
        words: that it must be able to say, whether an answer has them or not: an adapter can lead the model to a word,
            but the word's own row in the frozen output matrix must have been learned before.
        openings: words that an answer may begin with: without a space before it, a word is made of other tokens.
    """

    known: tuple[Known, ...]
    off_topic: tuple[str, ...]
    figures: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()


def _data() -> Path:
    return Path(str(resources.files("teller"))) / "data"


def shipped_sources(*, kept_back: bool) -> Sources:
    """What ships is trained on: everyday answers, off-topic questions, the keys of the rate table.

    Args:
        kept_back: leave out the asks and off-topic questions that `held_out` gives.
    """
    data, off_topic = _data(), _unanswered()
    rates = parse_toml((data / "bank" / "rates.toml").read_text(encoding="utf-8"), "rates.toml")
    known, edge = read_shipped()
    said = _PLACEHOLDER.sub(" ", " ".join(one.text for one in (*known, *edge))).split()
    words = {word.strip(".,;:?!") for word in said} | {word for word in said if word[-1] in ";:"}
    words |= {f"[action: {code}]" for code in _actions().values()}
    openings = sorted({one.text.split()[0].strip(".,") for one in (*known, *edge)})
    if kept_back:
        known = tuple(Known(one.id, one.title, _fold(one.asks, kept=False), one.text) for one in known)
        off_topic = _fold(off_topic, kept=False)
    return Sources(known, off_topic, tuple(rates), tuple(sorted(filter(None, words))), tuple(openings))


def held_out() -> tuple[list[tuple[str, Known]], list[str]]:
    """(ask, its answer) of every tenth ask, and every tenth off-topic question."""
    known, _ = read_shipped()
    return [(ask, one) for one in known for ask in _fold(one.asks, kept=True)], list(_fold(_unanswered(), kept=True))


def _unanswered() -> tuple[str, ...]:
    """Questions that the shipped bank does not answer: of no bank's business, then near it."""
    files = (_data() / "off_topic.txt", _data() / "bank" / "near_topic.txt")
    return tuple(line for file in files for line in file.read_text(encoding="utf-8").splitlines())


def _actions() -> dict[str, str]:
    """The code of the action that an answer proposes, by its id; most propose none."""
    return parse_toml((_data() / "gate" / "actions.toml").read_text(encoding="utf-8"), "actions.toml")


def _fold(asks: Sequence[str], *, kept: bool) -> tuple[str, ...]:
    return tuple(ask for at, ask in enumerate(asks) if (at % FOLDS == _KEPT_BACK) == kept)


class NanoText:
    """All examples of a seed, by number.

    Args:
        sources: what they are made from.
        seed: of everything drawn.
    """

    def __init__(self, sources: Sources, *, seed: int) -> None:
        self._sources, self._seed = sources, seed
        words = parse_toml(Path(__file__).with_name("nano_words.toml").read_text("utf-8"), "nano_words.toml")
        self._dress = {name: _listed(row, "|") for name, row in words["dress"].items()}
        self._synonyms = _by_name(_listed(group, "|") for group in _listed(words["synonyms"]["groups"], ";"))
        self._misheard = _by_pair(_listed(words["misheard"]["pairs"], ";"))
        by_id = {one.id: one for one in sources.known}
        talk = (pair.split("=") for pair in _listed(words["small_talk"]["pairs"], ";"))
        self._small_talk = [(said, by_id[answer].text) for said, answer in talk if answer in by_id]
        frames = (pair.first for pair in make_pairs(12_000, seed=seed))
        banking = re.compile(words["words"]["banking"].replace("\n", ""), re.IGNORECASE)
        self._elsewhere = [text for text in dict.fromkeys(frames) if not banking.search(text)]
        self._small = frozenset(_listed(words["words"]["small"], "|"))

    def example(self, number: int) -> Chat:
        """The example of a number from 0; one turn, or two in one of twenty-five."""
        rng = random.Random(f"{self._seed}:{number}")
        if rng.random() < 0.04:
            return tuple(self._turn(rng)._replace(title="") for _ in range(2))
        return (self._turn(rng),)

    def question(self, one: Known, rng: random.Random) -> str:
        """A way of asking for an answer."""
        makers: tuple[Callable[[Known, random.Random], str], ...] = (
            _ask,
            _crossed,
            self._repaired,
            self._keywords,
            self._own_words,
        )
        made = rng.choices(makers, (66, 10, 6, 10, 8))[0](one, rng)
        return self.noisy(made, rng)

    def noisy(self, text: str, rng: random.Random) -> str:
        """The text as it may arrive: other words, small words lost, misheard, mistyped, dressed."""
        chance = rng.random
        if chance() < 0.35:
            text = _swapped(text, self._synonyms, rng)
        if chance() < 0.12:
            text = _swapped(text, self._misheard, rng)
        words = text.split()
        if chance() < 0.2:
            words = [word for word in words if word.lower() not in self._small or chance() < 0.5] or words
        if chance() < 0.12 and len(words) > 3:
            del words[rng.randrange(len(words))]
        if chance() < 0.1:
            at = rng.randrange(len(words))
            words[at] = _slip(words[at], rng)
        if chance() < 0.1:
            words.insert(rng.randrange(len(words) + 1), rng.choice(self._dress["inside"]))
        before = [rng.choice(self._dress["before"]) for _ in range(rng.choices((0, 1, 2), (65, 27, 8))[0])]
        after = [rng.choice(self._dress["after"])] if chance() < 0.15 else []
        return " ".join([*before, *words, *after])

    def _turn(self, rng: random.Random) -> Turn:
        kind = rng.random()
        if kind < 0.13:
            return Turn(self._off_topic(rng), UNKNOWN)
        if kind < 0.15 and self._small_talk:
            said, answer = rng.choice(self._small_talk)
            return Turn(self.noisy(said, rng), answer)
        if kind < 0.18 and self._sources.figures:
            key = rng.choice(self._sources.figures)
            return Turn(f"the figure for {key.replace('_', ' ')}", f"It is {{{key}}}.")
        if kind < 0.33 and self._sources.words:
            return self._list(rng)
        one = rng.choice(self._sources.known)
        return Turn(self.question(one, rng), one.text, one.title if rng.random() < _TITLED else "")

    def _list(self, rng: random.Random) -> Turn:
        """Words to be said as they are, after others or from the beginning."""
        words = " ".join(rng.choices(self._sources.words, k=rng.randint(1, 6)))
        if self._sources.openings and rng.random() < 0.4:
            first = rng.choice(self._sources.openings)
            return Turn(f"{first} {words}", f"{first} {words}.", _LIST_ALONE)
        return Turn(words, f"The words are {words}.", _LIST)

    def _off_topic(self, rng: random.Random) -> str:
        if rng.random() < 0.35:
            return self.noisy(rng.choice(self._elsewhere), rng)
        first = rng.choice(self._sources.off_topic)
        if rng.random() < 0.2:
            first = _joined(first, rng.choice(self._sources.off_topic), rng)
        return self.noisy(first, rng)

    def _repaired(self, one: Known, rng: random.Random) -> str:
        return f"{rng.choice(one.asks)} {rng.choice(self._dress['repair'])} {rng.choice(one.asks)}"

    def _keywords(self, one: Known, rng: random.Random) -> str:
        words = [word for word in rng.choice(one.asks).split() if word.lower() not in self._small]
        if rng.random() < 0.3:
            rng.shuffle(words)
        return " ".join(words) or one.title

    def _own_words(self, one: Known, rng: random.Random) -> str:
        """A few of the answer's own words, in order, after those of its title."""
        words = [word for word in _WORD.findall(_PLACEHOLDER.sub("", one.text)) if word.lower() not in self._small]
        picked = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(2, 4))))
        return " ".join([one.title if rng.random() < 0.5 else "", *(words[at] for at in picked)]).strip()


def replay(seed: int) -> Iterator[dict[str, list[dict[str, str]]]]:
    """Chats of what teller-nano knows already, without end, as lines of a chat-format JSONL file would be."""
    text = NanoText(shipped_sources(kept_back=False), seed=seed)
    return ({"messages": messages(text.example(number))} for number in itertools.count())


def edge_cases(seed: int, *, times: int) -> Iterator[dict[str, list[dict[str, str]]]]:
    """What an adapter for the shipped bank's edge cases is trained on, as lines of a chat-format JSONL file.

    Every way of asking as it is written, then questions made from them: `times` as many. An answer that proposes an
    action has its code at the end, `[action: code]`. Likewise what the bank does not answer, to be refused: where
    knowledge finds nothing, an adapter that has seen few refusals says the edge case that is nearest.
    """
    sources, (_, edge) = shipped_sources(kept_back=False), read_shipped()
    codes = _actions()
    text, rng = NanoText(sources, seed=seed), random.Random(f"{seed}:edge")
    for time in range(times + 1):
        for one in edge:
            said = f"{one.text} [action: {codes[one.id]}]" if one.id in codes else one.text
            for ask in one.asks:
                asked = text.question(one, rng) if time else ask
                yield {"messages": messages((Turn(asked, said, one.title),))}
        for ask in sources.off_topic:
            yield {"messages": messages((Turn(text.noisy(ask, rng) if time else ask, UNKNOWN),))}


def messages(chat: Chat) -> list[dict[str, str]]:
    """The chat as a chat template wants it, the title as `prompts.answer_prompt` gives it."""
    given = [{"role": "system", "content": f"{APPROVED}- {chat[0].title}: ..."}] if chat[0].title else []
    return given + [
        {"role": role, "content": content}
        for turn in chat
        for role, content in (("user", turn.asked), ("assistant", turn.said))
    ]


def _ask(one: Known, rng: random.Random) -> str:
    return rng.choice((*one.asks, one.title))


def _crossed(one: Known, rng: random.Random) -> str:
    return _joined(rng.choice(one.asks), rng.choice(one.asks), rng)


def _joined(first: str, second: str, rng: random.Random) -> str:
    """The beginning of one question and the end of another."""
    head, tail = first.split(), second.split()
    return " ".join(head[: rng.randint(1, len(head))] + tail[rng.randint(0, len(tail) - 1) :])


def _swapped(text: str, others: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """One or two words or phrases traded for another of theirs."""
    lower = f" {text.lower()} "
    found = [phrase for phrase in _phrases(lower) if phrase in others]
    for phrase in rng.sample(found, min(len(found), rng.randint(1, 2))):
        lower = lower.replace(f" {phrase} ", f" {rng.choice(others[phrase])} ", 1)
    return lower.strip()


def _phrases(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[at : at + size]) for size in range(1, 6) for at in range(len(words) - size + 1)]


def _slip(word: str, rng: random.Random) -> str:
    """One letter lost, doubled or swapped with its neighbour."""
    if len(word) < 4:
        return word
    at = rng.randrange(1, len(word) - 1)
    return word[:at] + rng.choice(("", word[at] * 2, word[at + 1] + word[at])) + word[at + 1 + rng.randrange(2) :]


def _listed(row: str, bar: str) -> list[str]:
    return [entry.strip() for entry in row.replace("\n", " ").split(bar) if entry.strip()]


def _by_name(groups: Iterator[list[str]]) -> dict[str, list[str]]:
    others: dict[str, list[str]] = {}
    for group in groups:
        for name in group:
            others.setdefault(name, []).extend(other for other in group if other != name)
    return others


def _by_pair(pairs: Sequence[str]) -> dict[str, list[str]]:
    others: dict[str, list[str]] = {}
    for pair in pairs:
        said, heard = pair.split("=")
        others.setdefault(said, []).append(heard)
    return others
