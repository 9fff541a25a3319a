"""ImageNet's development kit: which class has which WordNet id, and what the validation shows."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError

META = ("meta_clsloc.mat", "meta.mat")  # of 2014 (and 2013), of 2012
GROUND_TRUTH = "ILSVRC20*validation_ground_truth.txt"
TRUTH_NAME = re.compile(r"ILSVRC20\d\d_(clsloc_)?validation_ground_truth\.txt", re.ASCII)
ID_FIELD = re.compile(r"ILSVRC20\d\d_(CLSLOC_)?ID", re.ASCII)
ADVICE = "give the unpacked development kit, such as ILSVRC2012_devkit_t12"


@dataclass(frozen=True)
class Kit:
    """The classes of a development kit.

    Parameters
    ----------
    file : Path
        What they were read from.
    wordnet_ids : dict of int to str
        The WordNet id ('n01440764'), by the number that the kit gives a class.
    words : dict of str to str
        What a class shows ('tench, Tinca tinca'), by WordNet id, sorted by it.
    """

    file: Path
    wordnet_ids: dict[int, str]
    words: dict[str, str]


def read_kit(devkit: Path) -> Kit:
    """Reads the classes: the synsets of meta_clsloc.mat or meta.mat that have no children.

    Parameters
    ----------
    devkit : Path
        The folder of the kit, or its folder `data`.

    Raises
    ------
    CommandError
        Where neither file is there, or it is none of the kit's.
    """
    file = _meta_file(devkit)
    synsets = _synsets(file)
    fields = synsets.dtype.names or ()
    number = next((name for name in fields if ID_FIELD.fullmatch(name)), None)
    words = next((name for name in ("words", "name") if name in fields), None)
    if number is None or "WNID" not in fields:
        raise _no_kit(file, f"its synsets have the fields {', '.join(fields) or 'none'}")
    try:
        classes = {
            int(synset[number]): (str(synset["WNID"]), str(synset[words]) if words else "")
            for synset in synsets
            if "num_children" not in fields or int(synset["num_children"]) == 0
        }
    except (TypeError, ValueError) as error:
        raise _no_kit(file, f"a synset has no number ({error})") from error
    if not classes:
        raise _no_kit(file, "it has no class without children")
    wordnet_ids = {number: wordnet_id for number, (wordnet_id, _) in classes.items()}
    words_of = {name: " ".join(shown.split()) for name, shown in sorted(classes.values())}
    if len(words_of) < len(wordnet_ids):
        raise _no_kit(file, "two of its classes have one WordNet id")
    return Kit(file, wordnet_ids, words_of)


def read_ground_truth(devkit: Path, kit: Kit) -> list[str]:
    """Reads the validation pictures' WordNet ids, in the order of the pictures' names.

    Raises
    ------
    CommandError
        Where the file is missing, is none of numbers, or has a class that the kit lacks.
    """
    file = _truth_file(devkit)
    try:
        lines = file.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no plain text"
        raise CommandError(f"The ground truth {file} can't be read: {reason}.") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return [_class_of(line, number, file, kit) for number, line in enumerate(lines, start=1)]


def _class_of(line: str, number: int, file: Path, kit: Kit) -> str:
    try:
        return kit.wordnet_ids[int(line)]
    except ValueError:
        raise CommandError(
            f"Line {number:,} of the ground truth {file} is {line[:40]!r}, and must be the number "
            f"of a class; {ADVICE}."
        ) from None
    except KeyError:
        raise CommandError(
            f"Line {number:,} of the ground truth {file} is the class {int(line)}, which "
            f"{kit.file} does not know: its {len(kit.wordnet_ids):,} classes go from "
            f"{min(kit.wordnet_ids)} to {max(kit.wordnet_ids)}; take both files from one kit."
        ) from None


def _meta_file(devkit: Path) -> Path:
    if not devkit.is_dir():
        raise CommandError(f"The development kit {devkit} is no folder; {ADVICE}.")
    for folder in (devkit, devkit / "data"):
        for name in META:
            if (folder / name).is_file():
                return folder / name
    raise CommandError(
        f"{devkit} has neither {' nor '.join(META)}, nor has its folder data; {ADVICE}."
    )


def _truth_file(devkit: Path) -> Path:
    for folder in (devkit, devkit / "data"):
        found = [file for file in folder.glob(GROUND_TRUTH) if TRUTH_NAME.fullmatch(file.name)]
        if found:
            return min(found)
    raise CommandError(
        f"{devkit} has no {GROUND_TRUTH}, nor has its folder data, so nothing tells what the "
        f"validation pictures show; {ADVICE}, or sort them into folders of WordNet ids."
    )


def _synsets(file: Path) -> np.ndarray:
    from scipy.io import loadmat

    try:
        stored = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror or error}.") from error
    try:
        content: dict[str, Any] = loadmat(
            io.BytesIO(stored), squeeze_me=True, variable_names=["synsets"]
        )
    except Exception as error:  # SciPy raises nearly anything on a damaged file
        raise _no_kit(file, "it is no MATLAB file, or a damaged one") from error
    found = content.get("synsets")
    if found is None:
        raise _no_kit(file, "it has no synsets")
    return np.atleast_1d(found)


def _no_kit(file: Path, why: str) -> CommandError:
    return CommandError(f"{file} is not of a development kit of ImageNet: {why}; {ADVICE}.")


def label_name(wordnet_id: str, words: str) -> str:
    """Returns what a class is called in a dataset: 'n01440764 tench' of 'tench, Tinca tinca'."""
    return f"{wordnet_id} {words.partition(',')[0]}"
