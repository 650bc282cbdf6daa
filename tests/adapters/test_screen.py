import numpy as np
import pytest

from teller.adapters.screen import Spectrum, compared, spectrum


def test_a_spectrum_is_that_of_the_product():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((4, 30)).astype(np.float32), rng.standard_normal((20, 4)).astype(np.float32)
    values = np.linalg.svd(0.5 * b.astype(np.float64) @ a.astype(np.float64), compute_uv=False)
    found = spectrum(a, b, 0.5)
    assert found.norm == pytest.approx(np.sqrt((values**2).sum()), rel=1e-5)
    assert found.top_share == pytest.approx(values[0] ** 2 / (values**2).sum(), rel=1e-5)


def test_a_change_in_one_direction_has_a_top_share_of_one():
    a, b = np.ones((4, 8), np.float32), np.ones((6, 4), np.float32)
    assert spectrum(a, b, 1.0).top_share == pytest.approx(1.0)


def test_the_module_that_changes_most_stands_out_against_the_median():
    spectra = compared({"a": Spectrum(1.0, 0.3), "b": Spectrum(2.0, 0.3), "c": Spectrum(20.0, 0.9)})
    assert [spectra[name].relative_norm for name in "abc"] == [0.5, 1.0, 10.0]


def test_numbers_at_either_end_of_the_range_are_measured():
    a, b = np.full((2, 8), 3e38, np.float32), np.full((6, 2), 3e38, np.float32)
    assert spectrum(a, b, 64.0).norm == pytest.approx(64 * 2 * 9e76 * np.sqrt(48), rel=1e-4)
    tiny = spectrum(np.full((2, 8), 1e-40, np.float32), np.full((6, 2), 1e-40, np.float32), 1.0)
    assert tiny.norm == pytest.approx(2e-80 * np.sqrt(48), rel=1e-4)
