"""Makes datasets of a folder of pictures: the originals' `full` and `local`, grey and in colour."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from common.errors import CommandError
from common.files import cannot_write, new_folders, write_whole
from datasets.container import Blocks, write_dataset
from datasets.dataset import Layout, Subset
from datasets.decoding import decoded, refuse_if
from datasets.scan import check_counts, find_pictures, name_fault
from datasets.split import Part, has_local_part, split

Members = Mapping[str, Sequence[tuple[str, str]]]  # (label, file name) by subset
UNREADABLE = "unreadable.txt"


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
        What else lies in the folder and was left out, see `datasets.scan.Listing`.
    older : list of Path
        Datasets of the same names, or their lists, that an earlier run has left in the folder.
    """

    files: list[Path]
    counts: dict[str, dict[str, int]]
    labels: list[str]
    picture_shape: tuple[int, int, int]
    unreadable: dict[str, str]
    others: list[str]
    older: list[Path]


def create_datasets(
    image_dir: Path,
    out_dir: Path,
    *,
    image_size: int | None = None,
    skip_full_pickle: bool = False,
    strict: bool = False,
    layout: Literal["nhwc", "nchw"] = "nhwc",
    seed: int = 0,
    created_by: Mapping[str, Any] | None = None,
) -> Created:
    """Splits the pictures of `image_dir/<label>/` and writes them as datasets to `out_dir`.

    For `full` and `local` (see `split`): `<name>.pkl.zip`, grey (ITU-R 601 luma) and flattened;
    `<name>.rgb.pkl.zip`, in colour; both uint8 with scale 255; `<name>-dataset-filenames.json`, the
    pictures of every subset in the order of its instances; `<name>.<subset>.txt`, the same with
    the label's index, as Caffe reads it. `local` is left out where it would have an empty subset.
    The output's files appear when all of them are whole, and memory use does not depend on the
    number of pictures.

    Raises
    ------
    CommandError
        Where the folder can't be made a dataset or `out_dir` can't be written.
    """
    if image_size is not None and image_size < 1:
        raise CommandError(f"--image-size is {image_size}; give a number of pixels from 1.")
    listing = find_pictures(image_dir, without=out_dir)
    check_counts(image_dir, listing.pictures)
    names = [(label, name) for label, files in listing.pictures.items() for name in files]
    paths = [image_dir / label / name for label, name in names]
    bad_names = _bad_names(names)
    for row, fault in bad_names.items():
        refuse_if(strict, paths[row], fault)
    with _all_or_nothing(out_dir) as folder, decoded(paths, folder, image_size, strict) as scratch:
        unreadable = scratch.unreadable | bad_names
        rows: dict[str, dict[str, int]] = {label: {} for label in listing.pictures}
        for row, (label, name) in enumerate(names):
            if row not in unreadable:
                rows[label][name] = row
        check_counts(image_dir, rows, len(unreadable))
        source = _Source(scratch.pictures, rows, layout, created_by or {})
        counts = _write_parts(folder, source, seed, skip_full_pickle)
        reasons = {"/".join(names[row]): unreadable[row] for row in sorted(unreadable)}
        _write_unreadable(folder, reasons)
        files = [out_dir / entry.name for entry in sorted(folder.iterdir())]
    if not reasons:
        (out_dir / UNREADABLE).unlink(missing_ok=True)
    shape = scratch.pictures.shape[1:]
    older = [
        file
        for part in ("full", "local")
        for file in sorted(out_dir.glob(f"{part}[.-]*"))
        if file not in files
    ]
    return Created(files, counts, sorted(rows), shape, reasons, listing.others, older)


@dataclass(frozen=True)
class _Source:
    pictures: np.ndarray  # (n, height, width, 3)
    rows: Mapping[str, Mapping[str, int]]  # of the readable pictures, by label and file name
    layout: Literal["nhwc", "nchw"]
    created_by: Mapping[str, Any]

    @property
    def label_to_index(self) -> dict[str, int]:
        return {label: index for index, label in enumerate(sorted(self.rows))}


@contextmanager
def _all_or_nothing(out_dir: Path) -> Iterator[Path]:
    """Yields a folder whose files move to `out_dir` at the end; on any error nothing is left."""
    try:
        with (
            new_folders(out_dir),
            tempfile.TemporaryDirectory(dir=out_dir, prefix=".", suffix=".partial") as name,
        ):
            yield Path(name)
            for file in sorted(Path(name).iterdir()):
                file.replace(out_dir / file.name)
    except OSError as error:
        raise cannot_write(out_dir, error) from error
    except CommandError as error:
        if isinstance(error.__cause__, OSError):  # it names a file that nobody has asked for
            raise cannot_write(out_dir, error.__cause__) from error
        raise


def _bad_names(names: Sequence[tuple[str, str]]) -> dict[int, str]:
    faults = ((row, name_fault(name)) for row, (_, name) in enumerate(names))
    return {row: fault for row, fault in faults if fault is not None}


def _write_parts(
    folder: Path, source: _Source, seed: int, skip_full_pickle: bool
) -> dict[str, dict[str, int]]:
    parts: list[Part] = ["full"]
    if has_local_part([len(rows) for rows in source.rows.values()]):
        parts.append("local")
    elif skip_full_pickle:
        raise CommandError(
            "--skip-full-pickle leaves nothing to write: a label has too few pictures for the "
            "local dataset (100 are always enough); leave the option out or add pictures."
        )
    counts: dict[str, dict[str, int]] = {}
    for part in parts:
        members = split(source.rows, seed=seed, part=part)
        counts[part] = {subset: len(chosen) for subset, chosen in members.items()}
        _write_lists(folder, part, members, source.label_to_index)
        if part == "local" or not skip_full_pickle:
            _write_containers(folder, part, members, source)
    return counts


def _write_lists(
    folder: Path, part: Part, members: Members, label_to_index: Mapping[str, int]
) -> None:
    paths = {
        subset: [f"{label}/{name}" for label, name in chosen] for subset, chosen in members.items()
    }
    write_whole(folder / f"{part}-dataset-filenames.json", json.dumps(paths, indent=1))
    for subset, chosen in members.items():
        lines = [f"{label}/{name} {label_to_index[label]}\n" for label, name in chosen]
        write_whole(folder / f"{part}.{subset}.txt", "".join(lines))


def _write_containers(folder: Path, part: Part, members: Members, source: _Source) -> None:
    indices = source.label_to_index
    subsets = {
        subset: Subset(
            source.pictures,
            np.array([indices[label] for label, _ in chosen], np.int32),
            np.array([source.rows[label][name] for label, name in chosen], np.int64),
        )
        for subset, chosen in members.items()
    }
    _, height, width, _ = source.pictures.shape
    forms: dict[str, tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]] = {
        "flat": ((height * width,), _grey),
        "nhwc": ((height, width, 3), np.ascontiguousarray),
        "nchw": ((3, height, width), _channels_first),
    }
    containers: tuple[tuple[str, Layout, int], ...] = (
        (".pkl.zip", "flat", 1),
        (".rgb.pkl.zip", source.layout, 3),
    )
    for suffix, layout, channels in containers:
        shape, convert = forms[layout]
        write_dataset(
            folder / f"{part}{suffix}",
            {
                name: (
                    Blocks(
                        (len(subset), *shape), np.dtype(np.uint8), map(convert, subset.blocks())
                    ),
                    subset.labels,
                )
                for name, subset in subsets.items()
            },
            indices,
            layout=layout,
            scale=255,
            picture_shape=(height, width, channels),
            created_by=source.created_by,
        )


def _grey(pictures: np.ndarray) -> np.ndarray:
    """Converts (n, height, width, 3) to grey and flat, (n, height * width), as Pillow's mode L."""
    n, height, width, _ = pictures.shape
    column = Image.fromarray(pictures.reshape(n * height, width, 3))
    return np.asarray(column.convert("L")).reshape(n, height * width)


def _channels_first(pictures: np.ndarray) -> np.ndarray:
    return pictures.transpose(0, 3, 1, 2)


def _write_unreadable(folder: Path, reasons: Mapping[str, str]) -> None:
    if reasons:
        lines = [f"{path!a}: {reason}\n" for path, reason in reasons.items()]
        write_whole(folder / UNREADABLE, "".join(lines))
