"""Which calculation a question asks for, and which of its slots each value fills.

A calculation is claimed only where every pattern of one of its rules is found and no veto is; what is not surely a
calculation belongs to the bank's knowledge. Patterns are over marked words (marks.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from teller.banking.marks import Mark, Marked


@dataclass(frozen=True, slots=True)
class Tool:
    """A calculation.

    Attributes:
        family: "loan" or "savings"; the tools of a family hand their values on to one another.
        needs: slots that must be filled, in the order in which they are asked for.
        money: the slot of an amount.
        monthly: the slot of an amount a month, empty if it takes none.
        instead: slots that may stand in for a needed one.
    """

    name: str
    family: str
    needs: tuple[str, ...]
    money: str
    monthly: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def slots(self) -> tuple[str, ...]:
        """All that it takes, in order."""
        return (*self.needs, *self.instead.values(), "rate", "account")

    def missing(self, filled: Mapping[str, str]) -> str:
        """The first slot that is needed and not filled; empty if the calculation can be done."""
        return next((slot for slot in self.needs if slot not in filled and self.instead.get(slot) not in filled), "")


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("loan_payment", "loan", ("amount", "term"), "amount"),
        Tool("loan_total_cost", "loan", ("amount", "term"), "amount"),
        Tool("amortisation_schedule", "loan", ("amount", "term"), "amount"),
        Tool("loan_early_repayment", "loan", ("amount", "term", "after"), "amount", instead={"after": "early"}),
        Tool("loan_overpayment", "loan", ("amount", "term", "extra"), "amount", "extra"),
        Tool("loan_term", "loan", ("amount", "payment"), "amount", "payment"),
        Tool("borrow_for_payment", "loan", ("payment", "term"), "payment", "payment"),
        Tool("savings_interest", "savings", ("amount", "term"), "amount", "deposit", {"amount": "deposit"}),
        Tool("savings_goal", "savings", ("goal", "deposit"), "goal", "deposit"),
        Tool("savings_deposit", "savings", ("goal", "term"), "goal"),
    )
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A tool is asked for where every pattern of `all_of` is found and `unless` is not."""

    tool: str
    all_of: tuple[str, ...]
    unless: str = r"(?!)"

    def matches(self, asked: Marked) -> bool:
        """Whether the rule claims a question."""
        return all(asked.has(pattern) for pattern in self.all_of) and not asked.has(self.unless)


_AMOUNT = r"<[mnf]\d+>"
_SUM = r"<[mnfr]\d+>"
_TERM = r"<[dw]\d+>|\b(?:over|for) <c\d+>"
_LOAN = r"\b(?:loans?|borrow(?:ing|ed)?|lend(?:ing)?|lent)\b"
_OVER = r"<[mnf]\d+> (?:[a-z']+ ){0,2}?(?:over|across)(?: (?:a|the|about))? <[dc]\d+>"
_MONTH = r"\b(?:(?:a|per|each|every|the|by) month|monthly)\b"
_PAY = r"\b(?:(?:re)?pay(?:ing|ments?|back)?|instal?ments?|costs?|costing|set me back)\b"
_PAYMENTS = r"\b(?:(?:re)?payments?|instal?ments?)\b"
_ASKS = r"\b(?:how much|what(?:'s|s|'ll|'d)?|tell me|show me|give me|know|find out|see|(?:re)?payments?|instal?ments?|cost)\b"
_SUPPOSES = r"\b(?:if|would|could|will|i'd|it'd|suppose|say|imagine|thinking (?:of|about)|what're|what are|how much (?:is|are))\b"
_CALCULATES = r"\b(?:calculat\w+|work(?:ing)? out|figure out|estimate|illustration|illustrate|compute)\b"
_TOTAL = r"\b(?:in total|total|altogether|overall|all in|in all|all told|whole loan)\b"
_MY = r"\b(?:my|our|the) (?:\w+ ){0,2}(?:loans?|balance)\b|\bmy (?:\w+ ){0,2}(?:(?:re)?payments?|instal?ments?)\b"
_MAY_I = r"\b(?:can|could|may|do|am|are|will|would) (?:i|we|you) (?:\w+ ){0,3}?(?:able to |allowed to )?(?:get|have|borrow|take|lend|afford|qualify)\b"
_IF_I_BORROW = r"\b(?:if|say|suppose|were to|was to|thinking (?:of|about)) (?:i |we |i'd |me )?(?:\w+ ){0,2}?(?:borrow\w*|took|take|taking|got|get|getting|had|have|lent)\b"
_AFTER = (
    r"\bafter (?:[a-z']+ ){0,2}<[dc]\d+>|<d\d+> (?:\w+ )?early\b|<d\d+> (?:in|into)\b|<[dc]\d+> .*\b(?:in|at) <[dc]\d+>"
)
_PAYS_OFF = (
    r"\b(?:pay|pays|paid|paying|clear|cleared|clearing|finish|finished|end|ended|close|closed)\b(?: [a-z']+){0,4} (?:off|early)\b"
    r"|\b(?:settle|settled|settling|clear|cleared|clearing|repay|repaid|repaying)\b"
)
_WHAT_IF = r"\b(?:if|suppose|say|how much|what (?:would|will|happens|is|does)|what's|save)\b"
_EXTRA = r"\b(?:extra|more|additional|over ?pa(?:y|id|ying|yments?)|on top|another)\b"
_SCHEDULE = (
    r"\bamorti[sz]\w+\b|\b(?:re)?payments? (?:schedule|table|breakdown)\b|\bmonth by month\b"
    r"|\b(?:schedule|table|breakdown)\b.*\b(?:(?:re)?payments?|loan)\b"
)
_SAVES = r"\b(?:sav(?:e|ed|ing|ings|er)|put(?:ting)?|deposit(?:ed|ing)?|set(?:ting)? aside|invest(?:ed|ing)?|leave|left|keep|kept|lock(?:ed)?|isa|stash)\b"
_EARNS = r"\b(?:earn(?:s|ed)?|get|gain|make|receive|accrue|generate|yield|grow)\b"
_BECOMES = r"\b(?:grow|be worth|become|turn into|end up with|amount to|come to|earn)\b"
_HOW_LONG = r"\b(?:how long|how many (?:months|years)|how soon|when)\b"
_GOAL = r"\b(?:sav(?:e|ing)|reach|get to|build up|put(?:ting)? (?:away|aside|by)|hit|have|get)\b"

# The first rule that matches is the tool.
RULES: tuple[Rule, ...] = (
    Rule("amortisation_schedule", (_SCHEDULE, rf"{_AMOUNT}|{_TERM}|{_LOAN}"), rf"{_MY}|\bwhat (?:is|does)\b"),
    Rule("savings_goal", (_HOW_LONG, _AMOUNT, r"<r\d+>", _GOAL), rf"{_LOAN}|\bpay(?:ing)? (?:\w+ )?off\b"),
    Rule(
        "savings_goal",
        (_HOW_LONG, _AMOUNT, r"\b(?:take|need|be|until|till)\b", r"\b(?:sav(?:e|ing|ed)|reach)\b"),
        _LOAN,
    ),
    Rule(
        "savings_deposit", (r"\bhow much\b", _MONTH, _AMOUNT, r"\b(?:sav(?:e|ing)|put|set|deposit)\b"), rf"{_LOAN}|<r"
    ),
    Rule("loan_early_repayment", (_WHAT_IF, _PAYS_OFF, _AFTER), _MAY_I),
    Rule("loan_early_repayment", (_WHAT_IF, _PAYS_OFF, r"\bearly\b", rf"{_AMOUNT}|{_TERM}"), _MAY_I),
    Rule("loan_overpayment", (_WHAT_IF, _EXTRA, r"<r\d+>", _LOAN), r"(?!)"),
    Rule("loan_term", (_HOW_LONG, _AMOUNT, r"<r\d+>", rf"{_LOAN}|{_PAYS_OFF}|{_PAY}"), _SAVES),
    Rule("borrow_for_payment", (r"<r\d+>", r"\b(?:how much|what|how big|how large)\b", _LOAN), rf"{_AMOUNT}|{_SAVES}"),
    Rule("savings_interest", (r"\binterest\b", _EARNS, _SUM), rf"{_LOAN}|\bpay(?:ing)?\b"),
    Rule("savings_interest", (_BECOMES, _SUM, rf"{_SAVES}|{_TERM}"), rf"{_LOAN}|\bpay(?:ing)?\b"),
    Rule(
        "savings_interest", (_SAVES, _SUM, r"\b(?:how much|what)\b", rf"\b(?:have|be)\b|{_EARNS}"), rf"{_LOAN}|\bpay\b"
    ),
    Rule("loan_total_cost", (_TOTAL, rf"{_LOAN}|{_OVER}", rf"{_PAY}|\binterest\b"), rf"{_MY}|{_MONTH}"),
    Rule(
        "loan_total_cost", (r"\binterest\b", r"\b(?:pay|paying|cost|charged?)\b", _AMOUNT, rf"{_LOAN}|{_TERM}"), _MONTH
    ),
    Rule(
        "loan_total_cost",
        (r"\bpay(?:ing)? back\b|\brepay\b", _AMOUNT, rf"{_LOAN}|{_TERM}", _ASKS),
        rf"{_MAY_I}|{_MONTH}",
    ),
    Rule(
        "loan_payment",
        (_AMOUNT, rf"{_LOAN}|{_TERM}", rf"{_PAY}|{_MONTH}", rf"{_ASKS}|{_SUPPOSES}|{_CALCULATES}"),
        _MAY_I,
    ),
    Rule("loan_payment", (_AMOUNT, _LOAN, rf"{_IF_I_BORROW}|{_CALCULATES}|\bquote\b"), _MAY_I),
    Rule("loan_payment", (_OVER,), _MAY_I),
    Rule("loan_payment", (_LOAN, rf"{_MONTH}|{_PAYMENTS}", _SUPPOSES, _ASKS), rf"{_MAY_I}|\bhow (?:do|can|long)\b"),
    Rule("loan_payment", (_LOAN, rf"{_CALCULATES}", rf"{_PAY}|{_MONTH}|\bcalculator\b|{_CALCULATES} (?:me )?a loan\b")),
)

# What a further question asks for while the form of its family is open: fewer patterns, its values are known already.
FOLLOW_UPS: tuple[Rule, ...] = (
    Rule("loan_overpayment", (_EXTRA, r"<r\d+>")),
    Rule("loan_early_repayment", (_WHAT_IF, _PAYS_OFF), rf"{_MAY_I}|<r"),
    Rule("amortisation_schedule", (rf"{_SCHEDULE}|\b(?:schedule|table|breakdown)\b",), r"\bwhat (?:is|does)\b"),
    Rule("borrow_for_payment", (r"<r\d+>", r"\b(?:afford|pay|have|borrow|get)\b"), _AMOUNT),
    Rule("loan_total_cost", (rf"{_TOTAL}|\bhow much interest\b",), r"<[rm]"),
    Rule("loan_payment", (_MONTH, r"\b(?:how much|what|that)\b"), r"<[rm]"),
)
FOLLOW_UP_WORDS = 16

# Other people's subjects, and things that happened: no illustration, whatever else is said.
_VETOES = (
    r"\b(?:re)?mortgag\w*|\b(?:credit|debit|bank) cards?\b|\bmy card\b|\boverdra\w+|\bcar finance\b|\bhire purchase\b|\bpayday\b"
    r"|\bstudent loans?\b|\bbusiness\b|\binsurance\b|\bpensions?\b|\bshares?\b|\bstocks?\b|\bcrypto\w*|\bbitcoin\b"
    r"|\bdirect debits?\b|\bstanding orders?\b|\bsubscription\b|\bexchange\b|\bcash machine\b|\batm\b|\btop(?:ping)?.?up\b"
    r"|\bpurchases?\b|\bbills?\b|\btax\b|\brent\b|\bsalary\b|\bwages\b|\brefund\w*|\bdisput\w+|\bscam\w*|\bfraud\w*"
    r"|\bstolen\b|\bmissed\b|\bmissing\b|\btwice\b|\bdeclined\b|\brefused\b|\breject\w*|\belig\w+|\bqualif\w+|\bcriteria\b"
    r"|\bapply\b|\bappl(?:ied|ying|ication)\w*|\bapprov\w+|\bdocuments?\b|\bcredit (?:score|rating|file|record|check)\b|\bfees?\b"
    r"|\bpenalt\w+|\bwas (?:taken|charged|deducted|paid)\b|\b(?:have|has|had|i've|i'd) (?:already |just )?(?:been|paid|missed|had)\b"
    r"|\ballow(?:ed|ance)\b|\blimits?\b|\bmax(?:imum)?\b|\bmin(?:imum)?\b|\bholiday\b|\bwithdraw\w*|\btransfer\w*"
    r"|\b(?:what|which)(?:'s| is| are| was)? (?:\w+ ){0,4}(?:rates?|apr|aer)\b|\bwhy\b|\bsafe\b|\bprotect\w*"
)


def recognise(asked: Marked, family: str = "") -> Tool | None:
    """The calculation that a question asks for, None if it is not surely one; `family` is that of an open form."""
    if asked.has(_VETOES):
        return None
    for rule in RULES:
        if rule.matches(asked):
            return TOOLS[rule.tool]
    if not family or len(asked.words.split()) > FOLLOW_UP_WORDS:
        return None
    follow_ups = (TOOLS[rule.tool] for rule in FOLLOW_UPS if rule.matches(asked))
    return next((tool for tool in follow_ups if tool.family == family), None)


@dataclass(slots=True)
class Filling:
    """What the values of a question fill.

    Attributes:
        slots: canonical values by slot: money "10000.00", times "P60M", rates "6.5" or "6.5 APR".
        clashes: both values where a question names two for one slot.
        unused: values that fit no slot of the tool.
    """

    slots: dict[str, str] = field(default_factory=dict)
    clashes: dict[str, tuple[str, str]] = field(default_factory=dict)
    unused: int = 0


_MONEY_SLOTS = frozenset({"amount", "payment", "extra", "goal", "deposit"})
_CORRECTS = re.compile(r"\b(?:no|nope|actually|sorry|i mean|i meant|make (?:it|that)|rather|instead|correction|wait)\b")
_LONGEST_BARE_YEARS = 10  # "over 5" is years, "over 60" is months


def fill(asked: Marked, tool: Tool, filled: Mapping[str, str] | None = None) -> Filling:
    """Give each value of a question its slot; `filled` is what an open form of the same tool holds."""
    filling = Filling()
    wanted = tool.missing(filled) if filled else ""
    for mark in asked.marks():
        slot = _slot(mark, tool, wanted or _nearest(mark, tool, filled or {}))
        if not slot:
            filling.unused += 1
            continue
        value = _canonical(mark, slot, is_apr=asked.has(r"\b(?:apr|annual percentage)\b"))
        before = filling.slots.get(slot, value)
        if before != value and not _CORRECTS.search(mark.before.rpartition(">")[2]):
            filling.clashes[slot] = (before, value)
        filling.slots[slot] = value
    for slot in filling.clashes:
        del filling.slots[slot]
    return filling


def _slot(mark: Mark, tool: Tool, wanted: str) -> str:
    """The slot that a value fills, empty for none."""
    match mark.letter:
        case "p":
            return "rate"
        case "r":
            return tool.monthly
        case "m" | "n" | "f" | "c" if wanted in _MONEY_SLOTS and not re.search(r"\b(?:at|over|after)$", mark.before):
            return wanted
        case "m" | "n" | "f":
            extra = "extra" in tool.needs and re.search(_EXTRA, mark.before.rpartition(">")[2])
            return "extra" if extra else tool.money
        case "c" if mark.before.endswith("at"):
            return "rate"
        case "d" | "w" | "c":
            return _time_slot(mark, tool, wanted)
    return ""


def _nearest(mark: Mark, tool: Tool, filled: Mapping[str, str]) -> str:
    """Which of a full form's two amounts a bare amount changes: the one that is less far from it."""
    slots = [slot for slot in tool.needs if slot in _MONEY_SLOTS and slot in filled]
    if mark.letter not in "mn" or len(slots) < 2 or not Decimal(mark.value):
        return ""
    ratios = {slot: Decimal(mark.value) / Decimal(filled[slot]) for slot in slots}
    return min(slots, key=lambda slot: max(ratios[slot], 1 / ratios[slot]))


def _time_slot(mark: Mark, tool: Tool, wanted: str) -> str:
    if "after" in tool.needs:
        if re.match(r"(?:\w+ )?early\b", mark.after):
            return "early"
        if wanted == "after" or re.match(r"(?:in|into)\b", mark.after):
            return "after"
        if re.search(r"\b(?:after|in|at|within|once)(?: (?:the|about|only|just|first))*$", mark.before):
            return "after"
    return "term" if "term" in tool.needs else ""


def _canonical(mark: Mark, slot: str, *, is_apr: bool) -> str:
    if slot == "rate":
        return f"{mark.value.removesuffix(' APR')}{' APR' if is_apr or mark.value.endswith('APR') else ''}"
    if slot in _MONEY_SLOTS:
        currency = " foreign" if mark.letter == "f" else ""
        return f"{Decimal(mark.value):.2f}{currency}"
    if mark.letter != "c":
        return mark.value
    number = Decimal(mark.value)
    return f"P{number * 12 if number <= _LONGEST_BARE_YEARS else number:f}M"


# What may stand around the values of an answer or a change: with anything else, it is another question.
_AROUND = re.compile(
    r"<[a-z]\d+>|\b(?:(?:can|could|would|shall) (?:we|you)|changed? my mind|how about|what about|what if|i have|i've"
    r"|and|but|or|then|now|actually|no|nope|yes|yeah|yep|ya|sorry|wait|i|i'd|i'll|it|it's|its|that|that's|this|let's|let us|let"
    r"|say|make|made|change|try|do|go|put|use|set|switch|instead|rather|than|mean|meant|would|be|is|was|were|if|to|of|in|on|at"
    r"|for|over|by|with|after|about|around|roughly|approximately|maybe|perhaps|probably|just|only|more|less|like|want|need"
    r"|think|prefer|go with|going|borrow|borrowed|borrowing|lend|loan|save|saved|saving|savings|pay|paying|paid|repay|away|back"
    r"|off|aside|each|every|per|a|an|the|my|month|monthly|months|year|years|pounds|quid|percent|apr|rate|interest|term|amount"
    r"|total|altogether|same|again|one|early|minus|negative|extra|me|one|something|up|down|sir|madam|afford)\b"
)
_CANCELS = re.compile(
    r"(?:no |actually |oh |just |i )*(?:never ?mind(?: that| it)?|cancel(?: that| it| this)?|forget (?:it|that|about (?:it|that))|stop(?: it| that)?"
    r"|leave it(?: there)?|don't bother|(?:have |'ve )?changed my mind|not (?:now|any ?more|interested)|that's (?:all|enough|it|fine)"
    r"|no thanks?(?: you)?|no|nothing|let's (?:stop|leave it)|start (?:over|again))(?: then| now| please)?"
)


def only_values(asked: Marked, name: str = "") -> bool:
    """Whether a question is nothing but values, the words that carry them, and the name of an account.

    "actually make it <d0>", "and in the cash isa".
    """
    words = asked.words.replace(name.lower(), " ") if name else asked.words
    return bool(asked.values or name) and not re.sub(r"[\s']+", "", _AROUND.sub(" ", words))


def cancels(asked: Marked) -> bool:
    """Whether the caller gives up what is being worked out."""
    return _CANCELS.fullmatch(asked.words) is not None
