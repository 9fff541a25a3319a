"""Decodes ImageNet's pictures, on all cores, into a folder of shards."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL

from common.errors import CommandError
from common.files import whole_file
from common.progress import progress
from datasets.checks import FORMAT
from datasets.dataset import SUBSETS
from datasets.imagenet.blocks import Block, decode_block
from datasets.imagenet.listing import Listing, Pictures, list_pictures
from datasets.imagenet.outputs import Outputs
from datasets.imagenet.shard import PIXEL_TYPE, Finished, Plan, close, find, write_array
from datasets.left_out import refuse_if
from datasets.shard_folder import new_folder, remove_others
from datasets.shards import INDEX, MAX_SHARDS, MEAN, MEAN_TYPE, Index, write_index
from datasets.workers import in_order, num_cores

VERSION = 1  # of how pictures are decoded: shards of another are not used
TOY = 10 * 256  # pictures of a subset
MAX_IMAGE_SIZE = 16_384  # pixels; a larger picture has 800 MB and more
NO_SUMS = np.zeros((0, 0, 3), np.uint16)


@dataclass(frozen=True)
class Choices:
    """How the pictures become a dataset.

    Parameters
    ----------
    image_size : int
        Height and width in pixels.
    resize_mode : 'stretch' or 'crop'
        See `datasets.pictures.resized`.
    shard_size : int
        Pictures in a shard.
    toy : bool
        Whether only the first `TOY` pictures of each subset are taken.
    seed : int
        Of the order of the pictures.
    strict : bool
        Whether an unreadable picture is an error.
    num_workers : int, optional
        Processes that decode; by default as many as there are cores.
    """

    image_size: int = 256
    resize_mode: Literal["stretch", "crop"] = "stretch"
    shard_size: int = 2048
    toy: bool = False
    seed: int = 0
    strict: bool = False
    num_workers: int | None = None

    def check(self) -> None:
        """Raises CommandError where a choice is wrong."""
        for option, number, least, what in (
            ("--image-size", self.image_size, 1, " of pixels"),
            ("--shard-size", self.shard_size, 1, " of pictures"),
            ("--num-workers", self.num_workers, 1, " of processes"),
            ("--seed", self.seed, 0, ""),
        ):
            if number is not None and number < least:
                raise CommandError(f"{option} is {number}; give a number{what} from {least}.")
        if self.image_size > MAX_IMAGE_SIZE:
            raise CommandError(
                f"--image-size is {self.image_size}; give {MAX_IMAGE_SIZE:,} pixels at most, as "
                "each picture is brought to that size in memory."
            )

    @property
    def settings(self) -> bytes:
        """A digest of all that decides how a picture becomes pixels."""
        names = VERSION, PIL.__version__, self.image_size, self.resize_mode
        return hashlib.blake2b(repr(names).encode(), digest_size=16).digest()


@dataclass(frozen=True)
class Preprocessed:
    """What was written.

    Parameters
    ----------
    path : Path
        The folder of shards.
    lists : list of Path
        The lists beside it.
    listing : Listing
        What was there.
    counts : dict of subset to int
        The pictures of each.
    unreadable : dict of str to str
        The reason, by path, of every picture that was left out.
    num_shards, num_found : int
        The shards, and those of them that were there, from a run that was broken off.
    """

    path: Path
    lists: list[Path]
    listing: Listing
    counts: dict[str, int]
    unreadable: dict[str, str]
    num_shards: int
    num_found: int


def preprocess(
    train_dir: Path,
    val_dir: Path,
    outputs: Outputs,
    chosen: Choices,
    *,
    devkit: Path | None = None,
    created_by: Mapping[str, Any] | None = None,
    written_by: Mapping[str, Any] | None = None,
) -> Preprocessed:
    """Writes a dataset of a training and a validation subset, and lists of what is in it.

    The pictures are shuffled once, become RGB of one size, uint8, height x width x channel, and are
    stored as `datasets.shards` says, with the exact mean of the training pictures. A shard's file
    grows as its pictures are decoded in blocks, by all processes; a run that was killed goes on
    behind the shards that were whole. The number of processes does not change a byte. Memory
    depends on the number of pictures by their names only.

    Parameters
    ----------
    train_dir, val_dir, devkit : Path
        See `listing.list_pictures`.
    outputs : Outputs
        What is written; see `Outputs.is_there` first.
    chosen : Choices
        How.
    created_by, written_by : mapping, optional
        What the index says of the dataset's making and of its writing.

    Raises
    ------
    CommandError
        Where a choice is wrong, the folders can't be made a dataset, none of a subset's pictures
        can be read, or the system refuses to write.
    """
    chosen.check()
    listing = list_pictures(train_dir, val_dir, devkit, outputs.out_dir)
    for path, fault in listing.bad_names.items():
        refuse_if(chosen.strict, path, fault)
    with new_folder(outputs.shards) as folder, _kept(folder):
        work = _Work(
            chosen,
            _plans(folder, "training", listing.training, chosen),
            _plans(folder, "validation", listing.validation, chosen),
        )
        num_found = work.find()
        for path, reason in work.unreadable.items():
            refuse_if(chosen.strict, path, reason)
        remove_others(folder, work.files)
        work.decode()
        unreadable = listing.bad_names | work.unreadable
        index = _index(folder, work, listing.label_names, created_by)
        lists = outputs.write_lists(listing.label_lines, work.pairs, unreadable)
        with whole_file(folder / INDEX) as file:
            file.write_bytes(write_index(index, written_by or {}))
        remove_others(folder, index.files)
    files = {name: [instances for instances, _ in pairs] for name, pairs in index.subsets.items()}
    return Preprocessed(
        path=outputs.shards,
        lists=lists,
        listing=listing,
        counts={name: sum(file.shape[0] for file in of_one) for name, of_one in files.items()},
        unreadable=unreadable,
        num_shards=sum(map(len, files.values())),
        num_found=num_found,
    )


def _plans(folder: Path, subset: str, pictures: Pictures, chosen: Choices) -> list[Plan]:
    """Returns the shards of a subset, whose order does not depend on the other."""
    seed = chosen.seed, SUBSETS.index(subset)
    pictures = pictures.shuffled(seed, TOY if chosen.toy else None)
    count, size = len(pictures.names), chosen.shard_size
    if -(-count // size) > MAX_SHARDS:
        raise CommandError(
            f"--shard-size {size} makes more than {MAX_SHARDS:,} shards of the {subset} pictures; "
            f"give at least {-(-count // MAX_SHARDS)}."
        )
    return [
        Plan(
            folder,
            f"{subset}-{shard:05d}",
            pictures.folder,
            pictures.names[start : start + size],
            pictures.labels[start : start + size],
            chosen.image_size,
            chosen.settings,
        )
        for shard, start in enumerate(range(0, count, size))
    ]


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Leaves only whole shards behind where something goes wrong; Ctrl-C says what is left."""
    _remove_growing(folder)  # of a process that was killed
    try:
        yield
    except BaseException as error:
        _remove_growing(folder)
        if (folder / INDEX).exists():  # all is written, see Outputs.is_there
            raise
        kept = len(list(folder.glob("*-*.json")))
        if not kept:
            for entry in folder.iterdir():
                entry.unlink()
            folder.rmdir()
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(
                f"{kept:,} whole shards are kept in {folder}: the same command goes on with them, "
                "and removing that folder frees the room"
                if kept
                else "nothing is kept, as no shard was whole"
            ) from None
        raise


def _remove_growing(folder: Path) -> None:
    for left in folder.glob("*.partial"):
        with suppress(OSError):
            left.unlink()


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


class _Work:
    """Makes the planned shards.

    Attributes
    ----------
    pairs : dict of subset to list of (Plan, Finished)
        What became of them.
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


def _index(
    folder: Path,
    work: _Work,
    label_names: Sequence[str],
    created_by: Mapping[str, Any] | None,
) -> Index:
    """Writes the mean, and returns the index of all that is there."""
    subsets = {
        name: [one.files for _, one in pairs if one.files] for name, pairs in work.pairs.items()
    }
    for name, files in subsets.items():
        if not files:
            raise CommandError(
                f"None of the {name} pictures can be read; look at one of them, and at its suffix."
            )
    num_training = sum(instances.shape[0] for instances, _ in subsets["training"])
    shape = work.sums.shape
    return Index(
        shape,
        PIXEL_TYPE,
        subsets,
        write_array(folder, MEAN, (work.sums / num_training).astype(MEAN_TYPE)),
        {name: label for label, name in enumerate(label_names)},
        {
            "format": FORMAT,
            "layout": "nhwc",
            "scale": 255,
            "picture_shape": shape,
            "created_by": dict(created_by or {}),
        },
    )
