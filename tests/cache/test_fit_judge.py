"""The command that makes the judge's constants."""

import numpy as np
import pytest
from benchmarks.fit_judge import fit


def test_a_known_curve_is_found_within_its_errors():
    rng = np.random.default_rng(2)
    margins = rng.uniform(0.0, 0.8, 4_000)
    right = rng.random(4_000) < 1 / (1 + np.exp(1.5 - 9.0 * margins))

    found = fit(np.column_stack([margins, right]))

    assert found["start"] == pytest.approx(-1.5, abs=3 * found["start_error"])
    assert found["slope"] == pytest.approx(9.0, abs=3 * found["slope_error"])
    assert found["start_less_two_errors"] < found["start"]
