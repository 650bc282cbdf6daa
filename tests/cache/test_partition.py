import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teller.cache.partition import Basis, Partition, partition_of
from teller.errors import InputError
from teller.turn import DataClass, Scope

PARTS = st.text(alphabet="ab:|,\"'\\{}[]é", min_size=1, max_size=4)
BASES = st.builds(Basis, PARTS, PARTS, PARTS, PARTS, st.tuples() | st.tuples(PARTS) | st.tuples(PARTS, PARTS))
SHARED = st.builds(Partition, PARTS, PARTS, st.sampled_from([DataClass.PUBLIC, DataClass.PRODUCT]), BASES)
OWN = st.builds(Partition, PARTS, PARTS, st.just(DataClass.CUSTOMER), BASES, PARTS)
PARTITIONS = SHARED | OWN
BASIS = Basis("m", "p", "1", "k")


@given(PARTITIONS, PARTITIONS)
def test_only_equal_partitions_have_equal_digests(one, other):
    same = one.parts() == other.parts()
    assert (one.digest == other.digest) == same


@given(PARTITIONS)
def test_a_partition_survives_its_json_form(partition):
    again = Partition.read(json.loads(json.dumps(partition.parts())))
    assert again.digest == partition.digest


def test_the_order_of_adapters_does_not_matter():
    one, other = (Basis("m", "p", "1", "k", tuple(order)) for order in itertools.permutations(("a", "b")))
    scope = Scope("t", "en-GB")
    assert partition_of(scope, DataClass.PUBLIC, one).digest == partition_of(scope, DataClass.PUBLIC, other).digest


MISSING = ["", " ", "a b", "a\n", "\u200b", None, 7, "x" * 600]


@pytest.mark.parametrize("part", MISSING, ids=repr)
@pytest.mark.parametrize("name", ["base_model", "prompt", "policy", "knowledge"])
def test_a_missing_part_of_the_basis_is_an_error(name, part):
    with pytest.raises(InputError):
        Basis(**{"base_model": "m", "prompt": "p", "policy": "1", "knowledge": "k"} | {name: part})


@pytest.mark.parametrize("adapters", [("",), ("a", " "), ["a"], "a", None], ids=repr)
def test_a_missing_adapter_digest_is_an_error(adapters):
    with pytest.raises(InputError):
        Basis("m", "p", "1", "k", adapters)


@pytest.mark.parametrize("part", MISSING, ids=repr)
@pytest.mark.parametrize("name", ["tenant", "locale", "customer"])
def test_a_missing_part_of_the_scope_is_an_error(name, part):
    scope = Scope(**{"tenant": "t", "locale": "en-GB", "customer": "c"} | {name: part})
    with pytest.raises(InputError):
        partition_of(scope, DataClass.CUSTOMER, BASIS)


def test_a_shared_partition_has_no_customer():
    scope = Scope("t", "en-GB", "alice")
    assert partition_of(scope, DataClass.PUBLIC, BASIS) == partition_of(Scope("t", "en-GB"), DataClass.PUBLIC, BASIS)
    with pytest.raises(InputError):
        Partition("t", "en-GB", DataClass.PUBLIC, BASIS, "alice")


@pytest.mark.parametrize("parts", [{}, {"tenant": "t"}, {"class": "secret"}], ids=repr)
def test_what_is_no_partition_is_refused(parts):
    with pytest.raises(InputError):
        Partition.read(parts)
