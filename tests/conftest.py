"""What tests of several files share."""

from pathlib import Path

import pytest
from hypothesis import settings

# A property is about values, not about how busy the machine is.
settings.register_profile("teller", deadline=None)
settings.load_profile("teller")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def policy_documents() -> Path:
    """A folder with a bank's 698 policy documents; the test is skipped where it is not there."""
    folder = DATA / "rho_bank"
    if not folder.is_dir():
        pytest.skip("the public data sets are not here")
    return folder
