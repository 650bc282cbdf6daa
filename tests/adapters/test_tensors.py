import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from tests.adapters.adapter_folder import encode, matrices, pack, with_header

from teller.adapters.manifest import tensor_digest
from teller.adapters.tensors import BASE_LIMITS, Limits, TensorFile, tensor_digests
from teller.errors import InputError

GOOD = pack({"a": np.arange(6.0).reshape(2, 3), "b": np.ones((4,))})


def _entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)} | more


def _open(tmp_path, content, **limits):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with TensorFile(path, Limits(**limits)) as file:
        return file.tensors


def test_the_header_gives_dtype_shape_and_place_of_each_tensor(tmp_path):
    tensors = _open(tmp_path, GOOD)
    assert {name: (tensor.dtype, tensor.shape, tensor.end - tensor.start) for name, tensor in tensors.items()} == {
        "a": ("F32", (2, 3), 24),
        "b": ("F32", (4,), 16),
    }


def test_what_the_safetensors_library_writes_is_read_equal(tmp_path):
    path = tmp_path / "x.safetensors"
    arrays = {
        "half": np.array([[1.5, -2.0]], np.float16),
        "full": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scalar": np.array(3.0, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "whole": np.arange(3, dtype=np.int64),
    }
    path.write_bytes(save(arrays, {"format": "np"}))
    with TensorFile(path) as file:
        for name in ("half", "full", "scalar", "empty"):
            assert np.array_equal(file.array(name), arrays[name].astype(np.float32))
            assert file.array(name).shape == arrays[name].shape
        assert file.digest("whole") == tensor_digest("I64", (3,), arrays["whole"].tobytes())
        with pytest.raises(InputError, match="is I64"):
            file.array("whole")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "cut off or empty", id="empty"),
        pytest.param(b"\1\0\0", "cut off or empty", id="seven bytes"),
        pytest.param(GOOD[:30], "cut off", id="within the header"),
        pytest.param(GOOD[:-1], "out of range: it ends 1 bytes after", id="within the data"),
        pytest.param(GOOD + b"\0", "1 bytes after the last tensor", id="trailing"),
        pytest.param((1 << 62).to_bytes(8, "little") + GOOD[8:], "a header of 4611686018427387904 bytes", id="huge"),
        pytest.param(with_header(b"[]", b""), "no object", id="list"),
        pytest.param(with_header(b'{"a"', b""), "header: not JSON", id="no JSON"),
        pytest.param(with_header(b'{"\xff": 1}', b""), "header: not UTF-8", id="no UTF-8"),
        pytest.param(with_header(b"[" * 100_000, b""), "header: not JSON", id="deep"),
        pytest.param(
            with_header(json.dumps({"a": _entry()})[:-1].encode() + b', "a":1}', bytes(8)), "'a' twice", id="twice"
        ),
        pytest.param(with_header({"a": _entry(), "b": _entry(offsets=(4, 12))}, bytes(12)), "overlaps", id="overlap"),
        pytest.param(with_header({"a": _entry(), "b": _entry()}, bytes(8)), "overlaps", id="same bytes"),
        pytest.param(with_header({"a": _entry(), "b": _entry(offsets=(9, 17))}, bytes(17)), "a gap", id="gap"),
        pytest.param(with_header({"a": _entry(offsets=(8, 16))}, bytes(8)), "out of range", id="after the end"),
        pytest.param(with_header({"a": _entry(offsets=(-8, 0))}, bytes(8)), "data_offsets", id="before the data"),
        pytest.param(with_header({"a": _entry(offsets=(8, 0))}, bytes(8)), "data_offsets", id="backwards"),
        pytest.param(with_header({"a": _entry(offsets=(0, 4))}, bytes(4)), "data_offsets", id="too short"),
        pytest.param(with_header({"a": _entry(offsets=(0, 8, 9))}, bytes(8)), "data_offsets", id="three offsets"),
        pytest.param(with_header({"a": _entry(shape=(1 << 40, 1 << 40))}, bytes(8)), "data_offsets", id="overflow"),
        pytest.param(with_header({"a": _entry(shape=(-2,))}, bytes(8)), "shape", id="negative"),
        pytest.param(with_header({"a": _entry(shape=(2.0,))}, bytes(8)), "shape", id="fraction"),
        pytest.param(with_header({"a": _entry(shape=(True, 2))}, bytes(8)), "shape", id="truth"),
        pytest.param(with_header({"a": _entry(shape=(1,) * 9)}, bytes(8)), "shape", id="dimensions"),
        pytest.param(with_header({"a": _entry(dtype="OBJECT")}, bytes(8)), "dtype 'OBJECT'", id="dtype"),
        pytest.param(with_header({"a": _entry(dtype=[])}, bytes(8)), "dtype", id="dtype list"),
        pytest.param(with_header({"a": _entry(code="x")}, bytes(8)), "more than these", id="key too many"),
        pytest.param(with_header({"a\n": _entry()}, bytes(8)), "can be printed", id="newline in a name"),
        pytest.param(with_header({"\ud800": _entry()}, bytes(8)), "can be printed", id="half a pair"),
        pytest.param(with_header({"a": 1}, bytes(8)), "more than these", id="number"),
        pytest.param(with_header({"__metadata__": {"a": 1}}, b""), "__metadata__", id="remarks"),
        pytest.param(with_header({"__metadata__": []}, b""), "__metadata__", id="remarks list"),
    ],
)
def test_a_damaged_or_lying_file_is_refused_with_its_reason(tmp_path, content, reason):
    with pytest.raises(InputError, match=reason):
        _open(tmp_path, content)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"file_bytes": 10}, "at most 10 bytes"), ({"header_bytes": 10}, "at most 10"), ({"tensors": 1}, "2 tensors")],
)
def test_what_is_over_a_limit_is_refused(tmp_path, limits, reason):
    with pytest.raises(InputError, match=reason):
        _open(tmp_path, GOOD, **limits)


def test_one_tensor_over_the_limit_is_not_read_into_memory(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(GOOD)
    with TensorFile(path, Limits(array_bytes=20)) as file, pytest.raises(InputError, match="more than 20 bytes"):
        file.array("a")


def test_a_sparse_terabyte_is_judged_by_its_header_alone(tmp_path):
    path = tmp_path / "x.safetensors"
    header = json.dumps({"a": _entry("U8", (1 << 39,), (0, 1 << 39))}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + (1 << 39))
    with TensorFile(path, BASE_LIMITS) as read:
        assert read.tensors["a"].shape == (1 << 39,)


def test_a_file_that_becomes_shorter_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(pack({"a": np.ones(1 << 19)}))
    with TensorFile(path) as file:
        with path.open("r+b") as cut:
            cut.truncate(1000)
        with pytest.raises(InputError, match="became shorter"):
            file.digest("a")


def test_digests_of_a_sharded_base_are_those_of_all_its_files(tmp_path):
    arrays = matrices()
    names = sorted(arrays)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(pack({name: arrays[name] for name in names[:3]}))
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(pack({name: arrays[name] for name in names[3:]}))
    digests = {name: tensor_digest("F32", array.shape, array.tobytes()) for name, array in arrays.items()}
    assert tensor_digests(tmp_path) == digests
    (tmp_path / "model-00003-of-00003.safetensors").write_bytes(pack({names[0]: arrays[names[0]]}))
    with pytest.raises(InputError, match="in another file too"):
        tensor_digests(tmp_path)


def test_a_folder_without_weights_is_no_base(tmp_path):
    with pytest.raises(InputError, match="wanted the folder of a base model"):
        tensor_digests(tmp_path)


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
def test_bfloat16_is_read_as_the_float32_that_it_was_cut_from(tmp_path_factory, values):
    array = np.array(values, np.float32)
    path = tmp_path_factory.mktemp("bf16") / "x.safetensors"
    path.write_bytes(pack({"a": array}, "BF16"))
    cut = (array.view("<u4") & 0xFFFF0000).view("<f4")
    with TensorFile(path) as file:
        assert np.array_equal(file.array("a"), cut, equal_nan=True)
        assert file.digest("a") == tensor_digest("BF16", array.shape, encode(array, "BF16"))


@given(st.data())
def test_no_change_of_a_byte_makes_the_reader_fail_in_another_way(tmp_path_factory, data):
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "x.safetensors"
    path.write_bytes(content)
    with contextlib.suppress(InputError), TensorFile(path) as file:
        assert all(tensor.end <= len(GOOD) and file.digest(name) for name, tensor in file.tensors.items())
