"""The static split of the originals: by label, in an order that a seed gives, on every machine."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Literal, TypeVar

from common.errors import CommandError
from datasets.dataset import SUBSETS
from datasets.filling import Filling

Item = TypeVar("Item", str, int)
Part = Literal["full", "local"]
Shares = tuple[Fraction, ...]
SHARES: Shares = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))
LOCAL = 10  # local is one in so many of full


def parse_shares(text: str) -> Shares:
    """Reads the shares of training, validation and testing, as in "0.8,0.1,0.1", exactly.

    Raises
    ------
    CommandError
        Where they are not three numbers from 0 that add up to 1, or training has none.
    """
    try:
        shares = tuple(Fraction(share.strip()) for share in text.split(","))
    except (ValueError, ZeroDivisionError):
        shares = ()
    if len(shares) != len(SUBSETS) or min(shares) < 0 or not shares[0] or sum(shares) != 1:
        raise CommandError(
            f"--split is '{text}'; give the shares of training, validation and testing, three "
            "numbers from 0 that add up to 1, training's above 0, as in 0.8,0.1,0.1."
        )
    return shares


def min_per_label(shares: Shares) -> int:
    """Returns how many instances of a label always reach every subset that has a share."""
    return math.ceil(1 / min(share for share in shares if share))


def split(
    items: Mapping[str, Collection[Item]],
    *,
    seed: int,
    part: Part = "full",
    shares: Shares = SHARES,
    groups: Mapping[tuple[str, Item], Hashable] | None = None,
) -> dict[str, list[tuple[str, Item]]]:
    """Splits the items of every label into training, validation and testing.

    The order of a label's items is that of a hash of seed, label and name, and the subsets are cut
    from it at the shares. So neither the order in which a file system lists them nor the other
    labels matter, the numbers are exact, and an item that is added moves at most one other at each
    of the two borders. Within a subset the labels are mixed.

    Groups come first, the largest first, each into the subset that leaves all labels nearest to
    their shares (the rule of Webster and Sainte-Lague); the items of no group then fill up what is
    missing. Of full, a label that a subset then lacks, or all labels, gets there with the smallest
    group that can be spared elsewhere. The numbers are exact as far as there are items of no group;
    groups may move where others are added.

    Parameters
    ----------
    items : mapping of label to items
        Names or numbers, all different within a label.
    seed : int
        Another seed gives another split.
    part : 'full' or 'local'
        'local' is a tenth of 'full', cut as the original cut it: where a subset of full is
        files[low:high] of a label, that of local is files[low / 10:high / 10]. All of local is thus
        taken from the training subset of full, and its models can be tested on full's others.
    shares : tuple of Fraction
        Of training, validation and testing; a subset with the share 0 is left out.
    groups : mapping of (label, item) to hashable, optional
        What may not be torn apart: items with equal values, of one label or of several, come into
        one subset. Items that are not in the mapping stand alone.

    Returns
    -------
    dict of subset to list of (label, item)
    """
    groups = groups or {}
    ordered = {label: _ordered(items[label], seed, label) for label in sorted(items)}
    borders = {label: _borders(len(members), shares) for label, members in ordered.items()}
    sizes = {label: [high - low for low, high in pairwise(borders[label])] for label in ordered}
    shared = [index for index, share in enumerate(shares) if share]
    bins = _assign(ordered, sizes, groups, seed, shared)
    if part == "local":
        ordered = {label: bins[label][0] for label in ordered}
        sizes = {label: _local_sizes(borders[label], len(ordered[label])) for label in ordered}
        bins = _assign(ordered, sizes, groups, seed)
    result = {}
    for index, name in enumerate(SUBSETS):
        if shares[index]:
            chosen = [(label, item) for label in bins for item in bins[label][index]]
            result[name] = sorted(chosen, key=lambda one: rank(seed, part, name, *one))
    return result


def choose(items: Mapping[str, Collection[str]], number: int, *, seed: int) -> dict[str, list[str]]:
    """Returns `number` items of every label, or all where it has fewer, sorted.

    They are drawn by a hash of the seed and their names: a larger number keeps those that a smaller
    one has drawn.
    """
    return {
        label: sorted(sorted(names, key=lambda name: rank(seed, "choice", label, name))[:number])
        for label, names in items.items()
    }


def reaches_all(items: Collection[str], members: Mapping[str, Sequence[tuple[str, Item]]]) -> bool:
    """Returns whether every label in `items` is in every subset of a split."""
    return all({label for label, _ in chosen} == set(items) for chosen in members.values())


def rank(*parts: str | int) -> tuple[bytes, str | int]:
    """Returns a sort key that looks random and depends on nothing but `parts`."""
    text = "/".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest(), parts[-1]


def _ordered(items: Collection[Item], seed: int, label: str) -> list[Item]:
    return sorted(items, key=lambda item: rank(seed, label, item))


def _borders(count: int, shares: Shares) -> list[int]:
    return [0, *(math.floor(count * border) for border in accumulate(shares))]


def _local_sizes(borders: Sequence[int], available: int) -> list[int]:
    """Returns how many go into the subsets of local, and last into none."""
    sizes = [high // LOCAL - low // LOCAL for low, high in pairwise(borders)]
    if sum(sizes) > available:  # training is less than a tenth
        sizes = [0] * len(sizes)
    return [*sizes, available - sum(sizes)]


def _assign(
    ordered: Mapping[str, Sequence[Item]],
    sizes: Mapping[str, Sequence[int]],
    groups: Mapping[tuple[str, Item], Hashable],
    seed: int,
    wanted: Sequence[int] = (),
) -> dict[str, list[list[Item]]]:
    """Returns by label what goes into bins of the given sizes, in order, groups undivided.

    Where it can be helped, no label is missing in the bins that are `wanted`.
    """
    blocks: dict[Hashable, list[tuple[str, Item]]] = defaultdict(list)
    for label, members in ordered.items():
        for item in members:
            if (label, item) in groups:
                blocks[groups[label, item]].append((label, item))
    together = sorted(
        (block for block in blocks.values() if len(block) > 1),
        key=lambda block: (-len(block), min(rank(seed, *member) for member in block)),
    )
    grouped = Counter(label for block in together for label, _ in block)
    alone = {label: len(members) - grouped[label] for label, members in ordered.items()}
    filling = Filling(sizes, alone, [Counter(label for label, _ in block) for block in together])
    filling.reach(wanted)
    place = {
        member: index
        for block, index in zip(together, filling.places, strict=True)
        for member in block
    }
    result = {}
    for label, members in ordered.items():
        free = iter([i for i, quota in enumerate(filling.quotas(label)) for _ in range(quota)])
        bins: list[list[Item]] = [[] for _ in sizes[label]]
        for item in members:
            bins[place[label, item] if (label, item) in place else next(free)].append(item)
        result[label] = bins
    return result
