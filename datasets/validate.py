"""Reads a whole dataset and says everything that is wrong with it, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import CommandError
from common.progress import progress
from datasets.archive import Archive, npy_header
from datasets.checks import checked_subset, dataset_of
from datasets.container import (
    holds_recordings,
    open_dataset,
    read_metadata,
    read_structure,
)
from datasets.dataset import Dataset, Subset
from datasets.findings import (
    SHOWN,
    Finding,
    Report,
    Stored,
    check_checksum,
    check_labels,
    check_values,
    checksum,
    note_absent,
    read_through,
)
from datasets.mean import MeanSum
from datasets.recordings import FRAMES, Recordings, read_recordings
from datasets.sharded import Shard, ShardedArray, map_shard, open_regular
from datasets.shards import INDEX, Index, ShardFile, check_file, read_index
from datasets.unpickle import FormatError

__all__ = ["Finding", "Report", "validate"]

MEAN_TOLERANCE = 1e-6  # relative, for floating-point values; sums of integers are exact


def validate(path: Path) -> Report:
    """Reads a dataset once, from its first byte to its last, and collects what is wrong with it.

    Faults are: anything that keeps the dataset from being opened; bytes that have changed since
    they were written (checksums); labels out of range; values that are NaN or infinite; a stored
    mean that is not the instances'. Notes are: pictures of one colour, or other instances of one
    value; labels that a subset has no instance of; empty subsets.

    Raises
    ------
    CommandError
        Where there is nothing to read under that name.
    """
    path = Path(path)
    report = Report()
    try:
        if (path / INDEX).is_file():
            _check_folder(path, report)
        elif path.is_file():
            with open_regular(path) as file:
                _check_file(path, Archive(file), report)
        else:
            open_dataset(path)
    except FormatError as error:
        report.add("", error)
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror or error}.") from error
    except (MemoryError, OverflowError):
        report.add("", "it declares more than memory can hold")
    return report


@dataclass(frozen=True)
class _Part:
    """Instances and their labels, numbered from `first` on; None where they can't be read."""

    instances: Stored | None
    labels: Stored | None
    first: int = 0


@dataclass(frozen=True)
class _Checker:
    """Checks all values and labels of subsets.

    Parameters
    ----------
    report : Report
    label_to_index : mapping
    dataset : Dataset, optional
        Says which pictures they are, if any.
    advance : callable
        Is told how many instances were read.
    """

    report: Report
    label_to_index: Mapping[str, int]
    dataset: Dataset | None
    advance: Callable[[int], None]

    def check(self, name: str, parts: Iterable[_Part], mean: MeanSum | None = None) -> bool:
        """Checks a subset, adds it to the mean; returns whether all instances could be read."""
        names = sorted(self.label_to_index, key=self.label_to_index.__getitem__)
        counts = np.zeros(len(names), np.int64)
        has_instances = has_labels = True

        def watch(block: np.ndarray) -> None:
            if mean is not None:
                mean.add(block)
            self.advance(len(block))

        for part in parts:
            if part.instances is None:
                has_instances = False
            else:
                check_values(self.report, part.instances, part.first, self.dataset, watch)
            if part.labels is None:
                has_labels = False
            else:
                counts += check_labels(self.report, part.labels, part.first, len(names))
        if has_labels:
            note_absent(self.report, name, counts, names)
        return has_instances


def _check_folder(path: Path, report: Report) -> None:
    index = read_index(path)
    try:
        dataset = _without_labels(path, index)
    except FormatError as error:
        dataset = None
        report.add("", error)
    total = sum(pair[0].shape[0] for pairs in index.subsets.values() for pair in pairs)
    mean = MeanSum(index.shape, index.dtype)
    is_whole = False
    with progress("Reading", total, "instances") as advance:
        checker = _Checker(report, index.label_to_index, dataset, advance)
        for name, pairs in index.subsets.items():
            parts = _shards(path, report, name, pairs)
            if name == "training":
                is_whole = checker.check(name, parts, mean) and bool(pairs)
            else:
                checker.check(name, parts)
    stored = _open_shard(path, report, index.mean.name, index.mean)
    if stored is not None:
        written = np.concatenate([block for _, block in read_through(stored, report)])
        if is_whole:
            _check_mean(report, index, written, mean.mean)


def _without_labels(path: Path, index: Index) -> Dataset:
    """Returns the dataset without what the files hold."""
    subsets = {}
    for name, pairs in index.subsets.items():
        shards = [Shard(path / file.name, file.shape[0], 0) for file, _ in pairs]
        subsets[name] = Subset(ShardedArray(shards, index.shape, index.dtype), np.empty(0, int))
    return dataset_of(path, subsets, index.label_to_index, index.metadata)


def _shards(
    path: Path, report: Report, subset: str, pairs: Iterable[tuple[ShardFile, ShardFile]]
) -> Iterator[_Part]:
    first = 0
    for files in pairs:
        instances, labels = (
            _open_shard(path, report, f"{subset}, {file.name}", file) for file in files
        )
        yield _Part(instances, labels, first)
        first += files[0].shape[0]


def _open_shard(path: Path, report: Report, where: str, file: ShardFile) -> Stored | None:
    try:
        start = check_file(path, file)
        shard = Shard(path / file.name, file.shape[0], start)
        array, mapping = map_shard(shard, file.shape[1:], file.dtype)
    except (FormatError, OSError) as error:
        report.add(where, error)
        return None
    return Stored(where, array, memoryview(mapping), start, int(file.crc, 16), mapping)


def _check_mean(report: Report, index: Index, stored: np.ndarray, computed: np.ndarray) -> None:
    tolerance = MEAN_TOLERANCE if index.dtype.kind == "f" else 0
    if not np.allclose(stored, computed, rtol=tolerance, atol=tolerance, equal_nan=True):
        report.add(index.mean.name, "it is not the mean of the training instances")


def _check_file(path: Path, archive: Archive, report: Report) -> None:
    read: set[str] = set()
    try:
        if holds_recordings(archive):
            _check_recordings(read_recordings(path, archive), archive, report, read)
        else:
            _check_arrays(path, archive, report, read)
    except FormatError as error:
        report.add("", error)
    for member in sorted(set(archive.names) - read):
        try:
            found = checksum(archive.content(member), archive.mapping)
            check_checksum(report, f"member {member}", found, archive.crc(member))
        except FormatError as error:
            if str(error) not in [finding.what for finding in report.findings]:
                report.add(f"member {member}", error)


def _check_arrays(path: Path, archive: Archive, report: Report, read: set[str]) -> None:
    """Checks the arrays of a file and that they fit; adds the members that were read to `read`."""
    structure, label_to_index = read_structure(archive)
    subsets: dict[str, Subset] = {}
    parts: dict[str, _Part] = {}
    for name, members in structure.items():
        instances, labels = (_open_member(archive, report, name, member) for member in members)
        if instances and labels:
            try:
                no_labels = np.zeros_like(labels.array)
                subsets[name] = checked_subset(
                    name, instances.array, no_labels, len(label_to_index)
                )
            except FormatError as error:
                report.add(name, error)
        if instances and (instances.array.ndim < 2 or 0 in instances.array.shape[1:]):
            instances = None
        parts[name] = _Part(instances, labels if name in subsets else None)
    dataset = None
    if len(subsets) == len(structure):
        try:
            dataset = dataset_of(path, subsets, label_to_index, read_metadata(archive))
        except FormatError as error:
            report.add("", error)
    total = sum(len(part.instances.array) for part in parts.values() if part.instances)
    with progress("Reading", total, "instances") as advance:
        checker = _Checker(report, label_to_index, dataset, advance)
        for name, part in parts.items():
            checker.check(name, [part])
            pairs = zip(structure[name], (part.instances, part.labels), strict=True)
            read |= {member for member, stored in pairs if stored}


def _check_recordings(
    recordings: Recordings, archive: Archive, report: Report, read: set[str]
) -> None:
    """Reads all frames of spectrograms; what else they hold was checked as they were opened."""
    stored = _open_member(archive, report, "recordings", FRAMES)
    if stored is None:
        return
    broken: set[int] = set()
    with progress("Reading", len(stored.array), "frames") as advance:
        for start, block in read_through(stored, report):
            rows = start + np.flatnonzero(~np.isfinite(block).all(axis=1))
            broken.update((np.searchsorted(recordings.offsets, rows, "right") - 1).tolist())
            advance(len(block))
    read.add(FRAMES)
    report.instances += len(recordings)
    if broken:
        names = [repr(recordings.names[index]) for index in sorted(broken)[:SHOWN]]
        dots = ", ..." if len(broken) > SHOWN else ""
        report.add(
            stored.where,
            f"values that are NaN or infinite in {len(broken):,} of the recordings "
            f"({', '.join(names)}{dots})",
        )
    counts = np.bincount(recordings.labels, minlength=len(recordings.label_names))
    note_absent(report, "recordings", counts, recordings.label_names)


def _open_member(archive: Archive, report: Report, subset: str, member: str) -> Stored | None:
    where = f"{subset}, member {member}"
    try:
        array = archive.array(member)
        if not archive.is_stored(member):  # it was held against its checksum
            return Stored(where, array, memoryview(b""), 0, None, archive.mapping)
        content = archive.content(member)
        start = npy_header(where, content)[3]
    except FormatError as error:
        report.add(subset, error)
        return None
    return Stored(where, array, content, start, archive.crc(member), archive.mapping)
