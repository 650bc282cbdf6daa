"""What a language model is given, and what of its words is spoken."""

import pytest

from teller.prompts import spoken_part


@pytest.mark.parametrize(
    ("text", "spoken", "action"),
    [
        ("Your card is blocked. [action: block_card]", "Your card is blocked.", "block_card"),
        ("Your card is blocked.\n[Action: Block_Card]\n", "Your card is blocked.", "block_card"),
        ("Your card is blocked.", "Your card is blocked.", ""),
        ("[action: handoff]", "", "handoff"),
        ("Say [action: x] aloud.", "Say [action: x] aloud.", ""),
        ("Done. [action: two words]", "Done. [action: two words]", ""),
        ("Done. [action: 9lives]", "Done. [action: 9lives]", ""),
        ("", "", ""),
    ],
)
def test_an_action_code_at_the_end_is_taken_out_of_what_is_spoken(text, spoken, action):
    assert spoken_part(text) == (spoken, action)
