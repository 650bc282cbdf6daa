import hashlib
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.adapter_folder import BASE_TENSORS, config, manifest_of, matrices

from teller.adapters.manifest import (
    canonical_json,
    check_name,
    digest_of,
    parse_json,
    read_manifest,
    signed,
    tensor_digest,
)
from teller.errors import InputError
from teller.ports import Fingerprint
from teller.stores.signing import Ed25519Signer

MANIFEST = manifest_of(matrices(), config())


def _edited(**changes):
    return canonical_json(json.loads(MANIFEST.to_json()) | changes)


def test_a_manifest_that_is_written_reads_back_equal():
    assert read_manifest(MANIFEST.to_json()) == MANIFEST


def test_equal_manifests_give_equal_bytes_whatever_the_order_of_their_keys():
    turned = replace(MANIFEST, base_tensors=dict(reversed(BASE_TENSORS.items())))
    assert turned.to_json() == MANIFEST.to_json()


@pytest.mark.parametrize("key", sorted(json.loads(MANIFEST.to_json())))
def test_a_missing_key_is_named(key):
    content = json.loads(MANIFEST.to_json())
    del content[key]
    with pytest.raises(InputError, match=f"{key}: found nothing"):
        read_manifest(canonical_json(content))


_OBJECT, _NUMBER = {"a": None}, -1.5
_FITS = {"config": _OBJECT, "recipe": _OBJECT, "seconds": _NUMBER, "made_at": _NUMBER}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (key, value)
        for key in sorted(json.loads(MANIFEST.to_json()))
        for value in (True, [1], _OBJECT, _NUMBER)
        if _FITS.get(key) != value
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_and_its_key_named(key, value):
    with pytest.raises(InputError, match=key):
        read_manifest(_edited(**{key: value}))


def test_a_key_too_many_is_refused():
    with pytest.raises(InputError, match="approved_by: found a key"):
        read_manifest(_edited(approved_by="me"))


def test_a_manifest_with_a_space_more_is_refused():
    with pytest.raises(InputError, match="canonical"):
        read_manifest(MANIFEST.to_json() + b" ")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"[]", "not an object"),
        (b"", "not JSON"),
        (b'{"name":"a","name":"b"}', "'name' twice"),
        (b'{"name":NaN}', "NaN"),
        (b"[" * 200_000, "not JSON"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_reason(data, reason):
    with pytest.raises(InputError, match=reason):
        read_manifest(data)


@pytest.mark.parametrize(
    "name", ["", "-a", "A", "a_b", "a" * 64, "../x", "a/b", "a\n", "ä", "a.b", "banking-lora@1234", "a\0"]
)
def test_a_name_that_could_leave_its_folder_or_hide_is_refused(name):
    with pytest.raises(InputError, match="name"):
        check_name(name)
    with pytest.raises(InputError, match="name"):
        replace(MANIFEST, name=name)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"base_digest": "0" * 64}, "base_digest"),
        ({"data_sha256": "xyz"}, "data_sha256"),
        ({"parent": "A" * 64}, "parent"),
        ({"adapter_tensors": {"a": "1"}}, "adapter_tensors"),
        ({"fingerprint_on": Fingerprint((), ())}, "fingerprint_on"),
        ({"fingerprint_base": Fingerprint((("a",),), ((),))}, "fingerprint_base"),
    ],
)
def test_a_manifest_that_contradicts_itself_cannot_be_made(changes, key):
    with pytest.raises(InputError, match=key):
        replace(MANIFEST, **changes)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), "\ud800"])
def test_what_json_cannot_hold_is_refused_when_it_is_written(value):
    with pytest.raises(InputError, match="cannot be written"):
        replace(MANIFEST, recipe={"x": value}).to_json()


def test_a_signature_covers_every_key_but_itself(tmp_path):
    signer = Ed25519Signer(tmp_path)
    manifest = signed(MANIFEST, signer)
    key, signature = bytes.fromhex(manifest.public_key), bytes.fromhex(manifest.signature)
    assert signer.verify(manifest.body(), signature, key)
    content = json.loads(manifest.to_json())
    for name in content.keys() - {"signature"}:
        changed = canonical_json({k: v for k, v in (content | {name: "another"}).items() if k != "signature"})
        assert not signer.verify(changed, signature, key), name


def test_signing_again_replaces_the_signature(tmp_path):
    first, second = Ed25519Signer(tmp_path / "a"), Ed25519Signer(tmp_path / "b")
    assert signed(signed(MANIFEST, first), second) == signed(MANIFEST, second)


def test_a_set_digest_is_over_names_and_digests_in_the_order_of_names():
    text = f"a\0{'1' * 64}\nb\0{'2' * 64}\n"
    assert digest_of({"b": "2" * 64, "a": "1" * 64}) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", [f"a\0{'1' * 64}\nb", "a\n", "\ud800"])
def test_a_name_that_could_pass_for_two_has_no_digest(name):
    with pytest.raises(InputError, match="can be printed"):
        digest_of({name: "2" * 64})


def test_a_tensor_digest_is_of_dtype_shape_and_bytes_and_does_not_depend_on_the_pieces():
    data = bytes(range(16))
    whole = tensor_digest("F32", (2, 2), data)
    assert whole == tensor_digest("F32", [2, 2], [data[:5], memoryview(data)[5:]])
    others = {tensor_digest("F32", (4,), data), tensor_digest("I32", (2, 2), data), tensor_digest("F32", (), data)}
    assert len(others | {whole}) == 4


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(plain)
def test_plain_data_survives_canonical_json(value):
    try:
        data = canonical_json(value)
    except InputError:
        assert "\\ud" in json.dumps(value)  # half a surrogate pair
        return
    again = parse_json(data, "it", max_bytes=1 << 20)
    assert again == value
    assert canonical_json(again) == data


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_in_another_way(data):
    with pytest.raises(InputError):
        read_manifest(data)
