import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teller.engines import faiss_index
from teller.engines.faiss_index import FaissIndex
from teller.engines.scripted import ScriptedIndex
from teller.errors import InputError, StoreCorrupt, StoreError

pytestmark = pytest.mark.engine
DIM = 384


def clustered(count: int, seed: int = 0, *, per_cluster: int = 25) -> np.ndarray:
    """Unit vectors near and less near to centres, about 25 to each, as ways of asking the same are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, count // per_cluster), DIM))
    spread = rng.uniform(0.2, 0.7, (count, 1))
    rows = centres[rng.integers(len(centres), size=count)] + spread * rng.standard_normal((count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def numbered(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.int64)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return clustered(12_000)


@pytest.fixture(scope="module")
def filled(rows: np.ndarray) -> FaissIndex:
    index = FaissIndex(DIM)
    for start in range(0, len(rows), 1_000):
        index.add(numbered(1_000, start), rows[start : start + 1_000])
    return index


def recall(index: FaissIndex, rows: np.ndarray, asked: np.ndarray, k: int = 12) -> float:
    exact = np.argsort(-(asked @ rows.T), axis=1)[:, :k]
    hits = [len(set(index.search(one, k)[1].tolist()) & set(best)) for one, best in zip(asked, exact, strict=True)]
    return sum(hits) / (k * len(asked))


def test_recall_at_12_is_99_percent_or_more_on_clustered_vectors(filled, rows):
    assert recall(filled, rows, rows[::60]) >= 0.99


def test_every_list_of_a_middling_index_is_scanned(filled, rows):
    assert filled._held.index.nprobe == filled._held._centres.ntotal
    between = rows[:6_000:60] + rows[6_000::60]  # near no centre; codes alone blur one in a hundred
    assert recall(filled, rows, between / np.linalg.norm(between, axis=1, keepdims=True)) >= 0.98


def test_vectors_come_in_the_order_of_the_ids_whether_they_wait_or_are_listed(rows):
    index = FaissIndex(DIM)
    index.add(numbered(6_000), rows[:6_000])
    for at in (6_003, 6_001, 6_002):
        index.add(numbered(1, at), rows[at : at + 1])
    asked = np.array([6_002, 5, 6_003, 4_000, 6_001])
    np.testing.assert_allclose(index.vectors(asked), rows[asked], atol=0.02)


def test_recall_holds_when_half_of_it_was_replaced(rows):
    index = FaissIndex(DIM)
    index.add(numbered(6_000), rows[:6_000])
    for start in range(0, 6_000, 500):
        index.remove(numbered(500, start))
        index.add(numbered(500, 6_000 + start), rows[6_000 + start : 6_500 + start])
    ids = numbered(6_000, 6_000)
    asked = rows[6_000::60]
    exact = ids[np.argsort(-(asked @ rows[6_000:].T), axis=1)[:, :12]]
    hits = [len(set(index.search(one, 12)[1].tolist()) & set(best)) for one, best in zip(asked, exact, strict=True)]
    assert sum(hits) / (12 * len(asked)) >= 0.98


def test_small_indexes_are_exact(rows):
    index = FaissIndex(DIM)
    index.add(numbered(2_000), rows[:2_000])
    assert recall(index, rows[:2_000], clustered(50, seed=4)) == 1.0


def test_lists_are_parted_when_they_are_full(filled):
    lists = filled._held
    sizes = [lists.index.invlists.list_size(at) for at in range(lists._centres.ntotal)]
    assert sum(sizes) == len(filled)
    assert max(sizes) <= 1.5 * lists._full_at(len(filled))


def test_codes_are_good_to_four_thousandths_even_of_vectors_far_from_the_first_ones(rows):
    narrow = clustered(5_000, seed=1, per_cluster=5_000)  # all that it has seen when it begins to keep codes
    index = FaissIndex(DIM)
    index.add(numbered(5_000), narrow)
    index.add(numbered(1_000, 5_000), rows[:1_000])
    errors = [abs(1 - index.search(one, 1)[0][0]) for one in rows[:1_000:10]]
    assert max(errors) <= 0.004


def test_identical_vectors_are_all_kept_and_found():
    index, same = FaissIndex(DIM), np.repeat(clustered(1), 6_000, axis=0)
    index.add(numbered(6_000), same)
    similarities, found = index.search(same[0], 50)
    assert len(index) == 6_000
    assert len(set(found.tolist())) == 50
    np.testing.assert_allclose(similarities, 1, atol=0.005)


def test_an_emptied_index_can_be_filled_again(rows):
    index, others = FaissIndex(DIM), -clustered(5_000, seed=8)
    index.add(numbered(5_000), rows[:5_000])
    index.remove(numbered(5_000))
    assert len(index) == 0
    index.add(numbered(5_000), others)
    assert recall(index, others, others[::20]) >= 0.98


def test_lists_do_not_pile_up_when_everything_is_replaced(rows):
    index = FaissIndex(DIM)
    index.add(numbered(5_000), rows[:5_000])
    before = index._held._centres.ntotal
    for round_ in range(1, 4):
        index.remove(numbered(5_000, (round_ - 1) * 5_000))
        index.add(numbered(5_000, round_ * 5_000), clustered(5_000, seed=round_))
    assert index._held._centres.ntotal <= before * 1.5


def test_moving_between_lists_changes_no_vector(rows):
    index = FaissIndex(DIM)
    index.add(numbered(6_000), rows[:6_000])
    before = index.vectors(numbered(1_000))
    index.add(numbered(6_000, 6_000), rows[6_000:])
    index.remove(numbered(10_500, 1_000))
    np.testing.assert_array_equal(index.vectors(numbered(1_000)), before)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(wrong):
    index = FaissIndex(DIM)
    with pytest.raises(InputError, match="not finite"):
        index.add(numbered(1), np.full((1, DIM), wrong, dtype=np.float32))
    assert len(index) == 0


def test_a_negative_id_is_refused():
    with pytest.raises(InputError, match="-1"):
        FaissIndex(DIM).add(np.array([-1]), clustered(1))


@pytest.mark.parametrize(("dim", "threads"), [(0, 1), (3, 0)])
def test_an_index_without_dimensions_or_threads_is_refused(dim, threads):
    with pytest.raises(InputError):
        FaissIndex(dim, threads=threads)


def test_a_big_index_is_saved_and_loaded_whole(filled, rows, tmp_path):
    filled.save(tmp_path / "index")
    index = FaissIndex(DIM)
    index.load(tmp_path / "index")
    assert recall(index, rows, rows[::300]) >= 0.98
    index.remove(numbered(100))
    index.add(numbered(100), rows[:100])
    assert index.search(rows[50], 1)[1].tolist() == [50]


def test_a_file_of_another_format_is_told_apart(tmp_path):
    index = FaissIndex(DIM)
    index.save(tmp_path / "index")
    data = bytearray((tmp_path / "index").read_bytes())
    data[8] = 99
    (tmp_path / "index").write_bytes(data)
    with pytest.raises(StoreCorrupt, match="format 2"):
        index.load(tmp_path / "index")


def test_a_save_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        FaissIndex(DIM).save(tmp_path / "no such folder" / "index")
    (tmp_path / "index").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        FaissIndex(DIM).save(tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.integers(1, 120)), max_size=25), st.integers(0, 99))
def test_any_adding_and_removing_leaves_what_an_exact_index_holds(steps, seed):
    rows, truth = clustered(420, seed=seed), ScriptedIndex(DIM)
    index = FaissIndex(DIM, flat_to=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss_index, "_MIN_LIST", 8)
        patch.setattr(faiss_index, "_PROBES", 1_000)
        for is_add, first, count in steps:
            ids = numbered(count, first)
            if is_add:
                held = set(truth._rows)
                ids = np.array([one for one in ids.tolist() if one not in held], dtype=np.int64)
                truth.add(ids, rows[ids])
                index.add(ids, rows[ids])
            else:
                truth.remove(ids)
                index.remove(ids)
            wanted, found = truth.search(rows[first], 500), index.search(rows[first], 500)
            assert len(index) == len(truth)
            assert set(found[1].tolist()) == set(wanted[1].tolist())
            np.testing.assert_allclose(found[0], wanted[0], atol=0.01)


def test_the_newest_vectors_are_found_as_they_wait_and_after_the_lists_took_them_up(rows, tmp_path):
    new = clustered(100, seed=9)
    waiting = FaissIndex(DIM)
    waiting.add(numbered(6_000), rows[:6_000])
    for at, one in enumerate(new):
        waiting.add(numbered(1, 6_000 + at), one[None])
        assert waiting.search(one, 2)[1][0] == 6_000 + at
        assert waiting.vectors(numbered(1, 6_000 + at))[0] @ one >= 0.998
    waiting.remove(numbered(50, 6_050))
    waiting.save(tmp_path / "index")
    loaded = FaissIndex(DIM)
    loaded.load(tmp_path / "index")
    for index in (waiting, loaded):
        assert len(index) == 6_050
        assert [index.search(one, 1)[1][0] for one in new[:50]] == list(range(6_000, 6_050))
    with pytest.raises(InputError, match="there already"):
        loaded.add(numbered(1, 6_049), new[:1])
