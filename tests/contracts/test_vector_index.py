"""What every VectorIndex keeps."""

from collections.abc import Callable

import numpy as np
import pytest

from teller.engines import faiss_index
from teller.engines.faiss_index import FaissIndex
from teller.engines.scripted import ScriptedIndex
from teller.errors import InputError, StoreCorrupt
from teller.ports import VectorIndex

DIM = 32


def faiss_lists(dim: int) -> FaissIndex:
    """As a FaissIndex is beyond `flat_to` vectors."""
    index = FaissIndex(dim)
    index._held = faiss_index._Lists.trained_on(unit(1_000, seed=3, dim=dim))
    return index


def unit(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ENGINES = [
    pytest.param(ScriptedIndex, id="scripted"),
    pytest.param(FaissIndex, id="faiss-flat", marks=pytest.mark.engine),
    pytest.param(faiss_lists, id="faiss-lists", marks=pytest.mark.engine),
]
Make = Callable[[int], VectorIndex]


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_an_empty_index_finds_nothing(make):
    similarities, found = make(DIM).search(unit(1)[0], 5)
    assert (len(similarities), len(found)) == (0, 0)
    assert (similarities.dtype, found.dtype) == (np.float32, np.int64)


def test_a_stored_vector_is_its_own_nearest(make):
    index, rows = make(DIM), unit(300)
    index.add(np.arange(300, dtype=np.int64) * 10**12, rows)
    for at in range(0, 300, 17):
        similarities, found = index.search(rows[at], 1)
        assert found[0] == at * 10**12
        assert similarities[0] == pytest.approx(1, abs=0.005)


def test_similarities_are_cosines_best_first(make):
    index, rows = make(DIM), unit(100)
    index.add(np.arange(100, dtype=np.int64), rows)
    asked = unit(1, seed=9)[0]
    similarities, found = index.search(asked, 10)
    assert (np.diff(similarities) <= 0).all()
    np.testing.assert_allclose(similarities, rows[found] @ asked, atol=0.01)
    assert set(found[:3]) <= set(np.argsort(-(rows @ asked))[:5])


def test_no_more_is_found_than_asked_or_stored(make):
    index = make(DIM)
    index.add(ids(1, 2, 3), unit(3))
    assert len(index.search(unit(1)[0], 2)[1]) == 2
    assert sorted(index.search(unit(1)[0], 50)[1]) == [1, 2, 3]


def test_what_is_removed_is_not_found_again(make):
    index, rows = make(DIM), unit(50)
    index.add(np.arange(50, dtype=np.int64), rows)
    index.remove(ids(7, 8, 999))
    assert len(index) == 48
    assert not {7, 8} & set(index.search(rows[7], 50)[1].tolist())
    assert len(index.search(rows[7], 50)[1]) == 48


def test_a_removed_id_can_be_added_again_with_another_vector(make):
    index, rows = make(DIM), unit(3)
    index.add(ids(1, 2), rows[:2])
    index.remove(ids(1))
    index.add(ids(1), rows[2:])
    assert index.search(rows[2], 1)[1].tolist() == [1]
    assert len(index) == 2


@pytest.mark.parametrize("again", [ids(4, 1), ids(5, 5)])
def test_an_id_that_is_there_already_is_refused_and_nothing_is_added(make, again):
    index = make(DIM)
    index.add(ids(1, 2), unit(2))
    with pytest.raises(InputError):
        index.add(again, unit(2, seed=1))
    assert sorted(index.search(unit(1)[0], 9)[1]) == [1, 2]


@pytest.mark.parametrize("shape", [(2, DIM), (1, DIM - 1), (DIM,)])
def test_vectors_of_another_shape_are_refused(make, shape):
    with pytest.raises(InputError):
        make(DIM).add(ids(1), np.zeros(shape, dtype=np.float32))


def test_a_search_for_a_vector_of_another_length_is_refused(make):
    index = make(DIM)
    index.add(ids(1), unit(1))
    with pytest.raises(InputError):
        index.search(unit(1, dim=DIM + 1)[0], 1)


def test_adding_and_removing_nothing_changes_nothing(make):
    index = make(DIM)
    index.add(ids(), unit(0))
    index.remove(ids())
    assert len(index) == 0


def test_what_is_saved_is_loaded_whole(make, tmp_path):
    index, rows = make(DIM), unit(60)
    index.add(np.arange(60, dtype=np.int64), rows)
    index.remove(ids(3))
    index.save(tmp_path / "index")
    other = make(DIM)
    other.add(ids(1_000), unit(1, seed=5))
    other.load(tmp_path / "index")
    assert len(other) == 59
    for at in (0, 30, 59):
        np.testing.assert_array_equal(other.search(rows[at], 5)[1], index.search(rows[at], 5)[1])
    other.add(ids(3), rows[3:4])
    assert other.search(rows[3], 1)[1].tolist() == [3]


def test_an_empty_index_can_be_saved_and_loaded(make, tmp_path):
    make(DIM).save(tmp_path / "index")
    index = make(DIM)
    index.load(tmp_path / "index")
    assert len(index) == 0


def test_saving_replaces_and_leaves_nothing_else_behind(make, tmp_path):
    index = make(DIM)
    index.save(tmp_path / "index")
    index.add(ids(1), unit(1))
    index.save(tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    other = make(DIM)
    other.load(tmp_path / "index")
    assert len(other) == 1


@pytest.mark.parametrize("damage", ["empty", "other", "cut", "flipped", "missing"])
def test_what_is_not_an_index_is_refused_and_the_present_one_stays(make, tmp_path, damage):
    path, index = tmp_path / "index", make(DIM)
    index.add(np.arange(40, dtype=np.int64), unit(40))
    index.save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    broken = {
        "empty": b"",
        "other": b"a text that is no index at all, but is not short either",
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
    }
    path.unlink()
    if damage != "missing":
        path.write_bytes(broken[damage])
    with pytest.raises(StoreCorrupt):
        index.load(path)
    assert len(index) == 40


def test_an_index_of_another_dimension_is_refused(make, tmp_path):
    index = make(DIM)
    index.add(ids(1), unit(1))
    index.save(tmp_path / "index")
    with pytest.raises(StoreCorrupt):
        make(DIM + 1).load(tmp_path / "index")


def test_vectors_come_back_by_their_ids_in_the_order_asked(make):
    index, rows = make(DIM), unit(300)
    index.add(np.arange(300, dtype=np.int64) * 3, rows)
    asked = ids(30, 3, 897)
    np.testing.assert_allclose(index.vectors(asked), rows[asked // 3], atol=0.01)
    assert index.vectors(ids()).shape == (0, DIM)


def test_the_vector_of_an_id_that_is_not_there_is_refused(make):
    index = make(DIM)
    index.add(ids(1, 2), unit(2))
    index.remove(ids(1))
    with pytest.raises(InputError):
        index.vectors(ids(2, 1))
