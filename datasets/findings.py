"""What can be wrong with stored arrays: their bytes, their values, their labels."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from datasets.dataset import Dataset, rows_per_block

SHOWN = 5  # positions that a finding names
CRC_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Finding:
    """A fault, or else a note of what is odd but allowed: where (subset, shard, member), and what.

    A dataset with faults is damaged or can't be used as it is.
    """

    where: str
    what: str
    is_fault: bool = True

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return text if self.is_fault else f"note: {text}"


@dataclass
class Report:
    """What was read and found.

    Parameters
    ----------
    findings : list of Finding
        In the order in which they were met.
    instances : int
        How many were read.
    """

    findings: list[Finding] = field(default_factory=list)
    instances: int = 0

    @property
    def faults(self) -> list[Finding]:
        """The findings that are faults."""
        return [finding for finding in self.findings if finding.is_fault]

    def add(self, where: str, what: object) -> None:
        """Adds a fault."""
        self.findings.append(Finding(where, str(what)))

    def note(self, where: str, what: object) -> None:
        """Adds a note."""
        self.findings.append(Finding(where, str(what), is_fault=False))


@dataclass(frozen=True)
class Stored:
    """An array where it is stored.

    Parameters
    ----------
    where : str
        What a finding calls the place.
    array : np.ndarray
        Usually mapped.
    content : bytes-like
        All bytes of the member or the file.
    start : int
        How many of them come before the values.
    crc : int, optional
        The checksum (CRC-32) that they should have; None where they have been held against it.
    mapping : mmap
        What they are mapped from.
    """

    where: str
    array: np.ndarray
    content: memoryview | bytearray
    start: int
    crc: int | None
    mapping: mmap.mmap


def read_through(stored: Stored, report: Report) -> Iterator[tuple[int, np.ndarray]]:
    """Yields all rows, some megabytes at a time, each block with the number of its first.

    At the end the bytes are held against their checksum. Nothing is read twice but an array that is
    stored by columns.
    """
    in_order = stored.array.flags.c_contiguous
    content = stored.content[: stored.start] if in_order else stored.content
    crc = checksum(content, stored.mapping)
    step = rows_per_block(stored.array)
    for start in range(0, len(stored.array), step):
        block = stored.array[start : start + step]
        if in_order:
            crc = zlib.crc32(block.data, crc)
        yield start, block
        _release(stored.mapping)
    if stored.crc is not None:
        check_checksum(report, stored.where, crc, stored.crc)


def checksum(
    content: memoryview | bytearray,
    mapping: mmap.mmap,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Returns the CRC-32, giving memory that was mapped back to the system.

    `advance` is told how many bytes were read.
    """
    crc = 0
    for start in range(0, len(content), CRC_BYTES):
        block = content[start : start + CRC_BYTES]
        crc = zlib.crc32(block, crc)
        advance(len(block))
        _release(mapping)
    return crc


def check_checksum(report: Report, where: str, found: int, stated: int) -> None:
    """Adds a fault where two checksums differ."""
    if found != stated:
        report.add(
            where,
            f"its bytes have changed since it was written (checksum {found:08x}, not {stated:08x})",
        )


def check_values(
    report: Report,
    stored: Stored,
    first: int,
    dataset: Dataset | None,
    watch: Callable[[np.ndarray], None],
) -> None:
    """Looks at every value of instances that are numbered from `first` on.

    Parameters
    ----------
    report, stored, first
    dataset : Dataset, optional
        Says which pictures they are.
    watch : callable
        Is shown every block.
    """
    not_finite, steady = _Positions(), _Positions()
    for start, block in read_through(stored, report):
        watch(block)
        if block.dtype.kind == "f":
            finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
            not_finite.add(first + start + np.flatnonzero(~finite))
        steady.add(first + start + np.flatnonzero(_are_steady(block, dataset)))
    report.instances += len(stored.array)
    if not_finite.count:
        report.add(stored.where, f"values that are NaN or infinite in {not_finite}")
    if steady.count:
        has_pictures = dataset is not None and dataset.picture_shape is not None
        what = "one colour all over" if has_pictures else "all values are equal"
        report.note(stored.where, f"{what} in {steady}")


def _are_steady(block: np.ndarray, dataset: Dataset | None) -> np.ndarray:
    """Returns which pictures have one colour, or which instances of another kind one value."""
    rows, channels = block.reshape(len(block), -1), 1
    if dataset is not None and dataset.picture_shape is not None:
        channels = dataset.picture_shape[2]
        if dataset.layout == "nchw":
            rows, channels = block.reshape(len(block) * channels, -1), 1
    if rows.shape[1] == channels:  # a single pixel or value
        return np.zeros(len(block), bool)
    steady = (rows[:, channels:] == rows[:, :-channels]).all(axis=1)
    return steady.reshape(len(block), -1).all(axis=1)


def check_labels(report: Report, stored: Stored, first: int, count: int) -> np.ndarray:
    """Looks at the labels, 0 to `count` - 1, of instances that are numbered from `first` on.

    Returns
    -------
    np.ndarray of shape (count,), int64
        How many instances have each label.
    """
    wrong, example = _Positions(), None
    counts = np.zeros(count, np.int64)
    for start, labels in read_through(stored, report):
        is_wrong = (labels < 0) | (labels >= count)
        counts += np.bincount(labels[~is_wrong].astype(np.int64), minlength=count)
        wrong.add(first + start + np.flatnonzero(is_wrong))
        if example is None and is_wrong.any():
            example = labels[is_wrong][0]
    if example is not None:
        what = f"the label {example}, or another that is not 0 to {count - 1}, for {wrong}"
        report.add(stored.where, what)
    return counts


def note_absent(report: Report, subset: str, counts: np.ndarray, names: Sequence[str]) -> None:
    """Notes the labels that no instance of a subset has."""
    absent = np.flatnonzero(counts == 0)
    if len(absent) == len(names):
        report.note(subset, "it has no instances")
    elif len(absent):
        shown = ", ".join(f"'{names[index]}'" for index in absent[:SHOWN])
        dots = ", ..." if len(absent) > SHOWN else ""
        report.note(subset, f"no instance of {len(absent):,} of the labels ({shown}{dots})")


@dataclass
class _Positions:
    """The first few of many positions."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, positions: np.ndarray) -> None:
        self.count += len(positions)
        self.first += positions[: SHOWN - len(self.first)].tolist()

    def __str__(self) -> str:
        dots = ", ..." if self.count > len(self.first) else ""
        kind = "instance" if self.count == 1 else "instances"
        return f"{self.count:,} {kind} ({', '.join(map(str, self.first))}{dots})"


def _release(mapping: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
