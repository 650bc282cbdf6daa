import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from teller.errors import StoreCorrupt, StoreError
from teller.stores.signing import Ed25519Signer


def test_the_key_is_made_on_first_use_and_only_its_owner_can_read_it(tmp_path):
    signer = Ed25519Signer(tmp_path / "keys")
    assert not (tmp_path / "keys").exists()
    signature = signer.sign(b"words")
    assert stat.S_IMODE((tmp_path / "keys" / "signing.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert Ed25519Signer(tmp_path / "keys").verify(b"words", signature, signer.public_key)


def test_one_other_bit_is_refused(tmp_path):
    signer = Ed25519Signer(tmp_path)
    signature, key = signer.sign(b"words"), signer.public_key
    assert not signer.verify(b"wordz", signature, key)
    assert not signer.verify(b"words", signature[:-1] + bytes([signature[-1] ^ 1]), key)
    assert not signer.verify(b"words", b"", key)
    assert not signer.verify(b"words", signature, bytes(32))
    assert not signer.verify(b"words", signature, b"short")


def test_a_right_signature_of_an_unknown_key_is_refused_until_the_key_is_put_in_the_folder(tmp_path):
    here, there = Ed25519Signer(tmp_path / "here"), Ed25519Signer(tmp_path / "there")
    signature = there.sign(b"words")
    assert not here.verify(b"words", signature, there.public_key)
    (tmp_path / "here").mkdir(exist_ok=True)
    copy = tmp_path / "here" / "risk-desk.pub"
    copy.write_bytes((tmp_path / "there" / "signing.pub").read_bytes())
    assert here.verify(b"words", signature, there.public_key)
    copy.unlink()
    assert not here.trusts(there.public_key)


def test_checking_makes_no_key(tmp_path):
    assert not Ed25519Signer(tmp_path).trusts(bytes(32))
    assert list(tmp_path.iterdir()) == []


def test_of_two_first_uses_at_once_both_get_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: Ed25519Signer(tmp_path).public_key, range(16)))
    assert len(keys) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["signing.pem", "signing.pub"]


def test_a_lost_private_key_is_not_replaced_in_silence(tmp_path):
    signature, old = Ed25519Signer(tmp_path).sign(b"words"), Ed25519Signer(tmp_path).public_key
    (tmp_path / "signing.pem").unlink()
    with pytest.raises(StoreError, match="restore it"):
        Ed25519Signer(tmp_path).sign(b"words")
    assert Ed25519Signer(tmp_path).verify(b"words", signature, old)
    (tmp_path / "signing.pub").rename(tmp_path / "until-2026.pub")
    assert Ed25519Signer(tmp_path).public_key != old
    assert Ed25519Signer(tmp_path).verify(b"words", signature, old)


def test_a_public_key_that_a_kill_left_out_is_made_good(tmp_path):
    key = Ed25519Signer(tmp_path).public_key
    (tmp_path / "signing.pub").unlink()
    assert Ed25519Signer(tmp_path).public_key == key
    assert (tmp_path / "signing.pub").exists()


def test_a_private_key_that_others_can_read_is_not_used(tmp_path):
    Ed25519Signer(tmp_path).sign(b"")
    (tmp_path / "signing.pem").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        Ed25519Signer(tmp_path).sign(b"")


def test_a_private_key_behind_a_link_is_not_used(tmp_path):
    Ed25519Signer(tmp_path / "a").sign(b"")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "signing.pem").symlink_to(tmp_path / "a" / "signing.pem")
    with pytest.raises(StoreError, match="cannot be read"):
        Ed25519Signer(tmp_path / "b").sign(b"")


@pytest.mark.parametrize("name", ["signing.pem", "other.pub"])
def test_a_damaged_key_is_named_and_not_shown(tmp_path, name):
    signer = Ed25519Signer(tmp_path)
    signer.sign(b"")
    (tmp_path / name).write_bytes(b"secret content")
    (tmp_path / name).chmod(0o600)
    with pytest.raises(StoreCorrupt, match=name) as caught:
        signer.trusts(bytes(32))
    assert "secret content" not in str(caught.value)


def test_keys_of_another_kind_are_refused(tmp_path):
    private = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "rsa.pub").write_bytes(private.public_key().public_bytes(pem, spki))
    with pytest.raises(StoreCorrupt, match=r"rsa\.pub: a key of another kind"):
        Ed25519Signer(tmp_path).trusts(bytes(32))
    (tmp_path / "signing.pem").write_bytes(private.private_bytes(pem, pkcs8, plain))
    (tmp_path / "signing.pem").chmod(0o600)
    with pytest.raises(StoreCorrupt, match="wanted an Ed25519 private key"):
        Ed25519Signer(tmp_path).sign(b"")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="keys: a key for signing cannot be made"):
        Ed25519Signer(tmp_path / "file" / "keys").sign(b"")
