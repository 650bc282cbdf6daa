"""What tests of several files share."""

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A property is about values, not about how busy the machine is. The same checkout gives the same verdict: new examples
# are looked for with `pytest --hypothesis-profile=search`.
settings.register_profile("teller", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1_000)
settings.load_profile("teller")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def policy_documents() -> Path:
    """A folder with a bank's 698 policy documents; the test is skipped where it is not there."""
    folder = DATA / "rho_bank"
    if not folder.is_dir():
        pytest.skip("the public data sets are not here")
    return folder


@pytest.fixture
def no_network(monkeypatch) -> list[Any]:
    """No connection can be made; gives what was tried."""
    tried: list[Any] = []

    def refuse(*given: Any, **_: Any) -> None:
        tried.append(given)
        raise ConnectionRefusedError("no network in tests")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried
