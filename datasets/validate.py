"""Reads a whole dataset and says everything that is wrong with it, and where."""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.errors import CommandError
from common.progress import progress
from datasets.archive import Archive, npy_header
from datasets.checks import checked_subset, dataset_of
from datasets.container import open_dataset, read_metadata, read_structure
from datasets.dataset import Subset, rows_per_block
from datasets.mean import MeanSum
from datasets.sharded import Shard, ShardedArray, map_shard
from datasets.shards import INDEX, Index, ShardFile, check_file, read_array, read_index
from datasets.unpickle import FormatError

SHOWN = 5  # positions that a finding names
CRC_BYTES = 16 * 2**20
MEAN_TOLERANCE = 1e-6  # relative, for floating-point values; sums of integers are exact


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where (subset, shard or member), and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


@dataclass
class Report:
    """What `validate` has read and found.

    Parameters
    ----------
    findings : list of Finding
        In the order in which they were met.
    instances : int
        How many were read.
    """

    findings: list[Finding] = field(default_factory=list)
    instances: int = 0

    def add(self, where: str, what: object) -> None:
        """Adds a finding."""
        self.findings.append(Finding(where, str(what)))


def validate(path: Path) -> Report:
    """Reads a dataset once, from its first byte to its last, and collects what is wrong with it.

    Looked for are: anything that keeps the dataset from being opened; bytes that have changed since
    they were written (checksums); labels out of range, and labels that a subset has no instance of;
    values that are NaN or infinite; instances all of whose values are equal; a stored mean that is
    not the instances'.

    Raises
    ------
    CommandError
        Where there is nothing to read under that name.
    """
    path = Path(path)
    report = Report()
    try:
        if (path / INDEX).is_file():
            _Folder(path, report).check()
        elif path.is_file():
            with path.open("rb") as file:
                _File(path, report).check(Archive(file))
        else:
            open_dataset(path)
    except FormatError as error:
        report.add("", error)
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror or error}.") from error
    except (MemoryError, OverflowError):
        report.add("", "it declares more than memory can hold")
    return report


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


def _check_values(
    report: Report,
    where: str,
    array: np.ndarray,
    first: int,
    watch: Callable[[np.ndarray], None],
) -> None:
    """Looks at every value of `array`; its rows are instances from the number `first` on."""
    not_finite, constant = _Positions(), _Positions()
    step = rows_per_block(array)
    for start in range(0, len(array), step):
        block = array[start : start + step]
        watch(block)
        rows = block.reshape(len(block), -1)
        if rows.dtype.kind == "f":
            not_finite.add(first + start + np.flatnonzero(~np.isfinite(rows).all(axis=1)))
        if rows.shape[1] > 1:
            with np.errstate(invalid="ignore"):
                same = rows.min(axis=1) == rows.max(axis=1)
            constant.add(first + start + np.flatnonzero(same))
    report.instances += len(array)
    if not_finite.count:
        report.add(where, f"values that are NaN or infinite in {not_finite}")
    if constant.count:
        report.add(where, f"all values are equal in {constant}")


def _check_labels(report: Report, where: str, labels: np.ndarray, first: int, count: int) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if len(wrong):
        positions = _Positions()
        positions.add(first + wrong)
        report.add(
            where,
            f"the label {labels[wrong[0]]}, or another that is not 0 to {count - 1}, for "
            f"{positions}",
        )


def _check_presence(report: Report, name: str, labels: np.ndarray, names: Sequence[str]) -> None:
    if not len(labels):
        report.add(name, "the subset is empty")
        return
    usable = labels[(labels >= 0) & (labels < len(names))]
    absent = np.flatnonzero(np.bincount(usable, minlength=len(names)) == 0)
    if len(absent):
        shown = ", ".join(f"'{names[index]}'" for index in absent[:SHOWN])
        dots = ", ..." if len(absent) > SHOWN else ""
        report.add(name, f"no instance of {len(absent):,} of the labels ({shown}{dots})")


def _check_crc(report: Report, where: str, found: int, stated: int) -> None:
    if found != stated:
        report.add(
            where,
            f"its bytes have changed since it was written (checksum {found:08x}, not {stated:08x})",
        )


def _names(label_to_index: Mapping[str, int]) -> list[str]:
    return sorted(label_to_index, key=label_to_index.__getitem__)


class _Folder:
    """Validates a folder of shards."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report

    def check(self) -> None:
        index = read_index(self._path)
        names = _names(index.label_to_index)
        total = sum(pair[0].shape[0] for pairs in index.subsets.values() for pair in pairs)
        mean = MeanSum(index.shape, index.dtype)
        whole = True
        with progress("Reading", total, "instances") as advance:
            for name, pairs in index.subsets.items():
                first, labels = 0, [np.empty(0, np.int32)]
                for instances, rows in pairs:
                    watch = mean.add if name == "training" else _ignore
                    readable = self._instances(name, instances, first, watch, advance)
                    whole = whole and (readable or name != "training")
                    labels.append(self._labels(name, rows, first, len(names)))
                    first += instances.shape[0]
                _check_presence(self._report, name, np.concatenate(labels), names)
        self._mean(index, mean.mean if whole and index.subsets.get("training") else None)
        self._together(index)

    def _instances(
        self,
        subset: str,
        file: ShardFile,
        first: int,
        watch: Callable[[np.ndarray], None],
        advance: Callable[[int], None],
    ) -> bool:
        """Checks a shard's instances; returns whether they could be read."""
        where = f"{subset}, {file.name}"
        try:
            start = check_file(self._path, file)
            shard = Shard(self._path / file.name, file.shape[0], start)
            array, mapping = map_shard(shard, file.shape[1:], file.dtype)
        except (FormatError, OSError) as error:
            self._report.add(where, error)
            return False
        crc = zlib.crc32(mapping[:start])

        def look(block: np.ndarray) -> None:
            nonlocal crc
            crc = zlib.crc32(block.data, crc)
            watch(block)
            advance(len(block))
            _release(mapping)

        _check_values(self._report, where, array, first, look)
        _check_crc(self._report, where, crc, int(file.crc, 16))
        return True

    def _labels(self, subset: str, file: ShardFile, first: int, count: int) -> np.ndarray:
        where = f"{subset}, {file.name}"
        labels = self._array(where, file)
        if labels is None:
            return np.empty(0, np.int32)
        _check_labels(self._report, where, labels, first, count)
        return labels

    def _array(self, where: str, file: ShardFile) -> np.ndarray | None:
        """Reads a small file and checks its checksum; None where it can't be read."""
        try:
            array = read_array(self._path, file)
            content = (self._path / file.name).read_bytes()
        except (FormatError, OSError) as error:
            self._report.add(where, error)
            return None
        _check_crc(self._report, where, zlib.crc32(content), int(file.crc, 16))
        return array

    def _mean(self, index: Index, computed: np.ndarray | None) -> None:
        stored = self._array(index.mean.name, index.mean)
        if stored is None or computed is None:
            return
        tolerance = MEAN_TOLERANCE if index.dtype.kind == "f" else 0
        if not np.allclose(stored, computed, rtol=tolerance, atol=tolerance, equal_nan=True):
            self._report.add(index.mean.name, "it is not the mean of the training instances")

    def _together(self, index: Index) -> None:
        """Checks what only shows when subsets are put together, as `open_dataset` does."""
        subsets = {}
        for name, pairs in index.subsets.items():
            count = sum(instances.shape[0] for instances, _ in pairs)
            shards = [Shard(self._path / file.name, file.shape[0], 0) for file, _ in pairs]
            array = ShardedArray(shards, index.shape, index.dtype)
            subsets[name] = Subset(array, np.zeros(count, np.int32))
        dataset_of(self._path, subsets, index.label_to_index, index.metadata)


class _File:
    """Validates a dataset file."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report

    def check(self, archive: Archive) -> None:
        read: set[str] = set()
        try:
            self._subsets(archive, read)
        except FormatError as error:
            self._report.add("", error)
        for member in sorted(set(archive.names) - read):
            self._member(archive, member)

    def _subsets(self, archive: Archive, read: set[str]) -> None:
        structure, label_to_index = read_structure(archive)
        names = _names(label_to_index)
        subsets = {}
        for name, (instances, rows) in structure.items():
            found = self._array(archive, name, instances, read, is_instances=True)
            labels = self._array(archive, name, rows, read, is_instances=False)
            if found is None or labels is None:
                continue
            try:
                subsets[name] = checked_subset(name, found, np.zeros_like(labels), len(names))
            except FormatError as error:
                self._report.add(name, error)
                continue
            _check_labels(self._report, name, labels, 0, len(names))
            _check_presence(self._report, name, labels, names)
        if len(subsets) == len(structure):
            dataset_of(self._path, subsets, label_to_index, read_metadata(archive))

    def _array(
        self, archive: Archive, subset: str, member: str, read: set[str], *, is_instances: bool
    ) -> np.ndarray | None:
        where = f"{subset}, member {member}"
        try:
            array = archive.array(member)
            stored = archive.is_stored(member)
            start = npy_header(where, archive.content(member))[3] if stored else 0
        except FormatError as error:
            self._report.add(subset, error)
            return None
        if not stored:  # it has been held against its checksum
            read.add(member)
        if not is_instances or array.ndim < 2 or 0 in array.shape[1:]:
            return array
        in_order = stored and array.flags.c_contiguous
        crc = zlib.crc32(archive.content(member)[:start]) if in_order else 0
        with progress(f"Reading the {subset} subset", len(array), "instances") as advance:

            def look(block: np.ndarray) -> None:
                nonlocal crc
                if in_order:
                    crc = zlib.crc32(block.data, crc)
                    _release(archive.mapping)
                advance(len(block))

            _check_values(self._report, where, array, 0, look)
        if in_order:
            _check_crc(self._report, where, crc, archive.crc(member))
            read.add(member)
        return array

    def _member(self, archive: Archive, member: str) -> None:
        try:
            content = archive.content(member)
        except FormatError as error:
            if not any(str(error) == finding.what for finding in self._report.findings):
                self._report.add(f"member {member}", error)
            return
        crc = 0
        for start in range(0, len(content), CRC_BYTES):
            crc = zlib.crc32(content[start : start + CRC_BYTES], crc)
        _check_crc(self._report, f"member {member}", crc, archive.crc(member))


def _ignore(block: np.ndarray) -> None:
    pass


def _release(mapping: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
