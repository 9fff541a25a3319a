import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.errors import CommandError
from datasets.split import SHARES, choose, min_per_label, parse_shares, reaches_all, split

COUNTS = st.dictionaries(
    st.sampled_from("abcd"), st.integers(min_value=10, max_value=150), min_size=1
)
SHARE_TEXTS = st.sampled_from(["0.8,0.1,0.1", "0.5,0.25,0.25", "0.7,0.2,0.1", "0.9,0.1,0", "1,0,0"])


@st.composite
def grouped(draw):
    """Labels with numbered items, some of which are in groups of one label or of several."""
    items = {label: list(range(count)) for label, count in draw(COUNTS).items()}
    groups = {}
    generator = random.Random(draw(st.integers(0, 99)))
    everything = [(label, item) for label in items for item in items[label]]
    generator.shuffle(everything)
    for group in range(draw(st.integers(0, 12))):
        for _ in range(generator.randint(1, 8)):
            if everything:
                groups[everything.pop()] = group
    return items, groups


@given(data=grouped(), text=SHARE_TEXTS, seed=st.integers(0, 5))
def test_groups_stay_whole_and_nothing_is_lost(data, text, seed):
    items, groups = data
    for part in ("full", "local"):
        result = split(items, seed=seed, part=part, shares=parse_shares(text), groups=groups)
        members = [(member, name) for name in result for member in result[name]]
        assert len({member for member, _ in members}) == len(members)
        if part == "full":
            assert {m for m, _ in members} == {(x, i) for x in items for i in items[x]}
            training = set(result["training"])
        else:
            assert {member for member, _ in members} <= training
        subsets = {}
        for member, name in members:
            if member in groups:
                subsets.setdefault(groups[member], set()).add(name)
        assert all(len(names) == 1 for names in subsets.values())


@given(data=grouped(), seed=st.integers(0, 5))
def test_single_items_fill_up_to_the_exact_shares(data, seed):
    items, groups = data
    result = split(items, seed=seed, groups=groups)
    plain = split(items, seed=seed)
    for label, members in items.items():
        sizes = Counter(groups[label, i] for i in members if (label, i) in groups)
        if sum(sizes.values()) > len(members) // 12:  # fewer always fit
            continue
        for name in result:
            expected = sum(one == label for one, _ in plain[name])
            assert sum(one == label for one, _ in result[name]) == expected


@given(
    sizes=st.lists(st.integers(1, 9), min_size=30, max_size=80),
    seed=st.integers(0, 5),
    text=st.sampled_from(["0.8,0.1,0.1", "0.6,0.2,0.2"]),
)
def test_with_groups_alone_no_subset_is_off_by_more_than_the_largest(sizes, seed, text):
    groups = {}
    for group, size in enumerate(sizes):
        groups |= {("a", len(groups) + i): group for i in range(size)}
    result = split({"a": range(len(groups))}, seed=seed, shares=parse_shares(text), groups=groups)
    for name, share in zip(result, parse_shares(text), strict=True):
        assert abs(len(result[name]) - share * len(groups)) <= max(sizes) + 1


@given(
    names=st.sets(st.text(max_size=8), min_size=20, max_size=200),
    more=st.sets(st.text(max_size=8), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
def test_an_added_item_moves_at_most_one_at_each_border(names, more, seed):
    def places(items):
        found = split({"a": items}, seed=seed)
        return {item: name for name, chosen in found.items() for _, item in chosen}

    before, after = places(names), places(names | more)
    moved = sum(after[item] != before[item] for item in names)
    assert moved <= 2 * len(more - names)


def test_the_order_of_what_is_given_does_not_matter():
    items = {"a": range(60), "b": range(40)}
    groups = {("a", 3): "x", ("b", 4): "x", ("a", 9): "y", ("a", 11): "y"}
    reverse = {label: list(items[label])[::-1] for label in "ba"}
    expected = split(items, seed=1, groups=groups)
    assert split(reverse, seed=1, groups=dict(reversed(groups.items()))) == expected


def test_a_group_that_is_larger_than_a_subset_goes_to_training():
    groups = {("a", i): "big" for i in range(30)}
    result = split({"a": range(50)}, seed=0, groups=groups)
    assert {("a", i) for i in range(30)} <= set(result["training"])
    assert [len(result[name]) for name in result] == [40, 5, 5]


@pytest.mark.parametrize("labels", ["a", "ab", "abc"])
@pytest.mark.parametrize("across", [False, True])
def test_few_large_groups_reach_every_subset(labels, across):
    """Five artists of 20 pictures of each label."""
    items = {label: range(100) for label in labels}
    groups = {(x, i): i // 20 if across else (x, i // 20) for x in labels for i in range(100)}
    for seed in range(5):
        result = split(items, seed=seed, groups=groups)
        for label in labels:
            sizes = [sum(x == label for x, _ in result[name]) for name in result]
            assert sizes == [60, 20, 20]


def test_the_smallest_group_that_can_be_spared_is_moved():
    sizes = [30, 25, 20, 16, 9]
    starts = [sum(sizes[:number]) for number in range(6)]
    groups = {("a", i): n for n in range(5) for i in range(starts[n], starts[n + 1])}
    result = split({"a": range(100)}, seed=0, groups=groups)
    assert sorted(len(result[name]) for name in result) == [9, 16, 75]
    shared = {("a", i): "x" for i in range(20)} | {("b", i): "x" for i in range(2)}
    single = {("a", 20 + i): f"a{i // 10}" for i in range(30)}
    result = split({"a": range(50), "b": range(30)}, seed=0, groups=shared | single)
    assert reaches_all("ab", result)
    assert [sum(x == "a" for x, _ in result[name]) for name in result] == [30, 10, 10]


@given(
    sizes=st.lists(st.integers(2, 60), min_size=1, max_size=7),
    num_alone=st.integers(0, 4),
    text=SHARE_TEXTS,
    seed=st.integers(0, 5),
)
def test_as_many_groups_as_subsets_leave_none_empty(sizes, num_alone, text, seed):
    groups = {}
    for group, size in enumerate(sizes):
        groups |= {("a", len(groups) + i): group for i in range(size)}
    count = len(groups) + num_alone
    assume(count >= 10)
    result = split({"a": range(count)}, seed=seed, shares=parse_shares(text), groups=groups)
    num_full = sum(bool(members) for members in result.values())
    assert num_full == min(len(result), len(sizes) + num_alone)


@given(data=st.data(), text=SHARE_TEXTS, seed=st.integers(0, 5))
def test_with_several_labels_in_groups_none_is_left_empty_either(data, text, seed):
    """And every label reaches every subset where its groups are its own and as many."""
    num_groups = data.draw(st.integers(1, 8))
    across = data.draw(st.booleans())
    items, groups = {}, {}
    for label in "abc"[: data.draw(st.integers(1, 3))]:
        sizes = data.draw(st.lists(st.integers(5, 30), min_size=num_groups, max_size=num_groups))
        numbers = [n for n, size in enumerate(sizes) for _ in range(size)]
        if across:  # some groups have pictures of several labels
            numbers = [data.draw(st.integers(0, num_groups - 1)) for _ in numbers]
        items[label] = range(max(10, len(numbers)))
        for item in items[label]:
            number = numbers[item % len(numbers)]
            groups[label, item] = number if across else (label, number)
    result = split(items, seed=seed, shares=parse_shares(text), groups=groups)
    used = Counter(groups.values())
    if len(used) >= len(result) and min(used.values()) > 1:
        assert all(result.values())
    if not across and num_groups >= len(result):
        assert reaches_all(items, result)


def test_shares_are_exact():
    assert parse_shares("0.8, 0.1,0.1") == SHARES
    assert parse_shares("0.7,0.2,0.1") == (Fraction(7, 10), Fraction(1, 5), Fraction(1, 10))
    assert list(split({"a": range(20)}, seed=0, shares=parse_shares("0.9,0.1,0"))) == [
        "training",
        "validation",
    ]
    assert min_per_label(SHARES) == 10
    assert min_per_label(parse_shares("0.98,0.01,0.01")) == 100


BAD = ["", "0.8,0.2", "0.8,0.1,0.2", "a,b,c", "1.1,-0.1,0", "0,0.5,0.5", "nan,0,1", "1/0,0,0"]


@pytest.mark.parametrize("text", BAD)
def test_bad_shares(text):
    with pytest.raises(CommandError, match="--split is '.*; give the shares of training"):
        parse_shares(text)


def test_a_larger_choice_keeps_a_smaller_one():
    items = {"a": [f"{i}" for i in range(50)], "b": ["x", "y"]}
    few, more = choose(items, 10, seed=3), choose(items, 20, seed=3)
    assert len(few["a"]) == 10 and set(few["a"]) < set(more["a"]) and few["b"] == ["x", "y"]
    assert few["a"] == sorted(few["a"]) != choose(items, 10, seed=4)["a"]


def test_local_is_left_out_where_training_is_too_small_for_it():
    local = split({"a": range(200)}, seed=0, part="local", shares=parse_shares("0.05,0.05,0.9"))
    assert not reaches_all("a", local)
