"""Decodes ImageNet's pictures, on all cores, into a folder of shards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.files import whole_file
from common.sizes import size_text
from datasets.checks import FORMAT
from datasets.dataset import SUBSETS
from datasets.imagenet.choices import Choices
from datasets.imagenet.listing import Listing, Pictures, list_pictures
from datasets.imagenet.outputs import Outputs
from datasets.imagenet.shard import PIXEL_TYPE, Plan, write_array
from datasets.imagenet.work import Work
from datasets.left_out import refuse_if
from datasets.shard_folder import new_folder, remove_others
from datasets.shards import INDEX, MAX_SHARDS, MEAN, MEAN_TYPE, Index, write_index

TOY = 10 * 256  # pictures of a subset


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
    _refuse_one_in_the_other(train_dir, val_dir)
    _refuse_inside(outputs.out_dir, train_dir, val_dir)
    listing = list_pictures(train_dir, val_dir, devkit, outputs.out_dir)
    for path, fault in listing.bad_names.items():
        refuse_if(chosen.strict, path, fault)
    with new_folder(outputs.shards) as folder, _kept(folder):
        work = Work(
            chosen,
            _plans(folder, "training", listing.training, chosen),
            _plans(folder, "validation", listing.validation, chosen),
        )
        num_found = work.find()
        for path, reason in work.unreadable.items():
            refuse_if(chosen.strict, path, reason)
        remove_others(folder, work.files)
        _check_room(folder, work.bytes_left)
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


def _refuse_inside(out_dir: Path, *folders: Path) -> None:
    for folder in folders:
        if out_dir.resolve().is_relative_to(folder.resolve()):
            raise CommandError(
                f"--out-dir {out_dir} lies in {folder}, the folder of the pictures; choose one "
                "outside of it."
            )


def _refuse_one_in_the_other(train_dir: Path, val_dir: Path) -> None:
    training, validation = train_dir.resolve(), val_dir.resolve()
    if training.is_relative_to(validation) or validation.is_relative_to(training):
        raise CommandError(
            f"--train-dir {train_dir} and --val-dir {val_dir} are one folder, or one lies in the "
            "other, and what is trained on must not be validated on; give two folders apart."
        )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CommandError(
            f"The pictures take {size_text(needed)} more in {folder.parent}, where "
            f"{size_text(free)} are free; choose another --out-dir or a smaller --image-size."
        )


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


def _index(
    folder: Path,
    work: Work,
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
