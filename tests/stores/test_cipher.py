import pytest

from teller.errors import ConfigError, StoreCorrupt
from teller.stores.cipher import AesGcm

KEY = bytes(range(32))


def test_what_is_sealed_opens_again_and_hides_its_content():
    cipher = AesGcm(KEY)
    sealed = cipher.seal(b"my balance", b"put")
    assert b"balance" not in sealed
    assert cipher.open(sealed, b"put") == b"my balance"


def test_the_same_message_is_never_sealed_alike():
    cipher = AesGcm(KEY)
    assert cipher.seal(b"x", b"") != cipher.seal(b"x", b"")


@pytest.mark.parametrize(
    ("key", "context", "change"),
    [(bytes(32), b"put", 0), (KEY, b"evict", 0), (KEY, b"put", 1)],
    ids=["another key", "another context", "a changed bit"],
)
def test_what_was_tampered_with_does_not_open(key, context, change):
    sealed = bytearray(AesGcm(KEY).seal(b"my balance", b"put"))
    sealed[-1] ^= change
    with pytest.raises(StoreCorrupt):
        AesGcm(key).open(bytes(sealed), context)


@pytest.mark.parametrize("sealed", [b"", b"short"])
def test_what_is_too_short_does_not_open(sealed):
    with pytest.raises(StoreCorrupt):
        AesGcm(KEY).open(sealed, b"")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(ConfigError, match="32"):
        AesGcm(bytes(length))
