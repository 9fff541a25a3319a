"""Which pictures must stay in one subset: those that --group-by finds alike, and duplicates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import CommandError
from datasets.duplicates import Groups

Names = Sequence[tuple[str, str]]  # (label, path below the label's folder) by row
Keys = Mapping[int, tuple[str | None, ...]]  # what a pattern has found, by row
EXAMPLE = "'([^/]+?)(?= - )'"


@dataclass(frozen=True)
class Grouped:
    """What `--group-by` made of the pictures in use.

    Parameters
    ----------
    num_groups : int
        The groups.
    num_alone, num_pictures : int
        Pictures in none, as the pattern is not found in their paths; and all of them.
    example : str
        The path below the label's folder of one of those.
    """

    num_groups: int = 0
    num_alone: int = 0
    num_pictures: int = 0
    example: str = ""


def compiled(group_by: str | None) -> re.Pattern[str] | None:
    """Returns the regular expression of `--group-by`, if it is given.

    Raises CommandError where it is none.
    """
    try:
        return None if group_by is None else re.compile(group_by)
    except re.error as error:
        raise CommandError(
            f"--group-by '{group_by}' is no regular expression: {error}; give one that finds what "
            f"those of a group have in common, as in {EXAMPLE}."
        ) from error


def group_keys(pattern: re.Pattern[str] | None, names: Names) -> Keys:
    """Returns what the pattern finds in the paths below the labels' folders, by row.

    Raises CommandError where it is found in none.
    """
    if pattern is None:
        return {}
    keys = {}
    for row, (_, name) in enumerate(names):
        if found := pattern.search(name):
            keys[row] = found.groups() or (found.group(),)
    if not keys:
        raise CommandError(
            f"--group-by '{pattern.pattern}' is found in none of the paths below the labels' "
            f"folders, such as '{names[0][1]}'; give a regular expression that is found in some."
        )
    return keys


def grouped(keys: Keys, names: Names, readable: np.ndarray) -> Grouped:
    """Returns what the keys make of the pictures in use."""
    if not keys:
        return Grouped()
    rows = readable.tolist()
    alone = [row for row in rows if row not in keys]
    return Grouped(
        num_groups=len({keys[row] for row in rows if row in keys}),
        num_alone=len(alone),
        num_pictures=len(rows),
        example=names[alone[0]][1] if alone else "",
    )


def units_of(
    names: Names, readable: np.ndarray, keys: Keys, duplicates: Sequence[np.ndarray]
) -> dict[tuple[str, str], int]:
    """Returns the unit of every picture in use that may not be split from another one."""
    groups = Groups(len(names))
    used = set(readable.tolist())
    first_of: dict[tuple[str | None, ...], int] = {}
    for row, key in keys.items():
        if row in used:
            groups.join(first_of.setdefault(key, row), row)
    for group in duplicates:
        kept = [row for row in group.tolist() if row in used]
        for row in kept[1:]:
            groups.join(kept[0], row)
    return {names[row]: int(group[0]) for group in groups.listed() for row in group.tolist()}


def too_few(
    subset: str, number: int, needed: str, group_by: str | None, has_duplicates: bool
) -> CommandError:
    """Returns the sentence for a subset that would be empty, as no unit is left for it.

    Parameters
    ----------
    subset : str
        That would be empty.
    number : int
        Of the units.
    needed : str
        The subsets that have a share.
    group_by : str, optional
        The pattern, if there is one.
    has_duplicates : bool
        Whether some pictures are in one unit as they are duplicates.
    """
    made_by = ["duplicates"] * has_duplicates + ["--group-by"] * (group_by is not None)
    advice = ["--drop-duplicates"] * has_duplicates
    advice += ["another --group-by"] * (group_by is not None)
    return CommandError(
        f"The {subset} subset would be empty, as the pictures make up {number:,} "
        f"group{'s' * (number > 1)} that must stay together ({' and '.join(made_by)}; a picture "
        f"that is in none counts as one), too few for {needed}; add pictures, or give "
        f"{' or '.join(advice)}."
    )
