"""The state of a call."""

import pytest

from teller.call import TRANSITIONS, Call, CallEvent, State
from teller.errors import CallError
from teller.turn import Scope


def make_call(state=State.LISTENING):
    return Call(id="c", scope=Scope("bank", "en-GB"), state=state)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(CallEvent))
def test_a_call_moves_only_along_the_table(state, event):
    call = make_call(state)
    after = TRANSITIONS[state].get(event)

    if after is None:
        with pytest.raises(CallError, match=f"{state}.*{event}"):
            call.advance(event)
        assert call.state is state
    else:
        assert call.advance(event) is after


def test_every_state_but_the_end_can_hang_up():
    assert {state for state in State if CallEvent.HUNG_UP not in TRANSITIONS[state]} == {State.ENDED}


def test_remembering_replaces_only_what_is_named():
    call = make_call()
    call.remember(form="loan_payment", filled={"amount": "10000.00 GBP"})
    call.remember(topic="cards.freeze")

    assert (call.memory.form, dict(call.memory.filled), call.memory.topic) == (
        "loan_payment",
        {"amount": "10000.00 GBP"},
        "cards.freeze",
    )
