"""Makes datasets of a folder of pictures: the originals' `full` and `local`, grey and in colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from common.errors import CommandError
from datasets.decoding import Decoded, Form, Paths, decoded
from datasets.duplicates import DISTANCE, check_distance, find_groups
from datasets.grouping import Grouped, Names, compiled, group_keys, grouped, too_few, units_of
from datasets.left_out import refuse_if
from datasets.links import REPORT
from datasets.outputs import (
    Members,
    Source,
    all_or_nothing,
    check_reports,
    remove_older,
    write_containers,
    write_duplicates,
    write_lists,
    write_unreadable,
)
from datasets.pictures import ResizeMode
from datasets.scan import check_counts, find_pictures, name_fault, named
from datasets.split import SHARES, Shares, choose, min_per_label, reaches_all, split
from datasets.workers import num_cores

MAX_IMAGE_SIZE = 16_384  # pixels; a larger picture has 800 MB and more


@dataclass(frozen=True)
class Duplicates:
    """What pictures were found more than once.

    Parameters
    ----------
    num_groups, num_pictures : int
        Groups of the same or nearly the same picture, and pictures in them.
    num_across_labels : int
        Groups that have more than one label.
    num_dropped : int
        Pictures that were left out for it.
    """

    num_groups: int = 0
    num_pictures: int = 0
    num_across_labels: int = 0
    num_dropped: int = 0


@dataclass(frozen=True)
class Created:
    """What `create_datasets` has made.

    Parameters
    ----------
    files : list of Path
        The files written.
    counts : dict of part to dict of subset to int
        How many pictures each subset of 'full' and 'local' has.
    labels : list of str
        The labels, by index.
    picture_shape : tuple of (height, width, channels)
        Of the pictures in colour, in pixels.
    unreadable : dict of str to str
        The reason, by path below the folder, of every picture that was left out.
    others : list of str
        What else lies in the folder and was left out, see `datasets.scan.Listing`; but for the
        report of download_dataset_images.
    older : list of Path
        Datasets of the same names, or their lists, that an earlier run has left in the folder.
    duplicates : Duplicates
        What was found more than once.
    grouped : Grouped
        What `group_by` has made of the pictures.
    missing : list of (subset, label)
        Where a subset of 'full' has no picture of a label, as the groups are too large.
    """

    files: list[Path]
    counts: dict[str, dict[str, int]]
    labels: list[str]
    picture_shape: tuple[int, int, int]
    unreadable: dict[str, str]
    others: list[str]
    older: list[Path]
    duplicates: Duplicates = field(default_factory=Duplicates)
    grouped: Grouped = field(default_factory=Grouped)
    missing: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Choices:
    """How datasets are made of a folder of pictures.

    Parameters
    ----------
    image_size, resize_mode
        Height and width in pixels, by default the common size of all pictures, and how they come to
        it (`datasets.pictures.resized`).
    labels, max_per_label
        Which labels to take, by default all, and how many pictures of each at most: they are drawn
        before any is read, and those that are left out are not replaced.
    shares
        Of training, validation and testing.
    group_by : str, optional
        A regular expression that is searched for in the path below the label's folder; pictures
        whose first groups (without a group: matches) are equal stay in one subset, whatever their
        label.
    duplicate_distance, drop_duplicates
        Which pictures are near duplicates (`datasets.duplicates.find_groups`); duplicates stay in
        one subset, or only the first of them by label and name is taken.
    skip_full_pickle : bool
        Whether the files of `full` are left out, but for the lists.
    strict : bool
        Whether an unreadable picture is an error.
    layout : 'nhwc' or 'nchw'
        Of the pictures in colour.
    seed : int
        Of the split, and of the choice by `max_per_label`.
    num_workers : int, optional
        Processes that decode; by default as many as there are cores.
    """

    image_size: int | None = None
    resize_mode: ResizeMode = "stretch"
    labels: Sequence[str] | None = None
    max_per_label: int | None = None
    shares: Shares = SHARES
    group_by: str | None = None
    duplicate_distance: int | None = DISTANCE
    drop_duplicates: bool = False
    skip_full_pickle: bool = False
    strict: bool = False
    layout: Literal["nhwc", "nchw"] = "nhwc"
    seed: int = 0
    num_workers: int | None = None

    def check(self) -> None:
        """Raises CommandError where a choice is wrong."""
        for option, number, what in (
            ("--image-size", self.image_size, "pixels"),
            ("--max-per-label", self.max_per_label, "pictures"),
            ("--num-workers", self.num_workers, "processes"),
        ):
            if number is not None and number < 1:
                raise CommandError(f"{option} is {number}; give a number of {what} from 1.")
        if self.image_size is not None and self.image_size > MAX_IMAGE_SIZE:
            raise CommandError(
                f"--image-size is {self.image_size}; give {MAX_IMAGE_SIZE:,} pixels at most, as "
                "each picture is brought to that size in memory."
            )
        if self.resize_mode != "stretch" and self.image_size is None:
            raise CommandError(
                f"--resize-mode {self.resize_mode} needs a size; give --image-size, as in "
                "--image-size 256."
            )
        check_distance(self.duplicate_distance)
        needed = min_per_label(self.shares)
        if self.max_per_label is not None and self.max_per_label < needed:
            raise CommandError(
                f"--max-per-label is {self.max_per_label}, and a label needs at least {needed} "
                f"pictures for {named(self.shares)}; give {needed} or more, or another --split."
            )


def create_datasets(
    image_dir: Path,
    out_dir: Path,
    *,
    created_by: Mapping[str, Any] | None = None,
    **choices: Any,
) -> Created:
    """Splits the pictures below `image_dir/<label>/` and writes them as datasets to `out_dir`.

    For `full` and `local` (see `split`): `<name>.pkl.zip`, grey (ITU-R 601 luma) and flattened;
    `<name>.rgb.pkl.zip`, in colour; both uint8 with scale 255; `<name>-dataset-filenames.json`, the
    pictures of every subset in the order of its instances; `<name>.<subset>.txt`, the same with
    the label's index, as Caffe reads it. `local` is left out where a subset of it would lack a
    label. `duplicates.tsv` lists pictures that are there more than once (see
    `datasets.duplicates`), `unreadable.txt` what can't be read.

    Every file appears when all of them are whole, memory use depends on the number of pictures by
    some hundred bytes each, and the number of workers does not change a byte. Where a run was
    killed, or stopped by Ctrl-C when much was decoded, the same one goes on from what was decoded,
    see `datasets.scratch`.

    Parameters
    ----------
    image_dir, out_dir : Path
        What is read, and where to.
    created_by : mapping, optional
        What the files say they were made by.
    **choices
        The fields of `Choices`.

    Raises
    ------
    CommandError
        Where a choice is wrong, the folder can't be made a dataset or `out_dir` can't be written.
    """
    chosen = Choices(**choices)
    chosen.check()
    check_reports(out_dir)
    pattern = compiled(chosen.group_by)
    workers = chosen.num_workers or num_cores()
    listing = find_pictures(image_dir, out_dir, chosen.labels)
    pictures = listing.pictures
    if chosen.max_per_label is not None:
        pictures = choose(pictures, chosen.max_per_label, seed=chosen.seed)
    check_counts(image_dir, pictures, shares=chosen.shares)
    names = [(label, name) for label, files in pictures.items() for name in files]
    paths = Paths(image_dir, names)
    bad_names = _bad_names(names)
    for row, fault in bad_names.items():
        refuse_if(chosen.strict, paths[row], fault)
    keys = group_keys(pattern, names)
    form = Form(chosen.image_size, chosen.resize_mode, chosen.strict, workers)
    with _output(out_dir, form) as (folder, place), decoded(paths, place, form) as scratch:
        unreadable = scratch.unreadable | bad_names
        groups, readable, dropped = _find_duplicates(scratch, unreadable, chosen)
        rows = _by_label(names, readable)
        left_out = _left_out(names, unreadable, dropped, listing.pictures)
        check_counts(image_dir, rows, chosen.shares, left_out)
        parts = _split_parts(rows, units_of(names, readable, keys, groups), chosen, bool(groups))
        source = Source(scratch, rows, chosen.layout, created_by or {})
        _write(folder, parts, source, chosen.skip_full_pickle)
        if groups:
            write_duplicates(folder, groups, names, _subset_of(parts["full"], rows), scratch)
        reasons = {"/".join(names[row]): unreadable[row] for row in sorted(unreadable)}
        write_unreadable(folder, reasons)
        files = [out_dir / entry.name for entry in sorted(folder.iterdir())]
    remove_older(out_dir, files)
    across = sum(len({names[row][0] for row in group}) > 1 for group in groups)
    return Created(
        files=files,
        counts={
            part: {subset: len(one) for subset, one in members.items()}
            for part, members in parts.items()
        },
        labels=sorted(rows),
        picture_shape=scratch.pictures.shape[1:],
        unreadable=reasons,
        others=[other for other in listing.others if other != REPORT],
        older=_older(out_dir, files),
        duplicates=Duplicates(len(groups), sum(map(len, groups)), across, len(dropped)),
        grouped=grouped(keys, names, readable),
        missing=_missing(parts["full"], rows),
    )


@contextmanager
def _output(out_dir: Path, form: Form) -> Iterator[tuple[Path, Path]]:
    """Yields the folders of `all_or_nothing`; raises CommandError where memory is too small."""
    try:
        with all_or_nothing(out_dir) as folders:
            yield folders
    except MemoryError as error:
        size = form.image_size
        what = "Pictures of their own size need" if size is None else f"--image-size {size} needs"
        advice = "give --image-size, as in 256" if size is None else "give a smaller one"
        raise CommandError(f"{what} more memory than there is; {advice}.") from error


def _write(
    folder: Path, parts: Mapping[str, Members], source: Source, skip_full_pickle: bool
) -> None:
    for part, members in parts.items():
        write_lists(folder, part, members, source.label_to_index)
    stored = {part: parts[part] for part in parts if part == "local" or not skip_full_pickle}
    write_containers(folder, stored, source)


def _subset_of(full: Members, rows: Mapping[str, Mapping[str, int]]) -> dict[int, str]:
    """Returns the subset of every row."""
    return {rows[label][name]: subset for subset in full for label, name in full[subset]}


def _bad_names(names: Names) -> dict[int, str]:
    faults = ((row, name_fault(name)) for row, (_, name) in enumerate(names))
    return {row: fault for row, fault in faults if fault is not None}


def _find_duplicates(
    scratch: Decoded, unreadable: Mapping[int, str], chosen: Choices
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Returns the groups of duplicates, the rows to use, and those to drop."""
    every = np.arange(len(scratch.pictures))
    readable = np.setdiff1d(every, np.array(list(unreadable), np.int64))
    groups = find_groups(scratch.prints, scratch.digests, chosen.duplicate_distance, readable)
    more = [group[1:] for group in groups] if chosen.drop_duplicates else []
    dropped = np.concatenate([np.zeros(0, np.int64), *more])
    return groups, np.setdiff1d(readable, dropped), dropped


def _by_label(names: Names, readable: np.ndarray) -> dict[str, dict[str, int]]:
    rows: dict[str, dict[str, int]] = {label: {} for label, _ in names}
    for row in readable.tolist():
        label, name = names[row]
        rows[label][name] = row
    return rows


def _left_out(
    names: Names,
    unreadable: Mapping[int, str],
    dropped: np.ndarray,
    found: Mapping[str, Sequence[str]],
) -> dict[str, Counter[str]]:
    """Returns how many pictures of every label are left out, by what has become of them."""
    drawn = Counter(label for label, _ in names)
    return {
        "can't be read": Counter(names[row][0] for row in unreadable),
        "dropped by --drop-duplicates": Counter(names[row][0] for row in dropped.tolist()),
        "not drawn by --max-per-label": Counter({one: len(found[one]) for one in found}) - drawn,
    }


def _split_parts(
    rows: Mapping[str, Mapping[str, int]],
    units: Mapping[tuple[str, str], int],
    chosen: Choices,
    has_duplicates: bool,
) -> dict[str, Members]:
    cut = partial(split, rows, seed=chosen.seed, shares=chosen.shares, groups=units)
    full, local = cut(), cut(part="local")
    for subset, members in full.items():
        if not members:
            number = sum(map(len, rows.values())) - len(units) + len(set(units.values()))
            needed = named(chosen.shares)
            tied = has_duplicates and not chosen.drop_duplicates
            raise too_few(subset, number, needed, chosen.group_by, tied)
    if reaches_all(rows, local):
        return {"full": full, "local": local}
    if chosen.skip_full_pickle:
        raise CommandError(
            "--skip-full-pickle leaves nothing to write: a label has too few pictures for the "
            "local dataset (100 are always enough, if none must stay together); leave the option "
            "out or add pictures."
        )
    return {"full": full}


def _missing(full: Members, labels: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    present = {(subset, label) for subset, chosen in full.items() for label, _ in chosen}
    every = [(subset, label) for subset in full for label in labels]
    return [pair for pair in every if pair not in present]


def _older(out_dir: Path, files: Sequence[Path]) -> list[Path]:
    return [
        file
        for part in ("full", "local")
        for file in sorted(out_dir.glob(f"{part}[.-]*"))
        if file not in files
    ]
