import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from datasets.split import reaches_all, split

NAMES = st.lists(st.text(max_size=6), min_size=10, max_size=250, unique=True)
ITEMS = st.dictionaries(st.text(max_size=5), NAMES, min_size=1, max_size=4)


@given(items=ITEMS, seed=st.integers(0, 9))
def test_full_is_complete_disjoint_and_stratified(items, seed):
    result = split(items, seed=seed)
    everything = [member for members in result.values() for member in members]
    assert len(everything) == len(set(everything))
    assert set(everything) == {(label, name) for label, names in items.items() for name in names}
    for label, names in items.items():
        sizes = [sum(member[0] == label for member in members) for members in result.values()]
        for size, share in zip(sizes, (0.8, 0.1, 0.1), strict=True):
            assert size >= 1
            assert abs(size - share * len(names)) < 1


@given(items=ITEMS, seed=st.integers(0, 9))
def test_local_is_a_tenth_and_lies_within_the_training_subset_of_full(items, seed):
    full, local = split(items, seed=seed), split(items, seed=seed, part="local")
    everything = [member for members in local.values() for member in members]
    assert len(everything) == len(set(everything))
    assert set(everything) <= set(full["training"])
    for name, members in local.items():
        expected = sum(
            [full[name], full["training"]][name == "training"].count((label, item)) * 0.1
            for label, items_ in items.items()
            for item in items_
        )
        assert abs(len(members) - expected) <= len(items)
    expected = all(
        any(member[0] == label for member in members)
        for label in items
        for members in local.values()
    )
    assert reaches_all(items, local) == expected


@given(items=ITEMS, seed=st.integers(0, 9))
def test_the_order_of_listing_does_not_matter(items, seed):
    shuffled = list(items.items())
    random.Random(seed).shuffle(shuffled)
    other = {label: random.Random(seed).sample(names, len(names)) for label, names in shuffled}
    for part in ("full", "local"):
        assert split(items, seed=seed, part=part) == split(other, seed=seed, part=part)


def test_another_label_does_not_change_a_labels_split():
    items = {"a": range(50), "b": range(40)}
    alone = split({"a": range(50)}, seed=3)
    both = split(items, seed=3)
    for name, members in alone.items():
        assert sorted(members) == sorted(m for m in both[name] if m[0] == "a")


def test_the_borders_are_those_of_the_original():
    for size in (10, 99, 100, 123, 1000):
        result = split({"a": range(size)}, seed=0)
        borders = [int(share * size) for share in (0, 0.8, 0.9, 1.0)]
        sizes = [high - low for low, high in pairwise(borders)]
        assert [len(members) for members in result.values()] == sizes
        local = split({"a": range(size)}, seed=0, part="local")
        borders = [int(0.1 * border) for border in borders]
        sizes = [high - low for low, high in pairwise(borders)]
        assert [len(members) for members in local.values()] == sizes
    for count in (100, 101, 555, 999):
        assert reaches_all("a", split({"a": range(count)}, seed=0, part="local"))
    items = {"a": range(50), "b": range(250)}
    assert not reaches_all("ab", split(items, seed=0, part="local"))


def test_the_seed_matters_and_labels_are_mixed():
    items = {label: range(100) for label in "abc"}
    first, second = split(items, seed=0), split(items, seed=1)
    assert first["training"] != second["training"]
    assert {label for label, _ in first["training"][:20]} == {"a", "b", "c"}
