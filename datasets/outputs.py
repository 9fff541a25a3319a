"""Writes what `create_datasets` makes of decoded pictures, all of it or nothing."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from common.errors import CommandError
from common.files import cannot_write, new_folders, whole_file, write_whole
from common.progress import progress
from datasets.container import Blocks, write_dataset
from datasets.dataset import Layout, Subset
from datasets.decoding import Decoded
from datasets.left_out import REASON, begins_with, text_of
from datasets.scratch import LASTING
from datasets.together import Twice, run_together

Members = Mapping[str, Sequence[tuple[str, str]]]  # (label, file name) by subset
UNREADABLE = "unreadable.txt"
DUPLICATES = "duplicates.tsv"
COLUMNS = ("group", "path", "label", "subset", "width", "height", "content", "bits")
FIRST_LINES = {  # by which the reports of an earlier run are known
    UNREADABLE: REASON,
    DUPLICATES: re.compile("\t".join(COLUMNS) + "\n"),
}
PARTIAL = ".create_datasets-"  # how the folder of an unfinished run begins
PARTS = ("local", "full")  # in the order of writing: what local takes, full has too
BLOCK_BYTES = 4 * 2**20  # how much is written at a time
MOST_COMMON = 5  # sizes that the metadata count one by one


@dataclass(frozen=True)
class Source:
    """What the datasets are cut from.

    Parameters
    ----------
    decoded : Decoded
        The pictures.
    rows : dict of label to dict of str to int
        The rows of the pictures in use, by label and file name.
    layout : 'nhwc' or 'nchw'
        Of the pictures in colour.
    created_by : mapping
        The command and its options.
    """

    decoded: Decoded
    rows: Mapping[str, Mapping[str, int]]
    layout: Literal["nhwc", "nchw"]
    created_by: Mapping[str, Any]

    @property
    def label_to_index(self) -> dict[str, int]:
        """The labels, numbered in sorted order."""
        return {label: index for index, label in enumerate(sorted(self.rows))}

    def rows_of(self, chosen: Sequence[tuple[str, str]]) -> np.ndarray:
        """Returns the rows of these pictures, in their order."""
        return np.array([self.rows[label][name] for label, name in chosen], np.int64)


@contextmanager
def all_or_nothing(out_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Yields a folder whose files move to `out_dir` at the end; on any error nothing is left.

    A process that is killed leaves that folder, hidden; the next one removes it. The second folder
    that this yields is for scratch files: the next process finds it as it was left.

    Raises
    ------
    CommandError
        Where the system refuses to write, or another process is writing to `out_dir` like this.
    """
    try:
        with (
            new_folders(out_dir),
            _alone(out_dir) as alone,
            tempfile.TemporaryDirectory(dir=out_dir, prefix=PARTIAL, suffix=".partial") as name,
        ):
            scratch = out_dir / LASTING if alone else Path(name).with_suffix(".decoded.partial")
            yield Path(name), scratch
            for file in sorted(Path(name).iterdir()):
                file.replace(out_dir / file.name)
    except OSError as error:
        raise cannot_write(out_dir, error) from error
    except CommandError as error:
        if isinstance(error.__cause__, OSError):  # it names a file that nobody has asked for
            raise cannot_write(out_dir, error.__cause__) from error
        raise


@contextmanager
def _alone(out_dir: Path) -> Iterator[bool]:
    """Locks the folder, as long as the process lives, and removes what killed ones have left.

    Yields whether the file system has locks.
    """
    handle = os.open(out_dir, os.O_RDONLY)
    try:
        locked = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Another create_datasets is writing to {out_dir}; wait for its end, or choose "
                "another folder."
            ) from None
        except OSError:
            locked = False
        if locked:
            for left in out_dir.glob(f"{PARTIAL}*.partial"):
                if left.name != LASTING:
                    shutil.rmtree(left, ignore_errors=True)
        yield locked
    finally:
        os.close(handle)


def write_lists(
    folder: Path, part: str, members: Members, label_to_index: Mapping[str, int]
) -> None:
    """Writes which pictures are in which subset, as JSON and as Caffe reads it."""
    paths = {
        subset: [f"{label}/{name}" for label, name in chosen] for subset, chosen in members.items()
    }
    with (
        whole_file(folder / f"{part}-dataset-filenames.json") as partial_,
        partial_.open("w", encoding="utf-8") as file,
    ):
        json.dump(paths, file, indent=1)  # in small pieces
    for subset, chosen in members.items():
        lines = [f"{label}/{name} {label_to_index[label]}\n" for label, name in chosen]
        write_whole(folder / f"{part}.{subset}.txt", "".join(lines))


def write_containers(folder: Path, parts: Mapping[str, Members], source: Source) -> None:
    """Writes every part in grey and in colour; the pictures of `full` are forgotten on the way."""
    total = sum(len(chosen) for members in parts.values() for chosen in members.values())
    with progress("Writing", total, "pictures") as advance:
        for part in sorted(parts, key=PARTS.index):
            forget = part == PARTS[-1]
            streams = {
                name: Twice(_blocks(source, source.rows_of(chosen), forget, advance))
                for name, chosen in parts[part].items()
            }
            jobs = [
                partial(_make_all, streams),
                partial(_write_container, folder, part, parts[part], source, 0, streams),
                partial(_write_container, folder, part, parts[part], source, 1, streams),
            ]
            run_together(jobs, lambda streams=streams: [s.stop() for s in streams.values()])  # type: ignore[misc]


def _make_all(streams: Mapping[str, Twice]) -> None:
    for stream in streams.values():
        stream.make()


def _blocks(
    source: Source, rows: np.ndarray, forget: bool, advance: Callable[[int], None]
) -> Iterator[np.ndarray]:
    pictures = source.decoded.pictures
    subset = Subset(pictures, np.zeros(len(rows), np.int32), rows)
    step = max(1, BLOCK_BYTES // pictures[0].nbytes)
    for start in range(0, len(rows), step):
        block = subset.read(slice(start, start + step))
        if forget:
            source.decoded.forget(rows[start : start + step])
        yield block
        advance(len(block))


def _write_container(
    folder: Path,
    part: str,
    members: Members,
    source: Source,
    side: int,
    streams: Mapping[str, Twice],
) -> None:
    _, height, width, _ = source.decoded.pictures.shape
    forms: dict[str, tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]] = {
        "flat": ((height * width,), grey),
        "nhwc": ((height, width, 3), np.ascontiguousarray),
        "nchw": ((3, height, width), _channels_first),
    }
    layout: Layout = "flat" if side else source.layout
    shape, convert = forms[layout]
    indices = source.label_to_index
    subsets = {}
    for name, chosen in members.items():
        labels = np.array([indices[label] for label, _ in chosen], np.int32)
        blocks = map(convert, streams[name].items(side))
        subsets[name] = Blocks((len(chosen), *shape), np.dtype(np.uint8), blocks), labels
    write_dataset(
        folder / f"{part}{'' if side else '.rgb'}.pkl.zip",
        subsets,
        indices,
        layout=layout,
        scale=255,
        picture_shape=(height, width, 1 if side else 3),
        created_by={**source.created_by, "pictures": _origin(members, source)},
    )


def _origin(members: Members, source: Source) -> dict[str, Any]:
    """Returns what the pictures of a part were before they were resized."""
    rows = source.rows_of([member for chosen in members.values() for member in chosen])
    sizes = source.decoded.sizes[rows][:, ::-1]  # width, height
    counts = sorted(Counter(map(tuple, sizes.tolist())).items(), key=lambda one: (-one[1], one[0]))
    formats = np.unique(source.decoded.formats[rows], return_counts=True)
    return {
        "sizes": [[*size, count] for size, count in counts[:MOST_COMMON]],
        "num_sizes": len(counts),
        "smallest": sizes.min(axis=0).tolist(),
        "median": np.sort(sizes, axis=0)[len(sizes) // 2].tolist(),
        "largest": sizes.max(axis=0).tolist(),
        "formats": {kind.decode(): int(n) for kind, n in zip(*formats, strict=True)},
    }


def grey(pictures: np.ndarray) -> np.ndarray:
    """Converts (n, height, width, 3) to grey and flat, (n, height * width), as Pillow's mode L."""
    n, height, width, _ = pictures.shape
    column = Image.fromarray(pictures.reshape(n * height, width, 3))
    return np.asarray(column.convert("L")).reshape(n, height * width)


def _channels_first(pictures: np.ndarray) -> np.ndarray:
    return pictures.transpose(0, 3, 1, 2)


def write_unreadable(folder: Path, reasons: Mapping[str, str]) -> None:
    """Writes the pictures that were left out, with the reason, if there are any."""
    if reasons:
        write_whole(folder / UNREADABLE, text_of(reasons))


def write_duplicates(
    folder: Path,
    groups: Sequence[np.ndarray],
    names: Sequence[tuple[str, str]],
    subset_of: Mapping[int, str],
    pictures: Decoded,
) -> None:
    """Writes a line for every picture that has a duplicate.

    The columns: the group's number; the path; the label; the subset of `full`, or 'dropped'; width
    and height in pixels before resizing; 'first' for the first of a group, 'same' for a file equal
    to it, else 'near'; in how many bits of 64 the hash differs from the first's.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, dialect="excel-tab", lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, group in enumerate(groups, start=1):
        first = group[0]
        for row in group:
            label, name = names[row]
            height, width = pictures.sizes[row]
            same = (pictures.digests[row] == pictures.digests[first]).all()
            bits = np.bitwise_count(pictures.prints.hashes[row] ^ pictures.prints.hashes[first])
            subset = subset_of.get(int(row), "dropped")
            content = "first" if row == first else "same" if same else "near"
            path = f"{label}/{name}"
            writer.writerow([number, path, label, subset, width, height, content, bits])
    write_whole(folder / DUPLICATES, stream.getvalue())


def check_reports(out_dir: Path) -> None:
    """Checks that no file of somebody else's has the name of a report.

    Raises
    ------
    CommandError
        Names the file: it would be overwritten, or removed where there is nothing to report.
    """
    for name in FIRST_LINES:
        file = out_dir / name
        if os.path.lexists(file) and not _is_report(file):
            raise CommandError(
                f"{file} is not of create_datasets, which writes a report of that name; move it "
                "away or choose another folder."
            )


def _is_report(file: Path) -> bool:
    return begins_with(file, FIRST_LINES[file.name])


def remove_older(out_dir: Path, written: Sequence[Path]) -> None:
    """Removes the reports of an earlier run that this one had no reason to write."""
    for name in FIRST_LINES:
        if out_dir / name not in written and _is_report(out_dir / name):
            with suppress(OSError):
                (out_dir / name).unlink()
