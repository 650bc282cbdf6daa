import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.audio import Pcm
from teller.endpointing import Endpointer, Endpointing, SpeechBegan, SpeechEnded, trim
from teller.errors import InputError

FRAME = 512
FRAME_S = FRAME / 16_000
LIMITS = Endpointing()


def stream(frames: int) -> np.ndarray:
    """Sound in which every sample tells its place."""
    return (np.arange(frames * FRAME) % 30_011).astype(np.int16)


def events(probabilities: list[float], limits: Endpointing = LIMITS) -> list[tuple[int, SpeechBegan | SpeechEnded]]:
    """(frame, event) of a stream with these probabilities."""
    endpointer = Endpointer(limits)
    frames = stream(len(probabilities)).reshape(-1, FRAME)
    return [
        (i, event)
        for i, (frame, probability) in enumerate(zip(frames, probabilities, strict=True))
        for event in endpointer.feed(frame, probability)
    ]


def frames(duration_s: float) -> int:
    return round(duration_s / FRAME_S)


QUIET, LOUD, BETWEEN = 0.02, 0.97, 0.42
BURSTS = st.lists(
    st.tuples(st.sampled_from([QUIET, LOUD, BETWEEN, 0.5, 0.35]), st.integers(1, 60)), min_size=1, max_size=14
).map(lambda parts: [p for p, n in parts for _ in range(n)])
ANY = st.one_of(BURSTS, st.lists(st.floats(0, 1), max_size=300))
SHORT = Endpointing(max_utterance_s=1.5)


def test_one_utterance_begins_after_enough_speech_and_ends_after_enough_silence():
    heard = events([QUIET] * 20 + [LOUD] * 30 + [QUIET] * 40)
    began, ended = heard
    assert began == (20 + frames(0.2), SpeechBegan())
    assert ended[0] == 49 + frames(0.6)
    assert ended[1].speech.pcm.duration_s == pytest.approx(0.3 + 30 * FRAME_S + 0.2, abs=FRAME_S)
    assert not ended[1].was_cut


def test_a_click_is_no_utterance():
    assert events(([LOUD] * 5 + [QUIET] * 10) * 10) == []


def test_silence_is_no_utterance():
    assert events([QUIET] * 2_000) == []


def test_a_short_pause_is_inside_the_utterance():
    heard = events([LOUD] * 20 + [QUIET] * 15 + [LOUD] * 20 + [QUIET] * 40)
    assert [type(event) for _, event in heard] == [SpeechBegan, SpeechEnded]
    assert heard[1][1].speech.pcm.duration_s > 55 * FRAME_S


def test_a_long_pause_parts_two_utterances():
    heard = events([LOUD] * 20 + [QUIET] * 30 + [LOUD] * 20 + [QUIET] * 30)
    assert [type(event) for _, event in heard] == [SpeechBegan, SpeechEnded] * 2


def test_probabilities_between_the_two_limits_start_nothing_and_stop_nothing():
    assert events([BETWEEN] * 500) == []
    heard = events([LOUD] * 10 + [BETWEEN] * 100 + [QUIET] * 30)
    assert heard[1][1].speech.pcm.duration_s > 110 * FRAME_S


def test_a_pause_is_broken_by_speech_alone():
    heard = events([LOUD] * 10 + [QUIET] * 5 + [BETWEEN] * 30)
    assert [type(event) for _, event in heard] == [SpeechBegan, SpeechEnded]


def test_speech_without_an_end_is_cut_and_nothing_of_it_is_lost():
    heard = [event for _, event in events([LOUD] * 400, SHORT) if isinstance(event, SpeechEnded)]
    assert all(event.was_cut for event in heard)
    sound = np.concatenate([event.speech.pcm.samples for event in heard])
    np.testing.assert_array_equal(sound, stream(400)[: len(sound)])
    assert len(sound) > 11 * 1.5 * 16_000 / 2


@given(ANY, st.sampled_from([LIMITS, SHORT, Endpointing(pre_roll_s=0, tail_s=0, min_speech_s=0)]))
def test_beginnings_and_ends_alternate(probabilities, limits):
    kinds = [type(event) for _, event in events(probabilities, limits)]
    assert kinds == ([SpeechBegan, SpeechEnded] * len(kinds))[: len(kinds)]


@given(ANY, st.sampled_from([LIMITS, SHORT]))
def test_utterances_are_parts_of_the_stream_in_order_and_apart(probabilities, limits):
    sound, end = stream(len(probabilities)), 0
    for _, event in events(probabilities, limits):
        if isinstance(event, SpeechEnded):
            samples = event.speech.pcm.samples
            assert event.start_sample >= end
            end = event.start_sample + len(samples)
            np.testing.assert_array_equal(samples, sound[event.start_sample : end])
            assert limits.min_speech_s <= event.speech.pcm.duration_s <= limits.max_utterance_s + FRAME_S


@given(BURSTS)
def test_every_long_enough_run_of_speech_is_in_an_utterance(probabilities):
    covered = np.zeros(len(probabilities) * FRAME, dtype=bool)
    for _, event in events([*probabilities, *[QUIET] * 40]):
        if isinstance(event, SpeechEnded):
            covered[event.start_sample : event.start_sample + len(event.speech.pcm.samples)] = True
    run: list[int] = []
    for i, probability in enumerate([*probabilities, 0.0]):
        if probability >= LIMITS.start_probability:
            run.append(i)
            continue
        if len(run) * FRAME_S >= LIMITS.min_speech_s:
            assert covered[run[0] * FRAME : (run[-1] + 1) * FRAME].all()
        run = []


@given(BURSTS)
def test_forgetting_makes_it_as_new(probabilities):
    endpointer = Endpointer(LIMITS)
    heard = []
    for _ in range(2):
        heard.append(
            [
                event
                for frame, p in zip(stream(len(probabilities)).reshape(-1, FRAME), probabilities, strict=True)
                for event in endpointer.feed(frame, p)
            ]
        )
        endpointer.reset()
    assert [(type(e), getattr(e, "start_sample", None)) for e in heard[0]] == [
        (type(e), getattr(e, "start_sample", None)) for e in heard[1]
    ]


def test_waiting_keeps_no_more_than_the_pre_roll():
    endpointer = Endpointer(LIMITS)
    for _ in range(1_000):
        endpointer.feed(np.zeros(FRAME, np.int16), QUIET)
    assert endpointer._held <= 0.3 * 16_000 + FRAME


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(InputError, match="between 0 and 1"):
        Endpointer(LIMITS).feed(np.zeros(FRAME, np.int16), probability)


def test_an_empty_frame_is_refused():
    with pytest.raises(InputError, match="at least one sample"):
        Endpointer(LIMITS).feed(np.zeros(0, np.int16), 0.5)


@pytest.mark.parametrize(
    "values",
    [
        {"start_probability": 0.3},
        {"stop_probability": 0},
        {"start_probability": 1.2},
        {"min_speech_s": -1},
        {"tail_s": 1},
        {"max_utterance_s": 0.4},
    ],
)
def test_limits_that_contradict_one_another_are_refused(values):
    with pytest.raises(InputError, match="endpointing"):
        Endpointing(**values)


def test_trimming_takes_the_silence_around_the_speech_and_leaves_the_pause_inside():
    probabilities = [QUIET] * 50 + [LOUD] * 20 + [QUIET] * 60 + [LOUD] * 20 + [QUIET] * 50
    cut = trim(Pcm(stream(200), 16_000), probabilities, FRAME, LIMITS)
    np.testing.assert_array_equal(cut.samples, stream(200)[50 * FRAME - 4_800 : 150 * FRAME + 3_200])


@pytest.mark.parametrize("probabilities", [[], [QUIET] * 50, [LOUD] * 3 + [QUIET] * 47, [BETWEEN] * 50])
def test_trimming_what_holds_no_speech_leaves_nothing(probabilities):
    assert len(trim(Pcm(stream(50), 16_000), probabilities, FRAME, LIMITS).samples) == 0


@given(ANY)
def test_trimming_leaves_something_where_the_stream_would_hear_something(probabilities):
    cut = trim(Pcm(stream(len(probabilities)), 16_000), probabilities, FRAME, LIMITS)
    assert bool(len(cut.samples)) == bool(events(probabilities))
