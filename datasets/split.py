"""The static split of the originals: by label, shuffled with a seed, the same on every machine."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Literal, TypeVar

from datasets.dataset import SUBSETS

Item = TypeVar("Item", str, int)
Part = Literal["full", "local"]
BORDERS = (0, 80, 90, 100)  # hundredths of a label's instances: training, validation, testing
MIN_PER_LABEL = 10  # fewer would leave the validation or the testing subset without the label


def split(
    items: Mapping[str, Collection[Item]], *, seed: int, part: Part = "full"
) -> dict[str, list[tuple[str, Item]]]:
    """Splits the items of every label into training, validation and testing, 80/10/10.

    Within a label the sorted items are shuffled with the seed, so neither the order in which a file
    system lists them nor the other labels matter. Within a subset the labels are mixed.

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

    Returns
    -------
    dict of subset to list of (label, item)
    """
    result: dict[str, list[tuple[str, Item]]] = {name: [] for name in SUBSETS}
    for label in sorted(items):
        shuffled = sorted(items[label])
        random.Random(f"{seed}/{label}").shuffle(shuffled)
        for name, (low, high) in zip(SUBSETS, _borders(len(shuffled), part), strict=True):
            result[name] += [(label, item) for item in shuffled[low:high]]
    for name, members in result.items():
        random.Random(f"{seed}/{part}/{name}").shuffle(members)
    return result


def has_local_part(counts: Collection[int]) -> bool:
    """Returns whether labels with these numbers of instances all reach every subset of `local`."""
    return all(low < high for count in counts for low, high in _borders(count, "local"))


def _borders(count: int, part: Part) -> list[tuple[int, int]]:
    borders = [count * border // 100 for border in BORDERS]
    if part == "local":
        borders = [border // 10 for border in borders]
    return list(pairwise(borders))
