"""What the bank's voice may do: what it answers itself, what a person must take, what may be looked up again.

Rules are tables, first match wins. They see redacted text only. A rule is a pattern and the line that is spoken; its name
is the answer's reason. Not here: which text answers a question (retrieval.py) and whether wording may change (grounding.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from teller.call import Memory
from teller.ports import Asked
from teller.turn import Answer, DataClass, MissReason, Question, Source, ValueKind

POLICY_VERSION = "2026-11-6"  # change it with any rule: answers that were cached under another policy are never served
# A transcript that is less sure than this is asked for again. Measured with PocketSphinx on 40 questions in three flite
# voices, against the answer to the same question typed. Clean: 1 of 120 is below 0.6, none below 0.55. In pink noise at
# 12 dB: of the 18 between 0.35 and 0.5, 12 get a wrong answer, 4 the right one; of the 15 between 0.5 and 0.6 it is
# 7 and 6, too even to ask again; of the 12 above, 7 and 5.
MIN_CONFIDENCE = 0.5
NOT_COVERED = ("not_covered", "not_covered_twice")  # reasons of an answer that knowledge had nothing for
UNANSWERED_BEFORE_HANDOFF = 2  # turns in a row; nobody should have to ask a third time

NOTICE = "Hello, you are speaking to an automated assistant of {bank}. Calls may be recorded."
INVITATION = "Ask me about your account, cards, payments, loans or savings, or say 'a person' at any time."
OFFER = "Would you like me to put you through to a person?"


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern and what is said when it matches.

    Attributes:
        signs: in small letters; whatever the pattern matches has one of them, and most texts, which have none, are
            passed at once.
    """

    name: str
    source: Source
    pattern: re.Pattern[str]
    line: str
    signs: tuple[str, ...] = ("",)

    def matches(self, text: str, small: str) -> bool:
        """Whether the rule is for a text; `small` is the text in small letters, empty to look at it in any case."""
        return (not small or any(map(small.__contains__, self.signs))) and self.pattern.search(text) is not None


def _rule(name: str, source: Source, line: str, *patterns: str, signs: str) -> Rule:
    return Rule(name, source, re.compile("|".join(patterns), re.IGNORECASE), line, tuple(signs.split("|")))


_PERSON = r"(?:a |an |the |some )?(?:real |actual |live |proper |human |customer service )?"
_PERSON += r"(?:person|human(?: being)?|agent|adviser|advisor|representative|operator|somebody|someone|colleague|supervisor|manager)"

_OTHERS = (
    "barclays|barclaycard|hsbc|lloyds|halifax|natwest|santander|nationwide|monzo|starling|revolut|tsb|first direct|rbs|"
    "chase(?= (?:bank|uk|accounts?|cards?)\\b|'s)|(?<=\\bwith )chase|"
    "metro bank|virgin money|co-?op(?:erative)? bank|tesco bank|sainsbury'?s bank|m&s bank|amex|american express|citibank|"
    "wells fargo|bank of america|pnc|paypal|klarna|clearpay|western union|moneygram|vanguard|fidelity|hargreaves|"
    "coinbase|binance|admiral|aviva|direct line|axa|legal and general"
)

RULES: tuple[Rule, ...] = (
    _rule(
        "crisis",
        Source.HANDOFF,
        "I am so sorry that you are feeling this way. You matter more than anything about your money. Please call Samaritans "
        "free on 116 123, or 999 if you are in danger. I am putting you through to a person now.",
        r"\b(?:kill|hurt|harm)(?:ing)? myself\b",
        r"\bend(?:ing)? (?:it all|my (?:own )?life)\b",
        r"\bsuicid(?:e|al)\b",
        r"\bdo(?:n't| not) want to (?:live|be alive|be here any ?more)\b",
        signs="myself|it all|life|suicid|want to live|want to be",
    ),
    _rule(
        "asked_for_a_person",
        Source.HANDOFF,
        "Of course. I am putting you through to a person now; they will see what we have talked about.",
        rf"\b(?:speak|talk|chat|put me through|transfer me|connect me|get me|give me|pass me)(?: \w+){{0,3}} (?:to|with|through to) {_PERSON}\b",
        rf"\b(?:get me|give me|i want|i need|i'd like|can i have|let me have|i would like) {_PERSON}(?: please| now)?[.!?]*$",
        rf"^\W*{_PERSON}(?: please)?\W*$",
        r"^(?!.*\b(?:what|all|everything|stress|hell|misery|nightmare|worry|trouble)\b.{0,25}\bput me through\b(?! to))"
        r".*\bput me through\b(?! to (?:my|the) (?:account|app)| (?:hell|it|this|that|a lot|so much|all|misery|the mill|the wringer)\b)",
        signs="person|human|agent|advis|representative|operator|somebody|someone|colleague|supervisor|manager|put me through",
    ),
    _rule(
        "instructions",
        Source.REFUSED,
        "I can only help with questions about banking with us. What would you like to know?",
        r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|rules?|prompts?|guidelines?|everything above|policy)\b",
        r"\b(?:system|hidden|initial|secret) (?:prompt|instructions?|message)\b",
        r"\b(?:you are|you're|act as|pretend (?:to be|you are|you're)|role ?play as)\b.{0,40}\b(?:now|dan|evil|jailbroken|unrestricted|developer|hacker|admin)\b",
        r"\b(?:developer|admin|debug|god|dan) mode\b",
        r"\brepeat (?:the|your|all)\b.{0,30}\b(?:above|prompt|instructions)\b",
        r"\b(?:repeat|say) (?:this )?after me\b",
        r"</?\s*(?:system|assistant|user|answer|instructions?|prompt|tool)\s*>",
        r"(?:^|[.,;:!>]|\bplease|\bnow|\bjust)\s*(?:approve|grant|authori[sz]e) (?:me |my |the |a |this )(?:\w+ ){0,3}(?:application|loan|mortgage|overdraft|credit|payment|refund)\b(?!.*\?)",
        signs="ignore|disregard|forget|override|system |hidden |initial |secret |you are|you're|act as|pretend|play as| mode|"
        "repeat|after me|<|approve |grant |authori",
    ),
    _rule(
        "wrongdoing",
        Source.REFUSED,
        "I cannot help with that. If you think that somebody is misusing a card or an account, tell me and I will say what to do.",
        r"\b(?:how (?:do|can|could|would) (?:i|we|you)|how to|(?:teach|show|help) me(?: how)?(?: to)?|i (?:want|need) to)(?: \w+ly)? "
        r"(?:clone|skim|forge|fake|hack|counterfeit|launder)\b",
        r"\b(?:get (?:round|around|past)|bypass|evade|avoid|trick|beat|fool)\b.{0,25}\b(?:fraud|security|identity|id|money laundering|aml|kyc|credit)[- ](?:checks?|systems?|controls?|detection|team|rules)\b",
        signs="clone|skim|forge|fake|hack|counterfeit|launder|get round|get around|get past|bypass|evade|avoid|trick|beat|fool",
    ),
    _rule(
        "someone_elses_data",
        Source.REFUSED,
        "I can only talk about your own account, and I never share anything about another customer. "
        "If you have authority over somebody's account, such as a power of attorney, I can tell you how to set that up.",
        r"\b(?:someone|somebody|anyone) else'?s (?:\w+ )?(?:balance|pin|password|details|statements?|transactions)\b",
        r"\b(?:give|tell|show|read|see|access|look (?:at|into)|get (?:into|at)|log (?:in|into|on)|check|view|find out|what(?:'s| is| are))\b"
        r".{0,40}\b(?:someone|somebody|anyone) else'?s (?:account|card)\b",
        r"\b(?<!late )(?<!dead )(?<!deceased )(?:wife|husband|partner|neighbou?r|boss|ex|friend|girlfriend|boyfriend|brother|sister|mum|dad|mother|father|colleague|son|daughter)'?s "
        r"(?:\w+ ){0,2}(?:balance|pin|password|passcode|transactions|account number|account details|card number|statement|salary)\b",
        r"\b(?:balance|pin|password|transactions|details|statements?|salary)\b (?:on|of|for|in|from|at|belonging to) (?:my|an?) (?!late |dead |deceased )(?:\w+ )?(?:wife|husband|partner|neighbou?r|boss|ex|friend|girlfriend|boyfriend|brother|sister|mum|dad|mother|father|colleague|son|daughter)\b",
        r"\bother (?:customers?|people)'?s? (?:card numbers?|balance|details|accounts?|data|names?)\b",
        signs="else|wife|husband|partner|neighbo|boss|ex's |exs | ex|friend|brother|sister|mum|dad|mother|father|colleague|son|"
        "daughter|other customer|other people",
    ),
    _rule(
        "secrets",
        Source.REFUSED,
        "I will never tell or ask for a PIN, a password, a full card number or a one-time code, and nobody from the bank will.",
        r"\b(?:tell|give|read|show|remind|send) me (?:out )?(?:what )?(?:my|the) (?:\w+ ){0,2}(?:pin|password|passcode|cvv|security code|card number|one.time code)\b(?!.*\bforg[eo]t)",
        r"\bwhat(?:'s| is| are) (?:my|the) (?:\w+ )?(?:pin|password|passcode|cvv|card number|security code)\b(?! for| used)(?!.*\bforg[eo]t)",
        signs="pin|password|passcode|cvv|security code|card number|time code",
    ),
    _rule(
        "secrets_given",
        Source.REFUSED,
        "Please do not tell me card numbers, PINs, passcodes or passwords: I do not need them, and I have not kept that one. "
        "If somebody else may have heard it, change it in the app or ask me for a person. What can I help you with?",
        r"\bmy (?:\w+ )?(?:pin|passcode|password|cvv|security code|one.time code|memorable word)(?: number)? (?:is|was|=)\W*(?:\[|\d|\w*\d)",
        r"\bmy (?:\w+ ){0,2}card(?: number)? (?:is|=)\W*\[card\]",
        signs="pin|password|passcode|cvv|security code|time code|memorable word|[card]",
    ),
    _rule(
        "other_company",
        Source.REFUSED,
        "I can only speak for this bank. Please ask them directly; their number is on their website or on the back of your card.",
        rf"^(?!.*\b(?:switch|mov|transfer|send|sent|receiv|recogni[sz]|paid|pay|charg|taken|took|spen[dt]|link|connect|join|leav|from|refund|bring|remortgag|put|owe)\w*\b"
        rf"|.*\b(?:here|with you|this account|i(?:'m| am) with)\b).*\b(?:{_OTHERS})\b",
        rf"\b(?:does|do|is|are|will|would|can|could|did|has|should) (?:the )?(?:{_OTHERS})\b",
        rf"\b(?:{_OTHERS})'?s (?:\w+ ){{0,2}}(?:rate|fee|charge|account|app|branch|offer|loan|mortgage|card|overdraft)s?\b",
        signs="barclay|hsbc|lloyds|halifax|natwest|santander|nationwide|monzo|starling|revolut|tsb|first direct|chase|rbs|metro|"
        "virgin|op bank|operative bank|tesco|sainsbury|m&s|amex|american express|citibank|wells fargo|bank of america|pnc|"
        "paypal|klarna|clearpay|western union|moneygram|vanguard|fidelity|hargreaves|coinbase|binance|admiral|aviva|"
        "direct line|axa|legal and general",
    ),
    _rule(
        "advice",
        Source.REFUSED,
        "I cannot give advice on what to invest in or what is best for you. I can explain how our own products work, "
        "or put you through to a qualified adviser.",
        r"\bshould i (?:invest|buy|put (?:my|all|some)|sell|trade|remortgage|switch my pension|cash in)\b",
        r"\b(?:which|what) (?:stocks?|shares?|funds?|crypto\w*|coins?|investments?)\b.{0,30}\b(?:best|buy|good|recommend|invest|pick)\b",
        r"\b(?:recommend|suggest)\b.{0,30}\b(?:stocks?|shares?|crypto\w*|bitcoin|funds?|investments?)\b",
        r"\bwill (?:the )?(?:stocks?|shares?|bitcoin|house prices|interest rates|the market|the pound)\b.{0,25}\b(?:go up|go down|rise|fall|crash|drop|increase)\b",
        signs="should i |stock|share|fund|crypto|coin|investment|recommend|suggest|will ",
    ),
)

_POLITELY = (
    r"^(?:\W|please|can you|could you|would you|i want you to|i need you to|just|go ahead and|now|hi|hello|hey)*"
)
_MOVES_MONEY = re.compile(
    _POLITELY + r"(?:transfer|send|pay|move|wire|withdraw)\b(?! (?:my|off|out)? ?(?:money )?(?:abroad|overseas)\b.*\?)",
    re.IGNORECASE,
)
_FOR_ME = re.compile(r"\bfor me\b[^?]*$", re.IGNORECASE)
_ACTION = Rule(
    "action",
    Source.REFUSED,
    _MOVES_MONEY,
    "I cannot move money for you on this line. You can do it in the app or in online banking, "
    "or I can put you through to a person who can, once they have checked who you are.",
)

# The cache is asked what is recognised as a question, or says by itself what it is about; no bare replies, and no orders
# about what is the caller's own ("freeze my card"); "add a payee" only names a subject.
_GENERAL = re.compile(
    r"\b(?:what|when|where|which|why|who|how|whose|can|could|do|does|did|is|are|was|will|would|should|may|must|has|have|am)\b"
    r"|\b(?:tell me|explain|i (?:want|need|would like|'d like) to (?:know|find out|ask|understand)|wondering|curious|"
    r"information|info|details|help|problem|issue|trouble|not working|doesn't work|won't|wont|can't|cannot|cant|hasn't|haven't|"
    r"isn't|wasn't|didn't|lost|stolen|missing|wrong|declined|failed|rejected|pending|blocked|charged|forgot|forgotten)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(
    _POLITELY
    + r"(?:transfer|send|pay|move|wire|withdraw|deposit|block|unblock|freeze|unfreeze|lock|unlock|stop|cancel|close|open|"
    r"activate|order|replace|change|update|increase|raise|lower|reduce|remove|add|delete|book|refund|recall|set|turn|switch|"
    r"top|put|take|give|get|bring|make|create|start|apply|register|sign|swap|exchange|buy|sell|show|read|check|repeat)\b",
    re.IGNORECASE,
)
_NAMES_A_SUBJECT = re.compile(
    _POLITELY + r"(?:(?:\w+ ){1,2}(?:a|an|someone|somebody)\b|(?:give|get|apply|register|sign|switch|start|pay in)\b)"
    r"(?!.*(?:\b(?:my|mine|me|our|ours|us|the|this|that|these|those|it|its|his|him|her|their|them|now)\b|[\d£$€\[]))",
    re.IGNORECASE,
)
_SAYS_SOMETHING = re.compile(
    r"\b(?!(?:the|and|but|for|not|you|your|she|her|his|him|they|them|their|its|our|this|that|these|those|one|ones|other|first|"
    r"second|third|last|same|hundred|thousand|million|pounds|percent|days|weeks|months|years|yes|yeah|yep|sure|"
    r"okay|please|thank|thanks|hello|good|fine|right|well|just|now|then|there|here)\b)"
    r"[^\W\d_]{3,}",
    re.IGNORECASE,
)
_FEWEST_WORDS = 2  # that say something, without which an utterance may be a reply, or lean on what went before
_PERSONAL = re.compile(
    r"\b(?:my (?:\w+ )?(?:balance|salary|wages|transactions|statement total|credit score|limit|application|complaint|case|claim)"
    r"|i (?:owe|earn|spent|was paid)|to my account number)\b",
    re.IGNORECASE,
)
# "is it free to ..." and "what if the shop refuses ..." say themselves what they are about. A pronoun that something of
# the caller's is named before ("I lost my card, can I freeze it") points to that.
_POINTS_BACK = re.compile(
    r"^\W*(?:ok(?:ay)?|right|so|um+|well|oh|no)?\W*(?:and|what about|how about|same for)\b|\bwhat if(?=(?:\W+[\w']+){1,4}\W*$)"
    r"|\b(?:that one|this one|the other one|the first one|the second one|(?:do|undo|for|with|about|of|cancel|change) (?:it|that|them|those)|then)\b"
    r"|\b(?:is|does|will|can) (?:(?:that|them|those)\b|it\b(?!.*\b(?:to|if|what|when|by|for)\b))"
    r"|^(?!.*\b(?:my|the|a|an|your|our|this|his|her|their)\b.*\b(?:it|one|them|those)\b).*\b(?:pay|close|open|use|get|take|stop|see|find|"
    r"move|switch|claim|lose|have|need|order|want|return|replace|block|spend|withdraw|send|keep|fix|clear|repay|settle)(?:ing)? "
    r"(?:it|one|them|those)\b(?! (?:of|day|month|year|time|account|card|is|to|that)\b)"
    r"|\bi meant\b|^\W*(?:(?:no|sorry|wait|actually|i mean)\b\W*)+(?:not )?(?:the|an?|my)\b(?=(?:\W+[\w']+){1,5}\W*$)",
    re.IGNORECASE,
)
_MOST_WORDS = 12  # a longer question stands on its own, whatever pronouns it has
_ACCEPTS = re.compile(
    r"\W*(?:yes|yeah|yep|sure|ok|okay|please|yes please|go on|do that|that would be (?:great|good))\W*(?:please|thanks|thank you)?\W*",
    re.IGNORECASE,
)
_LIVE_TIME = re.compile(r"\b(?:right now|at the moment|as of now|today's|currently open)\b", re.IGNORECASE)


def first_word(question: Question) -> Answer | None:
    """The bank's answer to what must not be looked up, computed or generated; None if the turn goes on."""
    small = question.text.lower() if question.text.isascii() else ""  # beyond ASCII, other letters match "k" and "s"
    for rule in RULES:
        if rule.matches(question.text, small):
            return _spoken(rule)
    if _MOVES_MONEY.search(question.text) and (
        any(value.kind is ValueKind.MONEY for value in question.values) or _FOR_ME.search(question.text)
    ):
        return _spoken(_ACTION)
    return None


def cannot_be_cached(question: Question, memory: Memory) -> MissReason | None:
    """Why the cache must not be asked or filled with this question; None if it may.

    Refused by default: only a question or a statement that says what it is about, without personal data, live values,
    orders or references to what was said before, is looked up.
    """
    if memory.form or points_back(question, memory) or _LIVE_TIME.search(question.text):
        return MissReason.NOT_ELIGIBLE
    if question.redacted or _PERSONAL.search(question.text) or not _stands_alone(question.text):
        return MissReason.NOT_ELIGIBLE
    if question.confidence < MIN_CONFIDENCE:
        return MissReason.LOW_CONFIDENCE
    return None


def _stands_alone(text: str) -> bool:
    if _GENERAL.search(text):
        return True
    if _ORDER.match(text) and not _NAMES_A_SUBJECT.match(text):
        return False
    return len(_SAYS_SOMETHING.findall(text)) >= _FEWEST_WORDS


def points_back(question: Question, memory: Memory) -> Asked | None:
    """What a question leans on, if it is short and points to what was asked before; None if it stands on its own."""
    leans = memory.asked and len(question.text.split()) <= _MOST_WORDS and _POINTS_BACK.search(question.text)
    return Asked(memory.asked, memory.topic) if leans else None


def may_lean(question: Question, memory: Memory) -> Asked | None:
    """What a short question that nothing covers by itself may lean on; None if nothing was answered before."""
    short = len(question.text.split()) <= _MOST_WORDS
    return Asked(memory.asked, memory.topic) if short and memory.asked and not points_back(question, memory) else None


def leans_on(question: Question, answer: Answer, memory: Memory) -> str:
    """What the next question may point back to: this one with what it leaned on itself, or a calculation's subject."""
    if answer.source is Source.TOOL:
        return (
            "" if not memory.form else "a savings account" if memory.form.startswith("savings") else "a personal loan"
        )
    if not answer.citations:
        return ""
    before = points_back(question, memory)
    return f"{before.text.rpartition(' / ')[2]} / {question.text}" if before else question.text


def is_for_everyone(answer: Answer) -> bool:
    """Whether an answer is the same whoever asks: neither a customer's own, nor made with values that a caller gave."""
    return answer.data_class is not DataClass.CUSTOMER and answer.source is not Source.TOOL


def not_heard(memory: Memory) -> Answer:
    """Said when the caller was not understood; after a turn that went unanswered with the offer of a person."""
    if memory.unanswered:
        return _line("not_heard_again", Source.REFUSED, f"I am sorry, I did not catch that. {OFFER}")
    return _line("not_heard", Source.REFUSED, "Sorry, I did not catch that. Could you say it again, please?")


def not_covered(memory: Memory) -> Answer:
    """Said when nothing approved covers the question: honest first, a person the second time in a row."""
    if memory.unanswered + 1 >= UNANSWERED_BEFORE_HANDOFF:
        return _line(
            "not_covered_twice",
            Source.HANDOFF,
            "I am sorry, I do not know that either, so I am putting you through to a person who can help.",
        )
    return _line(
        "not_covered", Source.REFUSED, f"I am sorry, I do not know that, and I would rather not guess. {OFFER}"
    )


def cannot_look_up(memory: Memory) -> Answer:
    """Said when the knowledge is away or too slow: honest first, a person the second time in a row."""
    if memory.unanswered + 1 >= UNANSWERED_BEFORE_HANDOFF:
        return _line(
            "cannot_look_up_twice",
            Source.HANDOFF,
            "I am sorry, I still cannot look that up, so I am putting you through to a person who can help.",
        )
    return _line("cannot_look_up", Source.REFUSED, f"I am sorry, I cannot look that up at the moment. {OFFER}")


def accepts_offer(question: Question, memory: Memory) -> Answer | None:
    """The hand-over after "yes" to the offer of a person; None if no offer is open or it was not taken."""
    if memory.unanswered and _ACCEPTS.fullmatch(question.text):
        return _line(
            "offer_taken",
            Source.HANDOFF,
            "I am putting you through to a person now; they will see what we have talked about.",
        )
    return None


def _spoken(rule: Rule) -> Answer:
    return _line(rule.name, rule.source, rule.line)


def _line(name: str, source: Source, text: str) -> Answer:
    return Answer(text, source, answer_id=f"policy.{name}", data_class=DataClass.PUBLIC, reason=name)
