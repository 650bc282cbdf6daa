"""Redaction: a secret in any rendering is gone, an ordinary question is untouched, and once is enough."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teller
from teller.errors import InputError
from teller.redaction import MAX_CHARACTERS, nothing_heard, redact
from teller.redaction.digits import is_card_number
from teller.redaction.letters import is_iban
from teller.turn import Transcript, ValueKind
from teller.values import Catalogue

# Card numbers that the schemes and payment providers publish for tests; no account is behind them.
CARDS = {
    "visa": ("4111111111111111", "4012888888881881", "4000056655665556", "4222222222222"),
    "mastercard 5x": ("5555555555554444", "5105105105105100"),
    "mastercard 2x": ("2223003122003222", "2221000000000009", "2720990000000007"),
    "american express": ("378282246310005", "371449635398431"),
    "discover": ("6011111111111117", "6011000990139424"),
    "diners": ("30569309025904", "38520000023237", "3056930009020004"),
    "jcb": ("3530111333300000", "3566002020360505"),
    "maestro": ("6759649826438453", "6304000000000000"),
    "unionpay": ("6200000000000005", "6250941006528599"),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def groups(digits, size=4):
    return [digits[i : i + size] for i in range(0, len(digits), size)]


def spoken(digits, zero="zero"):
    return " ".join(DIGITS[int(d)] if d != "0" else zero for d in digits)


def doubled(digits):
    """As people read: "double four", "triple one"."""
    runs = re.findall(r"(\d)(\1{0,2})", digits)
    return " ".join(f"{('', 'double ', 'triple ')[len(more)]}{spoken(digit, 'oh')}" for digit, more in runs)


def in_pairs(digits):
    """As people read: "forty one eleven"."""
    said = []
    for pair in groups(digits, 2):
        tens, unit = int(pair[0]), int(pair[-1])
        if len(pair) == 1 or tens == 0:
            said.append(spoken(pair, "oh"))
        elif tens == 1:
            said.append(TEENS[unit])
        else:
            said.append(TENS[tens] + (f" {DIGITS[unit]}" if unit else ""))
    return " ".join(said)


RENDERINGS = {
    "plain": lambda d: d,
    "in fours": lambda d: " ".join(groups(d)),
    "in threes": lambda d: " ".join(groups(d, 3)),
    "in twos": lambda d: " ".join(groups(d, 2)),
    "dashed": lambda d: "-".join(groups(d)),
    "dotted": lambda d: ".".join(groups(d)),
    "with slashes": lambda d: "/".join(groups(d)),
    "with underscores": lambda d: "_".join(groups(d)),
    "with colons": lambda d: ":".join(groups(d)),
    "with commas": lambda d: ", ".join(groups(d)),
    "in sentences": lambda d: ". ".join(groups(d)),
    "in brackets": lambda d: " ".join(f"({g})" for g in groups(d)),
    "in markdown": lambda d: " ".join(f"**{g}**" for g in groups(d)),
    "on lines": lambda d: "\n".join(groups(d)),
    "digit by digit": lambda d: " ".join(d),
    "digit by digit, dashed": lambda d: "-".join(d),
    "digit by digit, commas": lambda d: ", ".join(d),
    "full width": lambda d: "".join(chr(0xFF10 + int(c)) for c in d),
    "arabic digits": lambda d: "".join(chr(0x660 + int(c)) for c in d),
    "bold digits": lambda d: "".join(chr(0x1D7CE + int(c)) for c in d),
    "keycaps": lambda d: "".join(f"{c}️⃣" for c in d),
    "underlined": lambda d: "".join(f"{c}̲" for c in d),
    "zero-width spaces": lambda d: "​".join(d),
    "soft hyphens": lambda d: "­".join(groups(d)),
    "no-break spaces": lambda d: " ".join(groups(d)),
    "bidi marks": lambda d: f"‮{d}‬",
    "letter O for nought": lambda d: d.replace("0", "O"),
    "spoken": spoken,
    "spoken with oh": lambda d: spoken(d, "oh"),
    "spoken with nought": lambda d: spoken(d, "nought"),
    "spoken with hyphens": lambda d: "-".join(spoken(d).split()),
    "spoken in capitals": lambda d: spoken(d).upper(),
    "spoken with double and triple": doubled,
    "spoken in pairs": in_pairs,
    "spoken in pairs with commas": lambda d: ", ".join(in_pairs(g) for g in groups(d)),
    "spoken with um": lambda d: " um ".join(spoken(g) for g in groups(d)),
    "spoken with um all over": lambda d: re.sub(r"(\w+ \w+ \w+)", r"\1 um", spoken(d)),
    "spoken with and then": lambda d: " and then ".join(spoken(g) for g in groups(d)),
    "spoken with then the next is": lambda d: " then the next is ".join(spoken(g) for g in groups(d)),
    "spoken with dash": lambda d: " dash ".join(spoken(g) for g in groups(d)),
    "spoken with commas": lambda d: ", ".join(spoken(g) for g in groups(d)),
    "spoken with pauses": lambda d: " ... ".join(spoken(g) for g in groups(d)),
    "parted by phrases": lambda d: " after that I have ".join(groups(d)),
    "parted by letters": lambda d: "x".join(groups(d)),
    "half spoken": lambda d: f"{' '.join(groups(d)[:2])} {spoken(d[8:])}",
    "every other group spoken": lambda d: " ".join(spoken(g) if n % 2 else g for n, g in enumerate(groups(d))),
}
SENTENCES = (
    "{}",
    "my card is {} please block it",
    "My card number is {}, expiry 12/27.",
    "I was charged twenty pounds on {} yesterday",
    "hi um so the long number is {} okay",
    "block {} and order two new cards for my wife",
    "{} was declined for £40 at 5pm on 24/12/2026",
)


def hear_digits(text):
    """All digits of a text, written or spoken: read apart from the rules under test."""
    heard, repeat, ten = [], 1, 0
    for word in re.findall(r"\d|[a-z]+", text.lower()):
        digit = word if word.isdigit() else "0" if word in {"oh", "o", "nought"} else ""
        if word in DIGITS:
            digit = str(DIGITS.index(word))
        if ten and digit not in {"", "0"}:
            heard[-1], ten = str(ten) + digit, 0
            continue
        ten = 0
        if word in {"double", "triple"}:
            repeat = {"double": 2, "triple": 3}[word]
            continue
        if word in TEENS:
            digit = str(10 + TEENS.index(word))
        elif word in TENS:
            ten = TENS.index(word)
            digit = f"{ten}0"
        heard.append(digit * repeat)
        repeat = 1
    return "".join(heard)


def leaked(text, secret):
    """How many digits of a secret, one after another, a text still tells."""
    heard = hear_digits(text)
    return max(
        (n for n in range(len(secret) + 1) for i in range(len(secret) - n + 1) if secret[i : i + n] in heard), default=0
    )


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_no_rendering_of_a_card_number_leaks(rendering):
    for card in (card for cards in CARDS.values() for card in cards):
        for sentence in SENTENCES:
            question = redact(Transcript(sentence.format(RENDERINGS[rendering](card)))).question

            assert leaked(question.text, card) < 5, question.text
            assert {"card", "number"} & set(question.redacted), question.text
            assert "card" in question.redacted or rendering.startswith("parted"), question.text


def test_the_reader_of_the_canaries_hears_every_rendering():
    card = "4000056655665556"
    unheard = {name for name, render in RENDERINGS.items() if name.isascii() and leaked(render(card), card) < 16}

    assert unheard <= {"full width", "arabic digits", "bold digits", "letter O for nought"}


@given(st.integers(0, 10**15 - 1), st.sampled_from(sorted(RENDERINGS)), st.sampled_from(SENTENCES))
@settings(max_examples=300, deadline=None)
def test_a_misheard_card_number_goes_too(n, rendering, sentence):
    digits = f"4{n:015}"
    question = redact(Transcript(sentence.format(RENDERINGS[rendering](digits)))).question

    assert leaked(question.text, digits) < 6
    assert {"card", "number"} & set(question.redacted)


def test_each_scheme_has_a_card_that_is_known():
    assert all(is_card_number(card) for cards in CARDS.values() for card in cards)


@given(st.sampled_from([card for cards in CARDS.values() for card in cards]), st.integers(0, 11), st.integers(1, 9))
def test_one_wrong_digit_fails_the_check_digit(card, place, step):
    wrong = card[:place] + str((int(card[place]) + step) % 10) + card[place + 1 :]

    assert not is_card_number(wrong)


SECRETS = {
    "account": ("12345678", ("my account number is {}", "account {} please", "{}", "pay into {} at the branch")),
    "sort-code": ("204719", ("my sort code is {}", "the sort code {} is wrong", "sort code: {}")),
    "phone": ("07700900123", ("call me on {} after 5pm", "my mobile is {}", "{}")),
    "code": ("483920", ("the code is {}", "I got the code {} by text", "{} is the code I got", "passcode {}")),
    "pin": ("2749", ("my pin is {}", "change my pin to {}", "PIN number {}", "{} is my pin")),
    "cvv": ("739", ("the security code is {}", "cvv {}", "the three digits on the back are {}")),
    "passport": ("925665416", ("my passport number is {}", "passport {}")),
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "rendering",
    [
        *("plain", "in fours", "digit by digit", "full width", "zero-width spaces", "spoken", "spoken with oh"),
        *(
            "spoken with double and triple",
            "spoken with um",
            "spoken with and then",
            "spoken in capitals",
            "half spoken",
        ),
    ],
)
def test_no_rendering_of_another_number_leaks(kind, rendering):
    secret, sentences = SECRETS[kind]
    for sentence in sentences:
        question = redact(Transcript(sentence.format(RENDERINGS[rendering](secret)))).question

        assert leaked(question.text, secret) < min(5, len(secret)), question.text
        assert kind in question.redacted, question.text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("sort code 12-34-56 account 12345678", "sort code [sort-code] account [account]"),
        ("12-34-56 12345678", "[sort-code] [account]"),
        ("sort code twelve thirty four fifty six", "sort code [sort-code]"),
        ("my iban is GB29 NWBK 6016 1331 9268 19", "my iban is [iban]"),
        ("GB29NWBK60161331926819", "[iban]"),
        ("gb29 nwbk 6016 1331 9268 19", "[iban]"),
        ("DE89370400440532013000 and GB00 NWBK 6016 1331 9268 19", "[iban] and [iban 2]"),
        ("g b two nine n w b k six oh one six one three three one nine two six eight one nine", "[iban]"),
        ("golf bravo two nine november whiskey bravo kilo six zero one six one three three one nine two six", "[iban]"),
        ("write to john.smith+bank@example.co.uk", "write to [email]"),
        ("my email is john dot smith at gmail dot com", "my email is [email]"),
        ("it's j smith 42 at hot mail dot co dot uk", "it's [email]"),
        ("john_smith at example dot org please", "[email] please"),
        ("call +44 7700 900 123", "call [phone]"),
        ("call me on oh seven seven double oh nine hundred one two three", "call me on [phone]"),
        ("0121 496 0123", "[phone]"),
        ("(020) 7946 0123", "([phone]"),
        ("555-123-4567", "[phone]"),
        ("plus four four seven seven double oh nine oh oh one two three", "[phone]"),
        ("I was born on the 3rd of May 1985", "I was born on the [dob]"),
        ("my date of birth is 03/05/1985", "my date of birth is [dob]"),
        ("date of birth third may eighty five", "date of birth [dob]"),
        ("dob 3 5 85", "dob [dob]"),
        ("my pin is nineteen eighty four", "my pin is [pin]"),
        ("the PIN for my debit card is 4821", "the PIN for my debit card is [pin]"),
        ("the code of my card is four eight two one", "the code of my card is [code]"),
        ("on the back of my card it says 739", "on the back of my card it says [cvv]"),
        ("my name is John Smith and I lost my card", "my name is [name] and I lost my card"),
        ("my name is john smith and i lost my card", "my name is [name] and i lost my card"),
        ("My name is Zbigniew O'Neill-Kowalczyk.", "My name is [name]."),
        ("hello this is Sarah Jones speaking", "hello this is [name] speaking"),
        ("It's Priya here", "It's [name] here"),
        ("I'm Ethan Gonzalez", "I'm [name]"),
        ("I am Dr. Patel", "I am [name]"),
        ("Emma Thompson speaking", "[name] speaking"),
        ("I live at 12 High Street, London SW1A 1AA", "I live at [address]"),
        ("flat 3, 221b baker street", "[address]"),
        ("we moved to 7 Rose Close", "we moved to [address]"),
        ("my postcode is m1 1ae", "my postcode is [postcode]"),
        ("AB 12 34 56 C is my ni number", "[ni] is my ni number"),
        ("ab123456c", "[ni]"),
        ("q q one two three four five six c", "[ni]"),
        ("my passport is A12345678", "my passport is [passport]"),
        ("my password is hunter2", "my password is [password]"),
        ("my memorable word is giraffe", "my memorable word is [password]"),
        ("the memorable word's blue butterfly", "the memorable word's [password]"),
        ("my password is capital B bob one two three, reset it", "my password is [password], reset it"),
        ("username jsmith84 please", "username [username] please"),
        ("my security answer is Rover", "my security answer is [password]"),
        ("my first school was Hill Top", "my first school was [password]"),
        ("the code is A7F-92K", "the code is [code]"),
        ("email jo [at] example [dot] org", "email [email]"),
        ("mail o'brien@example.com", "mail [email]"),
        ("the sort code's 07-01-16", "the sort code's [sort-code]"),
        ("my zip code is 94107", "my zip code is [postcode]"),
        ("the last four of my social are 1120", "the last four of my social are [ni]"),
        (
            "next four 4539, next four 1488, then last four 0343",
            "next four [number], next four [number 2], then last four [number 3]",
        ),
        ("my number is 0800 496 0123", "my number is [phone]"),
        ("date of birth twelfth of the third eighty four", "date of birth [dob]"),
        ("the first of the second seventy six, my date of birth", "the [dob], my date of birth"),
        ("my birthday's fifteenth april", "my birthday's [dob]"),
        ("the account is in the name of Wei Zhang", "the account is in the name of [name]"),
        ("first name will, last name may", "first name [name], last name [name 2]"),
        ("surname s m i t h", "surname [name]"),
        ("my name is spelled P-R-I-Y-A", "my name is spelled [name]"),
        ("the name on the card is MR A N OTHER", "the name on the card is [name]"),
        ("my name is mohammed al-fayed", "my name is [name]"),
        ("good morning this is mark from the garage", "good morning this is [name] from the garage"),
        ("this is oluwaseun calling", "this is [name] calling"),
        ("hello, Jean-Luc Moreau calling", "hello, [name] calling"),
        ("call me Oluwaseun", "call me [name]"),
        ("it's under Llewellyn-Jones", "it's under [name]"),
        ("my mother's maiden name is o'sullivan", "my mother's maiden name is [name]"),
        ("the surname is k o w a l", "the surname is [name]"),
        ("that's K O W A L, my surname", "that's [name], my surname"),
        ("card is in the name A K Mensah", "card is in the name [name]"),
        ("mum's maiden name was Abernathy", "mum's maiden name was [name]"),
        ("it's in Gwendolyn's name", "it's in [name]'s name"),
        ("hiya it's Callum", "hiya it's [name]"),
        ("hello, it's Zaphod", "hello, it's Zaphod"),
        ("hello it's Zaphod", "hello it's [name]"),
        ("i am josh", "i am [name]"),
        ("i'm doctor chowdhury", "i'm [name]"),
        ("good evening Bartholomew Okafor speaking", "good evening [name] speaking"),
        ("d.o.b. 04/11/1979", "dob [dob]"),
        ("his date of birth is the eleventh of march two thousand and eleven", "his date of birth is the [dob]"),
        ("my memorable date is the fourth of june eighty two", "my memorable date is [password]"),
        ("memorable information is Liverpool", "memorable information is [password]"),
        ("security word marmalade", "security word [password]"),
        ("my favourite teacher was Mr Bartholomew", "my favourite teacher was [password]"),
        ("account 12345678 and the card ending 1234", "account [account] and the card ending 1234"),
        ("cvc code is oh oh seven", "cvc code is [cvv]"),
        ("it's 0 4 4 7, my pin", "it's [pin], my pin"),
        ("the iban begins GB98MIDL0700", "the iban begins [iban]"),
        (
            "four five three nine got that one five six zero right 45794775",
            "[number] got that [number 2] right [account]",
        ),
        ("bob underscore the underscore builder at live dot com", "[email]"),
        ("info@xn--caf-dma.fr is ours", "[email] is ours"),
        ("my address is Rose Cottage, Mill Road, Ely", "my address is [address]"),
        ("i live at The Old Rectory, Church Lane", "i live at [address]"),
        ("the three numbers on the reverse are 881", "the three numbers on the reverse are [cvv]"),
        ("the eight digits are 44, 01, 76, 32", "the eight digits are [account]"),
        (
            "four one one one next bit one nine one six seven five final bit one one two six",
            "[number] next bit [number 2] final bit [number 3]",
        ),
        ("the password I set is Tr0ub4dor&3", "the password I set is [password]"),
        ("the answer to my security question is my cat Tiddles", "the answer to my security question is [password]"),
        ("authorisation code K7P4Q", "authorisation code [code]"),
        ("ella at ella hyphen studio dot co dot uk", "[email]"),
        ("licence JONES 710238 HA9SW", "licence [licence]"),
        ("address: Apt 4B, 77 Dock Street", "address: [address]"),
        ("send it to PO Box 1180", "send it to PO [address]"),
        ("postcode m one one a e", "postcode [postcode]"),
        ("my postcode is sierra whisky one alpha one double alpha", "my postcode is [postcode]"),
        ("my address is one twenty three elm drive springfield", "my address is [address]"),
        ("i live at forty two high street, can you send it there", "i live at [address], can you send it there"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(text, redacted):
    assert redact(Transcript(text)).question.text == redacted


ORDINARY = """
How do I block my card?
What would £10,000 over 60 months at 6.5% cost me?
how much is ten thousand pounds over five years
how much is 250000 over 25 years
borrow 250,000 at four and a half percent
a hundred and fifty thousand pounds over twenty five years
Can I pay 1,250.50 on 24/12/2026?
what happens on the 24th of December 2026
is it due on 24/12/26 or 12 May 2027
my card ending 1234 was declined
the account ending in one two three four
last four digits 4 4 2 1
I have two cards and three accounts
the second card never came
between 2024 and 2025
from 2019 to 2023 my rate was 2.5%
the tax year 2025/26
are you open 09:00-17:00 on Monday
can I call at half past four or quarter to nine
the meeting is at 9 05 in the morning
I was charged £9.99, £19.99 and £29.99
pay 1200, 1300, 1400 and 1500 pounds
I want to transfer 50 to Sarah
send two hundred euros to Spain
is there a fee for withdrawing 300 dollars abroad
my limit is 5000 and I want 7500
raise it to 12 000 please
error code 4821
what is the promo code for students
what is a sort code
where do I find my account number
what is the security code on my card
I forgot my PIN
how do I change my PIN
I need a new pin sentinel
my one time passcode has not arrived
what is an IBAN
do you have my email address
what is your phone number
I'm locked out of my account
I'm calling about a direct debit
I'm not happy with this
I am travelling to Spain next week
This is urgent
this is the third time
It's still not working
it is here now
my name is wrong on the card
my name is spelled wrong
how do I change my first name
what is the name on the account
call me back please
I want to change my address
is the branch on the high street open
how long is a 2 year fixed mortgage
is it a 5 year fix at 4.99% with a £999 fee
the rate went up 0.25 percentage points
650 basis points
I paid in 20 times 50 pounds
take half now and half in March
what is 3D secure
is my money safe up to £85,000
can I get 1.5 million
when is my birthday offer paid
where was the card made
I'd like 3 in 1 cover
what if I miss 2 payments
which one is cheaper, the first or the second
is your number 0800 496 0123
the branch at 12 High Road is shut
my address is 3 lines long
the error code is 4A1B
my password reset link expired
hello it's Monday
this is Northern Ireland
I'm Self Employed
the password is case sensitive
the password is sent by post
security word problems
I live at the end of a queue
nobody answered on 0345 600 0123
I don't know what my password is.
my password is not accepted by the app
my user name is being rejected
the code is not working
error code 4A1B came up
what is the name of your app
the name of the product is Easy Saver
is it in my name only
what name is shown on the card
surname change after a wedding
call me back
CALL ME BACK TOMORROW
THIS IS ABSOLUTELY RIDICULOUS
it's under review
this is for a business
this is may we hope the last time
it's cold here
is there a French speaking person
I live at home with my parents
my address is wrong on 2 statements
my payment moved to 5 May
my postcode isn't recognised
social security benefits of 950 a month
how do I spell ISA, is it i s a
block the card ending 1234 and order 2
""".strip().splitlines()


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_question_is_untouched(text):
    redaction = redact(Transcript(text))

    assert redaction.question.text == text
    assert redaction.question.redacted == ()
    assert redaction.slots == {}


def test_what_was_taken_out_is_kept_apart_by_its_placeholder():
    redaction = redact(Transcript("4111 1111 1111 1111 or 5555 5555 5555 4444, email a@b.com", confidence=0.7))

    assert redaction.question.text == "[card] or [card 2], email [email]"
    assert redaction.slots == {
        "[card]": "4111 1111 1111 1111",
        "[card 2]": "5555 5555 5555 4444",
        "[email]": "a@b.com",
    }
    assert redaction.question.redacted == ("card", "email")
    assert redaction.question.confidence == 0.7
    assert "4111" not in repr(redaction)


def test_values_are_those_of_the_redacted_text():
    text = "move £500 from 4111 1111 1111 1111 to my savings account"
    question = redact(Transcript(text), Catalogue(products={"savings account": "savings"})).question

    assert [(value.kind, question.text[value.start : value.end]) for value in question.values] == [
        (ValueKind.MONEY, "£500"),
        (ValueKind.PRODUCT, "savings account"),
    ]


def test_a_placeholder_that_was_typed_keeps_its_number():
    redaction = redact(Transcript("[card] and 4111 1111 1111 1111"))

    assert redaction.question.text == "[card] and [card 2]"
    assert redaction.slots == {"[card 2]": "4111 1111 1111 1111"}


PIECES = (
    *("4111 1111 1111 1111", "four one one one", "12345678", "12-34-56", "123456", "2019", "1", "one", "oh", "double"),
    *("£50", "five years", "March", "½", "GB29", "NWBK", "g", "b", "AB", "c", "SW1A", "1AA", "High", "Street"),
    *("my", "is", "pin", "code", "card", "born", "password", "name", "John", "Smith", "I'm", "speaking"),
    *("at", "gmail", "dot", "com", "@", "and", "then", "um", "for", "to", ",", ".", "-", ":", "*", "(", "​"),
    *("[card]", "[card 2]"),
)
PIECED = st.lists(st.sampled_from(PIECES), min_size=1, max_size=20).map(" ".join)


@given(st.one_of(st.text(min_size=1, max_size=80), PIECED))
@settings(max_examples=500, deadline=None)
def test_redacting_again_changes_nothing(text):
    try:
        once = redact(Transcript(text)).question
    except InputError:
        return  # nothing but invisible characters

    again = redact(Transcript(once.text)).question

    assert again.text == once.text
    assert again.values == once.values
    assert again.redacted == ()


@given(PIECED.filter(str.isascii))
@settings(max_examples=200, deadline=None)
def test_the_slots_put_back_give_the_cleaned_text(text):
    redaction = redact(Transcript(text))
    back = re.sub(
        r"\[[a-z-]+( \d+)?\]", lambda match: redaction.slots.get(match.group(), match.group()), redaction.question.text
    )

    assert back == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  how \t do\n I ", "how do I"),
        ("can’t “pay”", 'can\'t "pay"'),
        ("ﬁxed rate", "fixed rate"),
        ("a​b‮c﻿", "abc"),
        ("café", "café"),
        ("2½ years at ½ percent", "2.5 years at 0.5 percent"),
        ("3–5 days", "3-5 days"),
    ],
)
def test_a_text_is_made_plain(text, clean):
    assert redact(Transcript(text)).question.text == clean


@pytest.mark.parametrize("text", ["", "  \n ", "​‮", "️"])
def test_an_empty_text_is_refused(text):
    with pytest.raises(InputError, match="empty"):
        redact(Transcript(text))


def test_2000_characters_are_read_and_not_one_more():
    text = ("how much is it " * 200)[:MAX_CHARACTERS].rstrip()

    assert redact(Transcript(text)).question.text == text
    with pytest.raises(InputError, match=r"2,001 characters, at most 2,000"):
        redact(Transcript("x" * 2_001))
    with pytest.raises(InputError, match="at most 2,000"):
        redact(Transcript(" " * 10_000_000))


@pytest.mark.parametrize(
    "piece", ["4 ", "a@", "g b ", "my pin is ", "1234 ", "at dot ", "GB29 ", "I'm John ", "1 High ", "[", "+"]
)
def test_the_longest_text_of_anything_is_redacted(piece):
    text = (piece * MAX_CHARACTERS)[:MAX_CHARACTERS].strip()

    assert redact(Transcript(text)).question.text


def test_silence_is_a_question_without_words():
    assert nothing_heard(0.2).text == ""
    assert nothing_heard(0.2).confidence == 0.2


@pytest.mark.parametrize(
    ("code", "right"),
    [
        ("GB29NWBK60161331926819", True),
        ("GB29NWBK60161331926818", False),
        ("DE89370400440532013000", True),
        ("GB29", False),
    ],
)
def test_an_iban_has_its_countrys_length_and_check_digits(code, right):
    assert is_iban(code) is right


def iban(country, bank):
    """A right IBAN: the check digits of ISO 7064 mod 97-10 before the bank's part."""
    number = int("".join(str(int(char, 36)) for char in f"{bank}{country}00"))
    return f"{country}{98 - number % 97:02}{bank}"


@given(
    st.sampled_from(["GB", "DE", "FR", "IE", "NL", "IS", "BE"]),
    st.integers(0, 10**30),
    st.sampled_from(["plain", "in fours", "dashed", "digit by digit", "spoken", "spoken with um"]),
    st.sampled_from(["{}", "my iban is {} thanks", "is {} right"]),
)
@settings(max_examples=200, deadline=None)
def test_no_rendering_of_an_iban_leaks(country, n, rendering, sentence):
    lengths = {"GB": 22, "DE": 22, "FR": 27, "IE": 22, "NL": 18, "IS": 26, "BE": 16}
    letters = "NWBK" if country in {"GB", "IE", "NL"} else ""
    code = iban(country, letters + f"{n:030}"[: lengths[country] - 4 - len(letters)])
    said = " um ".join(groups(code)) if rendering == "spoken with um" else code
    if rendering.startswith("spoken"):
        said = re.sub(
            r"[A-Z0-9]", lambda match: f"{spoken(match[0]) if match[0].isdigit() else match[0].lower()} ", said
        )
    else:
        said = RENDERINGS[rendering](code)

    question = redact(Transcript(sentence.format(said))).question

    assert "iban" in question.redacted, question.text
    assert leaked(question.text, re.sub(r"\D", "", code)) < 5


def test_no_edge_engine_or_tool_makes_a_question():
    makers = {
        path.parent.name
        for path in Path(teller.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Question"
    }

    assert makers <= {
        "redaction",
        "cache",
        "training",
    }  # the last two read back text that was redacted when it was kept
