"""The shards of a dataset as work: what is finished of them, and how the rest is decoded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from itertools import islice

import numpy as np

from common.progress import progress
from datasets.imagenet.blocks import Block, decode_block
from datasets.imagenet.choices import Choices
from datasets.imagenet.shard import Finished, Plan, close, find
from datasets.workers import in_order, num_cores

NO_SUMS = np.zeros((0, 0, 3), np.uint16)


class _Blocks(Sequence[Block]):
    """The blocks of some shards, made as they are asked for."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self._ends = np.cumsum([plan.num_blocks for plan in plans])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Block:  # type: ignore[override]
        which = int(np.searchsorted(self._ends, index, side="right"))
        plan = self._plans[which]
        return plan.block(index - int(self._ends[which]) + plan.num_blocks)


class Work:
    """Makes the planned shards.

    Attributes
    ----------
    sums : np.ndarray of shape (height, width, 3), int64
        The sum of the training pictures that were stored.
    """

    def __init__(self, chosen: Choices, training: list[Plan], validation: list[Plan]) -> None:
        self.sums = np.zeros((chosen.image_size, chosen.image_size, 3), np.int64)
        self._chosen = chosen
        self._subsets = {"training": training, "validation": validation}
        self._plans = [*training, *validation]
        self._training = {plan.stem for plan in training}
        self._finished: dict[str, Finished] = {}
        self._workers = chosen.num_workers or num_cores()

    @property
    def pairs(self) -> dict[str, list[tuple[Plan, Finished]]]:
        """The shards of each subset, and what became of them."""
        return {
            name: [(plan, self._finished[plan.stem]) for plan in plans]
            for name, plans in self._subsets.items()
        }

    @property
    def unreadable(self) -> dict[str, str]:
        """The reason, by path, of every picture that was left out so far."""
        return {
            str(plan.source / plan.names[position]): reason
            for plan in self._plans
            if plan.stem in self._finished
            for position, reason in self._finished[plan.stem].unreadable.items()
        }

    @property
    def files(self) -> set[str]:
        """The names of all files of the shards that are finished."""
        of_shards = {
            file.name for one in self._finished.values() if one.files for file in one.files
        }
        return of_shards | {plan.record.name for plan in self._plans if plan.stem in self._finished}

    @property
    def bytes_left(self) -> int:
        """What the shards take that are not finished."""
        return sum(
            len(plan.names) * plan.row_bytes
            for plan in self._plans
            if plan.stem not in self._finished
        )

    def find(self) -> int:
        """Takes the shards that an earlier run has finished; returns how many there are."""
        plans = [plan for plan in self._plans if plan.record.is_file()]
        with (
            progress("Looking at finished shards", len(plans), "shards") as advance,
            closing(in_order(find, plans, self._workers, large=True)) as answers,
        ):
            for plan, found in zip(plans, answers, strict=True):
                advance(1)
                if found is not None:
                    self._finished[plan.stem] = found.finished
                    self._add(plan, found.sums)
        if self._finished:
            print(
                f"Going on: {len(self._finished):,} of {len(self._plans):,} shards are there "
                "already.",
                file=sys.stderr,
            )
        if len(self._finished) < len(plans):
            print(
                f"Made anew: {len(plans) - len(self._finished):,} shards of an earlier run, whose "
                "pictures or options were others.",
                file=sys.stderr,
            )
        return len(self._finished)

    def decode(self) -> None:
        """Makes all other shards."""
        chosen = self._chosen
        plans = [plan for plan in self._plans if plan.stem not in self._finished]
        decode = partial(
            decode_block, size=chosen.image_size, mode=chosen.resize_mode, strict=chosen.strict
        )
        with (
            progress("Decoding", sum(len(plan.names) for plan in plans), "pictures") as advance,
            closing(in_order(decode, _Blocks(plans), self._workers, large=True)) as answers,
        ):
            for plan in plans:
                blocks = []
                for decoded in islice(answers, plan.num_blocks):
                    self._add(plan, decoded.sums)
                    blocks.append(decoded._replace(sums=NO_SUMS))
                    advance(decoded.num_written + len(decoded.unreadable))
                self._finished[plan.stem] = close(plan, blocks)

    def _add(self, plan: Plan, sums: np.ndarray) -> None:
        if plan.stem in self._training:
            self.sums += sums
