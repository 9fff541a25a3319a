"""Which pictures there are, what they show, and in which order they are stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import CommandError
from datasets.imagenet.devkit import Kit, label_name, read_ground_truth, read_kit
from datasets.pictures import suffixes
from datasets.scan import Kind, find_files, name_fault, names_in

TRAIN_ADVICE = "put every class's pictures in a folder of its name, such as train/n01440764/"
VAL_ADVICE = "put them in folders of the same names as in TRAIN_DIR"
NUMBERED = re.compile(r"ILSVRC20\d\d_val_(\d{8})\.[A-Za-z]+", re.ASCII)


@dataclass(frozen=True)
class Pictures:
    """Pictures of a folder, and the label of each.

    Parameters
    ----------
    folder : Path
        Where they lie.
    names : list of str
        Their paths below it.
    labels : np.ndarray of shape (n,), int32
    """

    folder: Path
    names: list[str]
    labels: np.ndarray

    def shuffled(self, seed: Sequence[int], limit: int | None = None) -> Pictures:
        """Returns them in an order that the seed decides, and no more than `limit` of them."""
        order = np.random.default_rng(seed).permutation(len(self.names))[:limit]
        names = [self.names[index] for index in order.tolist()]
        return Pictures(self.folder, names, self.labels[order])


@dataclass(frozen=True)
class Listing:
    """All that is known of the pictures before any is read.

    Parameters
    ----------
    training, validation : Pictures
        By label, of each sorted by name.
    label_names : list of str
        By label: with a kit 'n01440764 tench', else the folder's name.
    label_lines : list of str
        The same as `labels.txt` has it: number, WordNet id and all its words, or number and name.
    bad_names : dict of str to str
        Why a picture can't be used whose name can't stand in a list, by path.
    others : list of str
        What else is there, see `datasets.scan.Listing`.
    num_foreign, num_foreign_classes : int
        Validation pictures of classes that have no training folder, which are left out.
    """

    training: Pictures
    validation: Pictures
    label_names: list[str]
    label_lines: list[str]
    bad_names: dict[str, str]
    others: list[str]
    num_foreign: int
    num_foreign_classes: int


def list_pictures(
    train_dir: Path, val_dir: Path, devkit: Path | None, without: Path | None = None
) -> Listing:
    """Lists the pictures and labels them.

    The labels are the training folders' names, sorted and numbered from 0; ImageNet's are WordNet
    ids. Validation pictures lie in folders of the same names, or all in one, and then the kit's
    ground truth says in the order of their names what they show.

    Parameters
    ----------
    train_dir, val_dir : Path
        The folders of the pictures.
    devkit : Path, optional
        ImageNet's development kit, see `devkit.read_kit`.
    without : Path, optional
        A folder that is left out: that of the output.

    Raises
    ------
    CommandError
        Where a folder or the kit can't be used, or they do not fit one another.
    """
    found = find_files(train_dir, Kind(suffixes(), TRAIN_ADVICE), without=without)
    kit = None if devkit is None else read_kit(devkit)
    if kit is not None:
        _refuse_unknown(train_dir, found.pictures, kit)
    labels = {name: label for label, name in enumerate(sorted(found.pictures))}
    others = [str(train_dir / other) for other in found.others]
    if not val_dir.is_dir():
        raise CommandError(f"The folder {val_dir} of validation pictures does not exist.")
    if flat := names_in(val_dir, suffixes()):
        shown = _by_ground_truth(val_dir, flat, devkit, kit)
    else:
        sorted_ = find_files(val_dir, Kind(suffixes(), VAL_ADVICE), without=without)
        _refuse_missing(val_dir, sorted_.pictures, train_dir, labels)
        others += [str(val_dir / other) for other in sorted_.others]
        shown = _whole_names(sorted_.pictures)
    foreign = {name: paths for name, paths in shown.items() if name not in labels}
    if len(foreign) == len(shown):
        raise CommandError(
            f"No picture in {val_dir} shows a class that has a folder in {train_dir}; take both of "
            "one data set."
        )
    bad_names: dict[str, str] = {}
    return Listing(
        _pictures(train_dir, _whole_names(found.pictures), labels, bad_names),
        _pictures(val_dir, shown, labels, bad_names),
        [name if kit is None else label_name(name, kit.words[name]) for name in labels],
        [
            "\t".join([str(label), name, *([] if kit is None else [kit.words[name]])])
            for name, label in labels.items()
        ],
        bad_names,
        others,
        sum(map(len, foreign.values())),
        len(foreign),
    )


def _whole_names(found: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Puts the folders before the names in them."""
    return {folder: [f"{folder}/{name}" for name in names] for folder, names in found.items()}


def _pictures(
    folder: Path,
    by_class: Mapping[str, Sequence[str]],
    labels: Mapping[str, int],
    bad_names: dict[str, str],
) -> Pictures:
    """Puts the pictures of all classes that have a label one after another."""
    names: list[str] = []
    counts: list[int] = []
    for one in labels:
        before = len(names)
        for name in by_class.get(one, ()):
            if fault := name_fault(name):
                bad_names[str(folder / name)] = fault
            else:
                names.append(name)
        counts.append(len(names) - before)
    return Pictures(folder, names, np.repeat(np.arange(len(labels), dtype=np.int32), counts))


def _by_ground_truth(
    val_dir: Path, names: Sequence[str], devkit: Path | None, kit: Kit | None
) -> dict[str, list[str]]:
    """Returns the names of the pictures by the WordNet id of what they show."""
    if devkit is None or kit is None:
        raise CommandError(
            f"{val_dir} has pictures that are in no folder, such as {names[0]!a}; give --devkit, "
            f"whose ground truth says what they show, or {VAL_ADVICE}."
        )
    truth = read_ground_truth(devkit, kit)
    if len(truth) != len(names):
        raise CommandError(
            f"{val_dir} has {len(names):,} pictures, but the ground truth in {devkit} has "
            f"{len(truth):,} lines, one for each picture in the order of their names; take both of "
            "one year, and all pictures."
        )
    for place, name in enumerate(names, start=1):
        numbered = NUMBERED.fullmatch(name)
        if numbered is None:
            raise CommandError(
                f"{val_dir} has {name!a}, but the ground truth says what pictures show by their "
                "numbers, as ILSVRC2012_val_00000001.JPEG has one; give them those names, or "
                f"{VAL_ADVICE}."
            )
        if int(numbered[1]) != place:
            raise CommandError(
                f"{val_dir} has {name} in the place {place:,} of its pictures, so another is "
                "missing or is none of ImageNet's; the ground truth needs exactly its pictures."
            )
    shown: dict[str, list[str]] = {}
    for name, wordnet_id in zip(names, truth, strict=True):
        shown.setdefault(wordnet_id, []).append(name)
    return shown


def _refuse_unknown(train_dir: Path, folders: Collection[str], kit: Kit) -> None:
    unknown = [folder for folder in folders if folder not in kit.words]
    if unknown:
        raise CommandError(
            f"{len(unknown):,} of the {len(folders):,} folders in {train_dir}, such as "
            f"{unknown[0]!r}, are no WordNet id of the {len(kit.words):,} classes in {kit.file}; "
            "take both of one data set, or leave out --devkit where these are no pictures of "
            "ImageNet."
        )


def _refuse_missing(
    val_dir: Path, folders: Collection[str], train_dir: Path, labels: Collection[str]
) -> None:
    missing = [name for name in labels if name not in folders]
    if missing:
        raise CommandError(
            f"{val_dir} has no pictures in {len(missing):,} of the {len(labels):,} folders that "
            f"{train_dir} has, such as {missing[0]!r}; {VAL_ADVICE}."
        )
