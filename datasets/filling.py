"""Fills bins with blocks that can't be divided, and then with single items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

NEARLY_NONE = 1e-6  # stands for a target of no items where it divides


class Filling:
    """Bins that blocks, which can't be divided, are put into, and single items then fill up.

    Parameters
    ----------
    sizes : mapping of label to sequence of int
        How many items of a label each bin should have.
    alone : mapping of label to int
        The number of single items.
    blocks : sequence of mapping of label to int
        How many items of each label a block has; the largest block first.
    """

    def __init__(
        self,
        sizes: Mapping[str, Sequence[int]],
        alone: Mapping[str, int],
        blocks: Sequence[Mapping[str, int]],
    ) -> None:
        self._sizes, self._alone, self._blocks = sizes, alone, blocks
        self._taken = {label: [0] * len(of_label) for label, of_label in sizes.items()}
        self.places: list[int] = []
        for counts in blocks:
            best = _best_bin(counts, self._taken, sizes)
            self._put(counts, best)
            self.places.append(best)
        self._filled: dict[str, list[int]] = {}
        self._totals = [0] * len(next(iter(sizes.values())))
        for label in sizes:
            self._fill(label)

    def quotas(self, label: str) -> list[int]:
        """Returns how many single items of a label go into each bin."""
        return _quotas(self._sizes[label], self._taken[label], self._alone[label])

    def reach(self, wanted: Sequence[int]) -> None:
        """Moves blocks, small ones first, until no label is missing in the `wanted` bins.

        Where that can't be, no bin is left empty; where that can't be either, it ends as well: a
        move makes more bins have something, or as many bins have more labels.
        """
        by_label: dict[str, list[int]] = defaultdict(list)
        for block in reversed(range(len(self._blocks))):
            for label in self._blocks[block]:
                by_label[label].append(block)
        while self._move_some(by_label, wanted, for_label=True) or self._move_some(
            by_label, wanted, for_label=False
        ):
            pass

    def _move_some(
        self, by_label: Mapping[str, Sequence[int]], wanted: Sequence[int], *, for_label: bool
    ) -> bool:
        """Moves blocks to where their label, or else anything, is missing; returns whether any."""
        moved = False
        for label in sorted(by_label):
            for target in wanted:
                if not (self._filled[label] if for_label else self._totals)[target]:
                    moved = self._move_to(target, by_label[label], wanted, for_label) or moved
        return moved

    def _move_to(
        self, target: int, blocks: Sequence[int], wanted: Sequence[int], for_label: bool
    ) -> bool:
        """Moves the first of the blocks that leaves more where it was than it takes away."""
        for block in blocks:
            source, before = self.places[block], self._score(block, wanted)
            self._move(block, target)
            after = self._score(block, wanted)
            more_labels = after[0] >= before[0] and after[1] > before[1]
            if more_labels if for_label else after[0] > before[0]:
                return True
            self._move(block, source)
        return False

    def _score(self, block: int, wanted: Sequence[int]) -> tuple[int, int]:
        """Returns how many bins have something, and how many the block's labels, in all."""
        filled = [self._filled[label][index] for label in self._blocks[block] for index in wanted]
        return sum(self._totals[index] > 0 for index in wanted), sum(count > 0 for count in filled)

    def _move(self, block: int, target: int) -> None:
        self._put(self._blocks[block], self.places[block], -1)
        self._put(self._blocks[block], target)
        self.places[block] = target
        for label in self._blocks[block]:
            self._fill(label)

    def _put(self, counts: Mapping[str, int], index: int, times: int = 1) -> None:
        for label, count in counts.items():
            self._taken[label][index] += times * count

    def _fill(self, label: str) -> None:
        """Notes how many items of a label each bin has, single ones included."""
        pairs = zip(self._taken[label], self.quotas(label), strict=True)
        filled = [taken + quota for taken, quota in pairs]
        old = self._filled.get(label, [0] * len(filled))
        changes = zip(self._totals, filled, old, strict=True)
        self._totals = [total + new - before for total, new, before in changes]
        self._filled[label] = filled


def _best_bin(
    counts: Mapping[str, int],
    taken: Mapping[str, Sequence[int]],
    sizes: Mapping[str, Sequence[int]],
) -> int:
    """Returns the bin that makes the sum of taken**2 / size grow least, as Webster's rule does."""

    def growth(index: int) -> float:
        return sum(
            count * (2 * taken[label][index] + count) / (sizes[label][index] or NEARLY_NONE)
            for label, count in counts.items()
        )

    return min(range(len(next(iter(sizes.values())))), key=growth)


def _quotas(sizes: Sequence[int], taken: Sequence[int], num_alone: int) -> list[int]:
    """Returns how many single items fill each bin; what groups took too much, the fullest lack."""
    if not num_alone:
        return [0] * len(sizes)
    quotas = [max(0, size - already) for size, already in zip(sizes, taken, strict=True)]
    while sum(quotas) > num_alone:
        quotas[quotas.index(max(quotas))] -= 1
    return quotas
