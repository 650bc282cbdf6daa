"""Which calculation a question asks for: rules over marked words (marks.py).

A calculation is claimed only where every pattern of one of its rules is found and no veto is; what is not surely a
calculation belongs to the bank's knowledge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from teller.banking.marks import Marked
from teller.banking.slots import TOOLS, Tool, only_values


@dataclass(frozen=True, slots=True)
class Rule:
    """A tool is asked for where every pattern of `all_of` is found and `unless` is not."""

    tool: str
    all_of: tuple[str, ...]
    unless: str = r"(?!)"

    def matches(self, asked: Marked) -> bool:
        """Whether the rule claims a question."""
        for pattern in self.all_of:
            if not asked.has(pattern):
                return False
        return not asked.has(self.unless)


def _words(alternatives: str) -> str:
    """A pattern of whole words, from alternatives that spaces or new lines part; "_" stands for a space within one."""
    return rf"\b(?:{'|'.join(alternatives.split()).replace('_', ' ')})\b"


_AMOUNT = r"<[mnf]\d+>"
_MONTHLY_SUM = r"<r\d+>"
_SUM = rf"{_AMOUNT}|{_MONTHLY_SUM}"
_TERM = r"<[dw]\d+>|\b(?:over|for) <c\d+>"
_OVER = rf"(?:{_AMOUNT}) (?:at <p\d+> )?(?:[a-z']+ ){{0,2}}?(?:over|across)(?: (?:a|the|about))? <[dc]\d+>"
_LOAN = _words("loans? borrow(?:ing|ed)? lend(?:ing)? lent")
_ABOUT_LOAN = rf"{_LOAN}|{_TERM}"
_HOW_MUCH = _words("how_much what")
_MONTH = _words("(?:a|per|each|every|the|by)_month monthly")
_PAYMENTS = _words("(?:re)?payments? instal?ments?")
_PAY = _words("(?:re)?pay(?:ing|ments?|able|back)? instal?ments? costs? costing set_me_back")
_TOTAL = _words("in_total totals? altogether overall all_in in_all all_told whole_loan")
_ASKS = _words("how_much what(?:'s|s|'ll|'d)? (?:tell|show|give)_me know find_out see cost figures?") + f"|{_PAYMENTS}"
_SUPPOSES = _words("if would could will suppose say imagine thinking_(?:of|about) what're what_are how_much_(?:is|are)")
_CALCULATES = _words("calculat[a-z]+ work(?:ing)?_out figure_out price_up estimate illustrat[a-z]+ compute")
_WHAT_IF = _words("if suppose say how_much what_(?:would|will|happens|is|does) what's save")
_IF_I_BORROW = (
    r"\b(?:if|say|suppose|were to|was to|thinking (?:of|about)) (?:i |we |i'd |me )?(?:\w+ ){0,2}?"
    r"(?:borrow\w*|took|take|taking|got|get|getting|had|have|lent)\b"
)
# Whether one may have a loan, how one pays, what one's own loan is, whether something is so: not what it would cost.
_NOT_WOULD_COST = (
    r"\b(?:can|could|may|do|am|are|will|would) (?:i|we|you) (?:be )?(?:able to |allowed to )?(?:still |even )?"
    r"(?:get|have|borrow|take|lend me|give me|afford|qualify)(?: (?:a|an|the|another|out|personal|up to))* (?:loan|<)"
    r"|\b(?:can|how (?:do|can)) i (?:pay|repay|settle|clear)\b|\bhow (?:soon|quickly|fast)\b"
    r"|\bwhat (?:would|will) happen\b|\bhave i (?:got )?left\b"
    r"|\b(?:stop|late|(?:can't|cannot|don't|didn't|won't) (?:pay|afford|keep|make|go))\b"
    r"|^(?!.*\b(?:would|could|will|if|suppose)\b).*"
    r"\b(?:my|our) (?:\w+ ){0,2}(?:loans?|balance|(?:re)?payments?|instal?ments?)\b"
    r"|^(?:is|are|was|does|do(?! you know)|did|has|have|my(?! name| budget)|our)\b|\btoo much\b"
)
_HOW_TO = r"\bhow (?:do|can|long|to)\b|\bwhat happens\b|\bdo you\b"
_PAYS_OFF = (
    r"\b(?:pay|pays|paid|paying|clear|cleared|clearing|finish|finished|end|ended|close|closed)\b(?: [a-z']+){0,4} "
    r"(?:off|early)\b|\b(?:settle|settled|settling|clear|cleared|clearing|repay|repaid|repaying)\b"
)
_AFTER = (
    r"\b(?:after|paid for|paying for) (?:[a-z']+ ){0,2}<[dc]\d+>|<d\d+> (?:\w+ )?early\b"
    r"|<d\d+> (?:in|into)\b|<[dc]\d+> .*\b(?:in|at) <[dc]\d+>"
)
_OWED = _words("owe owed owing outstanding left remain(?:s|ing)? settlement early_(?:re)?payment")
_PAID_FOR = r"\bpaid (?:for |it for )?(?:about |already )?<[dc]\d+>"
_EXTRA = _words("extra more additional over_?pa(?:y|id|ying|yments?) on_top another")
_SCHEDULE = (
    r"\bamorti[sz]\w+\b|\b(?:re)?payments? (?:schedule|table|breakdown)\b|\bmonth by month\b"
    r"|\b(?:schedule|table|breakdown)\b.*\b(?:(?:re)?payments?|loan)\b"
)
_SAVES = (
    _words(
        """sav(?:e|ed|ing|ings|er) put(?:ting)? deposit(?:ed|ing)? set(?:ting)?_aside invest(?:ed|ing)? leave left keep
        kept lock(?:ed)? isa stash"""
    )
    + r"|<s\d+>"
)
_SAVINGS = _words("sav(?:e|ed|ing|ings)")
_INTEREST = _words("interest returns?")
_EARNS = _words("earn(?:s|ed)? get gain make receive accrue generate yield grow")
_BECOMES = _words("grow be_worth become turn_into end_up_with amount_to come_to earn")
_WOULD_HAVE = r"\b(?:how much|what) (?:would|will|do|could|can|might) (?:i|we|it|that)\b|\bend up with\b"
# On savings, but not what they would earn: what they did, when it comes, what taking money out costs.
_NOT_WOULD_EARN = (
    _words("when did take took taking pay paying pays out_of early (?:come|amount)_to_(?:monthly|(?:a|per|each)_month)")
    + f"|{_LOAN}"
)
_HOW_LONG = _words("how_long how_many_(?:months|years) how_soon when")
_GOAL = _words("sav(?:e|ed|ing) reach get_to build_up put(?:ting)?_(?:away|aside|by) hit have get got")
_TOWARDS = (
    _words("to_(?:have|get|reach|save|end_up|build|hit) want_to_(?:have|save) for_an? towards by")
    + r"|\bi (?:need|want) <"
)

# The first rule that matches is the tool.
RULES: tuple[Rule, ...] = (
    Rule("amortisation_schedule", (_SCHEDULE, rf"{_AMOUNT}|{_ABOUT_LOAN}"), r"\bwhat (?:is|does)\b"),
    Rule("savings_goal", (_HOW_LONG, _AMOUNT, _MONTHLY_SUM, _GOAL), rf"{_LOAN}|\bpay(?:ing)? (?:\w+ )?off\b"),
    Rule("savings_goal", (_HOW_LONG, _AMOUNT, _words("take need until till"), r"\bsav(?:e|ing)\b"), _LOAN),
    Rule(
        "savings_deposit",
        (r"\bhow much\b|\bwhat (?:do|would|must|should|will) (?:i|we)\b", _MONTH, _AMOUNT, _SAVES, _TOWARDS),
        rf"{_LOAN}|{_MONTHLY_SUM}|to keep",
    ),
    Rule("loan_early_repayment", (_WHAT_IF, _PAYS_OFF, _AFTER)),
    Rule("loan_early_repayment", (_WHAT_IF, _PAYS_OFF, r"\bearly\b", rf"{_AMOUNT}|{_TERM}")),
    Rule("loan_early_repayment", (_AMOUNT, _TERM, f"{_OWED}|{_PAYS_OFF}", _AFTER)),
    Rule("loan_overpayment", (_WHAT_IF, _EXTRA, _MONTHLY_SUM, _LOAN)),
    Rule("loan_term", (_HOW_LONG, _AMOUNT, _MONTHLY_SUM, rf"{_LOAN}|{_PAYS_OFF}|{_PAY}"), _SAVES),
    Rule("borrow_for_payment", (_MONTHLY_SUM, r"\bhow (?:much|big|large)\b|\bwhat\b", _LOAN), rf"{_AMOUNT}|{_SAVES}"),
    Rule("savings_interest", (_INTEREST, _EARNS, _SUM), _NOT_WOULD_EARN),
    Rule("savings_interest", (_INTEREST, r"<s\d+>", _SUM), _NOT_WOULD_EARN),
    Rule("savings_interest", (_INTEREST, _HOW_MUCH, _SAVES, _SUM, _TERM), _NOT_WOULD_EARN),
    Rule("savings_interest", (r"\binterest (?:on|for|from)\b", _SAVES, _SUM), _NOT_WOULD_EARN),
    Rule("savings_interest", (_INTEREST, _SAVES, _SUM, r"<p\d+>", _TERM), _NOT_WOULD_EARN),
    Rule("savings_interest", (_BECOMES, _SUM, rf"{_SAVES}|{_TERM}"), _NOT_WOULD_EARN),
    Rule("savings_interest", (_SAVES, _SUM, _WOULD_HAVE, rf"\b(?:have|be)\b|{_EARNS}"), _NOT_WOULD_EARN),
    Rule("loan_total_cost", (_TOTAL, rf"{_LOAN}|{_OVER}", rf"{_PAY}|{_AMOUNT}|{_INTEREST}"), _MONTH),
    Rule("loan_total_cost", (_AMOUNT, _ABOUT_LOAN, _INTEREST, rf"{_PAY}|\bhow much interest\b"), rf"{_MONTH}|{_SAVES}"),
    Rule("loan_total_cost", (_AMOUNT, _ABOUT_LOAN, r"\b(?:pay(?:ing)? back|repay)\b", _ASKS), _MONTH),
    Rule(
        "loan_payment", (_AMOUNT, _ABOUT_LOAN, rf"{_PAY}|{_MONTH}", f"{_ASKS}|{_SUPPOSES}|{_CALCULATES}"), r"\bsave\b"
    ),
    Rule("loan_payment", (_OVER, rf"\bhow much\b|\bwhat(?:'s| would| will| are)\b|^monthly\b|{_CALCULATES}"), _SAVES),
    Rule(
        "loan_payment",
        (_AMOUNT, _LOAN, rf"{_IF_I_BORROW}|{_CALCULATES}|\bquote\b|\b(?:how much (?:is|for)|(?:price|cost) of) a\b"),
    ),
    Rule("loan_payment", (_AMOUNT, _LOAN, _TERM, r"\bhow much\b|\bwhat(?:'s| would| will)\b")),
    Rule("loan_payment", (_LOAN, rf"{_MONTH}|{_PAYMENTS}", _SUPPOSES, _ASKS), _HOW_TO),
    Rule(
        "loan_payment", (_LOAN, _CALCULATES, rf"{_PAY}|{_MONTH}|\bcalculator\b|{_CALCULATES} (?:me )?a loan\b"), _HOW_TO
    ),
)

# What a further question asks for while a form of its family is open: fewer patterns, its values are known already.
FOLLOW_UPS: tuple[Rule, ...] = (
    Rule("loan_overpayment", (_EXTRA, _MONTHLY_SUM)),
    Rule("loan_early_repayment", (_WHAT_IF, _PAYS_OFF), _MONTHLY_SUM),
    Rule("loan_early_repayment", (_OWED, _AFTER), _SUM),
    Rule("loan_early_repayment", (_PAID_FOR,), _SUM),
    Rule("amortisation_schedule", (rf"{_SCHEDULE}|\b(?:schedule|table|breakdown)\b",), r"\bwhat (?:is|does)\b"),
    Rule("borrow_for_payment", (_MONTHLY_SUM, r"\b(?:afford|pay|have|borrow|get)\b"), _AMOUNT),
    Rule(
        "loan_total_cost", (rf"{_TOTAL}|\bhow much (?:interest|(?:of (?:that|it|this) )?is (?:the )?interest)\b",), _SUM
    ),
    Rule("loan_payment", (_MONTH, rf"\b(?:how much|what|that)\b|{_PAYMENTS}"), _SUM),
)
FOLLOW_UP_WORDS = 16

# Other subjects, what happened already, and what somebody earns: no illustration, whatever else is said.
_VETOES = (
    _words(
        r"""(?:re)?mortgag\w* (?:credit|debit|bank)_cards? my_card overdra\w+ car_finance hire_purchase payday
        student_loans? business insurance pensions? shares? stocks? crypto\w* bitcoin direct_debits? standing_orders?
        subscription exchange cash_machine atm top(?:ping)?_?up purchases? bills? tax(?!_free) rent refund\w* disput\w+
        scam\w* fraud\w* stolen miss(?:ed|ing)? twice declined refused reject\w* elig\w+ qualif\w+ criteria apply
        appl(?:ied|ying|ication)\w* approv\w+ documents? credit_(?:score|rating|file|record|check) fees? penalt\w+
        allow(?:ed|ance) limits? max(?:imum)? min(?:imum)? holiday withdraw\w* transfer\w* why safe protect\w*
        was_(?:taken|charged|deducted|paid) (?:have|has|had|i've|i'd)_(?:already_|just_)?(?:been|paid|missed|had)
        salary wages income take_home bring_home get_paid"""
    )
    + r"|\b(?:what|which)(?:'s| is| are| was)? (?:\w+ ){0,4}(?:rates?|apr|aer)\b"
    + r"|\b(?:i earn|i make|i get|i'm on|i am on) (?:about |around )?<"
)


def recognise(asked: Marked, family: str = "") -> Tool | None:
    """The calculation that a question asks for, None if it is not surely one; `family` is that of an open form."""
    if not (family or asked.values or asked.has(_LOAN)):  # no rule could match
        return None
    tool = _first(RULES, asked)
    if tool is None and family and len(asked.words.split()) <= FOLLOW_UP_WORDS:
        tool = _first([rule for rule in FOLLOW_UPS if TOOLS[rule.tool].family == family], asked)
    if tool is None and only_values(asked) and not asked.has(_NOT_WOULD_COST):
        tool = _of_bare_values(asked, family)
    if tool is None or (asked.has(_VETOES) and not (family and asked.has(_PAID_FOR))):
        return None
    return tool


def _of_bare_values(asked: Marked, family: str) -> Tool | None:
    """What values ask for where no rule does: the family that they name, if another is open; a loan with none open."""
    if family == "loan":
        return TOOLS["savings_interest"] if asked.has(_SAVINGS) and not asked.has(_LOAN) else None
    if family:
        return TOOLS["loan_payment"] if asked.has(_LOAN) and not asked.has(_SAVINGS) else None
    return TOOLS["loan_payment"] if asked.has(_OVER) else None  # "ten thousand over five years" asks what that costs


def _first(rules: Iterable[Rule], asked: Marked) -> Tool | None:
    """The tool of the first rule that matches; none of a loan where the question is not what one would cost."""
    for rule in rules:
        if rule.matches(asked) and not (TOOLS[rule.tool].family == "loan" and asked.has(_NOT_WOULD_COST)):
            return TOOLS[rule.tool]
    return None
