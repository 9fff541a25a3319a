"""Finds the pictures in a folder that has one folder for each label."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from datasets.pictures import suffixes
from datasets.split import MIN_PER_LABEL

LAYOUT_ADVICE = "put every label's pictures in a folder of the label's name, IMAGE_DIR/<label>/"


@dataclass(frozen=True)
class Listing:
    """What lies in a folder of pictures.

    Parameters
    ----------
    pictures : dict of label to list of str
        The files' names, sorted, below the label's folder.
    others : list of str
        What else is there and visible, below the folder: files without a picture's suffix, folders
        in labels' folders, files beside the labels' folders, and folders without any picture.
    """

    pictures: dict[str, list[str]]
    others: list[str]


def find_pictures(image_dir: Path, without: Path) -> Listing:
    """Lists `image_dir/<label>/<picture>`; hidden files and folders are ignored.

    Parameters
    ----------
    image_dir : Path
        The folder of the labels' folders.
    without : Path
        A folder that is no label although it may lie there: that of the output.

    Raises
    ------
    CommandError
        Where the folder is missing, or has fewer than two labels' folders.
    """
    if not image_dir.is_dir():
        raise CommandError(f"The folder {image_dir} does not exist; {LAYOUT_ADVICE}.")
    try:
        visible_entries = [
            entry
            for entry in image_dir.iterdir()
            if not entry.name.startswith(".") and entry.resolve() != without.resolve()
        ]
        folders = [entry for entry in visible_entries if entry.is_dir()]
        beside = [entry for entry in visible_entries if not entry.is_dir()]
        files = {folder.name: list(folder.iterdir()) for folder in sorted(folders)}
    except OSError as error:
        raise CommandError(f"{error.filename} can't be read: {error.strerror}.") from error
    known = suffixes()
    pictures: dict[str, list[str]] = {}
    others = [entry.name for entry in beside]
    for label, entries in files.items():
        visible = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        names = [name for name in visible if Path(name).suffix.lower() in known]
        if names:
            pictures[label] = names
        else:
            others.append(f"{label}/")
        others += [f"{label}/{name}" for name in visible if name not in names]
    _check_labels(image_dir, pictures)
    return Listing(pictures, sorted(others))


def check_counts(
    image_dir: Path, pictures: Mapping[str, Collection[str]], num_unreadable: int = 0
) -> None:
    """Checks that every label has enough readable pictures to be split.

    Raises
    ------
    CommandError
        Names the labels that have too few.
    """
    few = [
        f"'{label}' has {len(names)}"
        for label, names in pictures.items()
        if len(names) < MIN_PER_LABEL
    ]
    if few:
        unreadable = f" ({num_unreadable} more can't be read)" if num_unreadable else ""
        shown = ", ".join(few[:10]) + (f" and {len(few) - 10} more" if len(few) > 10 else "")
        raise CommandError(
            f"A label needs at least {MIN_PER_LABEL} pictures to be split into training, "
            f"validation and testing, but in {image_dir} the label {shown}{unreadable}; add "
            "pictures or remove the label's folder."
        )


def name_fault(name: str) -> str | None:
    """Returns why a file's name can't stand in the lists of files, or None."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return "its name has a line break" if len(name.splitlines()) > 1 else None


def _check_labels(image_dir: Path, labels: Collection[str]) -> None:
    if not labels:
        raise CommandError(f"{image_dir} has no labels' folders; {LAYOUT_ADVICE}.")
    if len(labels) < 2:
        raise CommandError(
            f"{image_dir} has a single label's folder, '{next(iter(labels))}', and a network needs "
            f"at least two labels to tell apart; {LAYOUT_ADVICE}."
        )
    for label in labels:
        if fault := name_fault(label):
            raise CommandError(f"The folder {label!r} in {image_dir} can't be a label: {fault}.")
