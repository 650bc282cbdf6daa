import math

import pytest

from teller.training.schedule import Best, rate, usual_rate


def test_the_rate_climbs_to_its_top_and_falls_along_a_cosine_to_a_tenth():
    rates = [rate(step, steps=100, top=2.0, warmup_share=0.1) for step in range(1, 101)]

    assert rates[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert max(rates) == rates[9] == 2.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[54] == pytest.approx(1.1)
    assert rates[-1] == pytest.approx(0.2)


def test_a_run_of_one_step_has_a_rate():
    assert rate(1, steps=1, top=1.0, warmup_share=0.0) == 1.0


def test_a_large_base_learns_at_a_lower_rate():
    assert usual_rate(7_000_000_000) < usual_rate(4_000_000)


def test_the_best_loss_is_kept_and_what_is_no_number_is_no_better():
    best = Best().after(3.0, 1).after(2.0, 2).after(math.nan, 3).after(2.5, 4)

    assert (best.loss, best.step, best.since) == (2.0, 2, 2)
