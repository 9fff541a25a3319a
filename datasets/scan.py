"""Finds the pictures, or the recordings, in a folder that has one folder for each label."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError, unknown_name
from datasets.dataset import SUBSETS
from datasets.pictures import suffixes
from datasets.split import SHARES, Shares, min_per_label

LAYOUT_ADVICE = "put every label's pictures in a folder of the label's name, IMAGE_DIR/<label>/"
Identity = tuple[int, int]  # device and inode


@dataclass(frozen=True)
class Kind:
    """What is looked for.

    Parameters
    ----------
    suffixes : frozenset of str
        Of its files, in lower case.
    advice : str
        What to do where a folder has no labels, as the end of a sentence.
    """

    suffixes: frozenset[str]
    advice: str


@dataclass(frozen=True)
class Listing:
    """What lies in a folder of pictures or recordings.

    Parameters
    ----------
    pictures : dict of label to list of str
        The files' paths below the label's folder, sorted; of recordings just so.
    others : list of str
        What else is there and visible, below the folder: files without a picture's suffix or of a
        special kind, files beside the labels' folders, folders without any picture, and links that
        lead back to a folder they are in.
    """

    pictures: dict[str, list[str]]
    others: list[str]


def find_pictures(image_dir: Path, without: Path, labels: Sequence[str] | None = None) -> Listing:
    """Lists the pictures below `image_dir/<label>/`, see `find_files`."""
    return find_files(image_dir, Kind(suffixes(), LAYOUT_ADVICE), labels, without)


def find_files(
    folder: Path, kind: Kind, labels: Sequence[str] | None = None, without: Path | None = None
) -> Listing:
    """Lists files of a kind below `folder/<label>/`, at any depth; symbolic links are followed.

    Hidden files and folders are ignored.

    Parameters
    ----------
    folder : Path
        The folder of the labels' folders.
    kind : Kind
        What is looked for.
    labels : sequence of str, optional
        The labels to list; by default all.
    without : Path, optional
        A folder that is left out although it may lie there: that of the output.

    Raises
    ------
    CommandError
        Where the folder is missing, has fewer than two labels' folders, or lacks one of `labels`.
    """
    if not folder.is_dir():
        raise CommandError(f"The folder {folder} does not exist; {kind.advice}.")
    try:
        avoided = frozenset({_identity(without)} if without and without.exists() else ())
        pictures, others = _list_labels(folder, avoided, labels, kind)
    except OSError as error:
        raise CommandError(f"{error.filename} can't be read: {error.strerror}.") from error
    if labels is not None:
        for label in labels:
            if label not in pictures:
                raise CommandError(f"{folder}: {unknown_name('label', label, pictures)}")
        pictures = {label: pictures[label] for label in sorted(labels)}
    _check_labels(folder, pictures, kind)
    return Listing(pictures, sorted(others))


def files_below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Lists the files with these suffixes below a folder, at any depth, sorted; as `find_files`.

    Raises CommandError where a folder can't be read.
    """
    try:
        found, _ = _walk(folder, frozenset(), Kind(suffixes, ""))
    except OSError as error:
        raise CommandError(f"{error.filename} can't be read: {error.strerror}.") from error
    return [folder / name for name in sorted(found)]


def names_in(folder: Path, suffixes: frozenset[str]) -> list[str]:
    """Lists the files with these suffixes that lie directly in a folder, sorted; as `find_files`.

    Raises CommandError where the folder can't be read.
    """
    try:
        entries = list(_visible(folder))
    except OSError as error:
        raise CommandError(f"{folder} can't be read: {error.strerror}.") from error
    return sorted(entry.name for entry in entries if _is_wanted(entry, suffixes))


def check_counts(
    image_dir: Path,
    pictures: Mapping[str, Collection[str]],
    shares: Shares = SHARES,
    left_out: Mapping[str, Mapping[str, int]] | None = None,
) -> None:
    """Checks that every label has enough pictures to be split.

    Parameters
    ----------
    image_dir : Path
        Where they lie.
    pictures : mapping of label to collection of str
        Those to be used.
    shares : tuple of Fraction
        Of training, validation and testing.
    left_out : mapping of str to mapping of label to int, optional
        How many more pictures the labels have, by what has become of them.

    Raises
    ------
    CommandError
        Names the labels that have too few.
    """
    needed = min_per_label(shares)
    few = []
    for label, names in pictures.items():
        if len(names) < needed:
            counts = {why: of_label.get(label, 0) for why, of_label in (left_out or {}).items()}
            more = ", ".join(f"{count:,} more {why}" for why, count in counts.items() if count)
            few.append(f"'{label}' has {len(names)}{f' ({more})' if more else ''}")
    if few:
        shown = ", ".join(few[:10]) + (f" and {len(few) - 10} more" if len(few) > 10 else "")
        raise CommandError(
            f"A label needs at least {needed} picture{'s' * (needed > 1)} for "
            f"{named(shares)}, but in {image_dir} the label {shown}; add pictures or remove the "
            "label's folder."
        )


def named(shares: Shares) -> str:
    """Returns the subsets that have a share, as in 'training, validation and testing'."""
    names = [name for name, share in zip(SUBSETS, shares, strict=True) if share]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def name_fault(name: str) -> str | None:
    """Returns why a file's name can't stand in the lists of files, or None."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return "its name has a line break" if len(name.splitlines()) > 1 else None


def _list_labels(
    image_dir: Path,
    avoided: frozenset[Identity],
    labels: Sequence[str] | None,
    kind: Kind,
) -> tuple[dict[str, list[str]], list[str]]:
    pictures: dict[str, list[str]] = {}
    others: list[str] = []
    for entry in _visible(image_dir):
        if not _is_folder(entry):
            others.append(entry.name)
        elif labels is not None and entry.name not in labels:
            pictures[entry.name] = []  # a label, but not one that was asked for
        elif _identity(entry) not in avoided:
            found, rest = _walk(Path(entry.path), avoided, kind)
            others += [f"{entry.name}/{name}" for name in rest]
            if found:
                pictures[entry.name] = sorted(found)
            else:
                others.append(f"{entry.name}/")
    return dict(sorted(pictures.items())), others


def _walk(top: Path, avoided: frozenset[Identity], kind: Kind) -> tuple[list[str], list[str]]:
    """Returns the pictures below the folder, and what else is there."""
    pictures: list[str] = []
    others: list[str] = []
    folders = [(top, "", avoided | {_identity(top)})]
    while folders:
        folder, prefix, above = folders.pop()
        entries = list(_visible(folder))
        if not entries and prefix:
            others.append(prefix.rstrip("/"))
        for entry in entries:
            name = prefix + entry.name
            if _is_folder(entry):
                identity = _identity(entry)
                if identity not in above:
                    folders.append((Path(entry.path), f"{name}/", above | {identity}))
                elif identity not in avoided:
                    others.append(name)
            elif _is_wanted(entry, kind.suffixes):
                pictures.append(name)
            else:
                others.append(name)
    return pictures, others


def _is_wanted(entry: os.DirEntry[str], suffixes: frozenset[str]) -> bool:
    return Path(entry.name).suffix.lower() in suffixes and _opens(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _opens(entry: os.DirEntry[str]) -> bool:
    """Returns whether it is a file, or a link to nowhere, which decoding will complain about.

    Reading a named pipe would wait for ever.
    """
    path = Path(entry.path)
    return entry.is_file() if not entry.is_symlink() else path.is_file() or not path.exists()


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _identity(entry: os.DirEntry[str] | Path) -> Identity:
    status = entry.stat()
    return status.st_dev, status.st_ino


def _check_labels(image_dir: Path, labels: Collection[str], kind: Kind) -> None:
    if not labels:
        raise CommandError(f"{image_dir} has no labels' folders; {kind.advice}.")
    if len(labels) < 2:
        raise CommandError(
            f"{image_dir} has a single label's folder, '{next(iter(labels))}', and a network needs "
            f"at least two labels to tell apart; {kind.advice}."
        )
    for label in labels:
        if fault := name_fault(label):
            raise CommandError(f"The folder {label!r} in {image_dir} can't be a label: {fault}.")
