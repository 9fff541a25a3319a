"""The snapshots in a run's folder: their names, the newest, and those that may go."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import CommandError
from training.snapshots import check_whole, recorded_options

NAME = re.compile(
    r"(?P<prefix>.*)\.snapshot-(?P<epoch>[0-9]+)(?:-(?P<batch>[0-9]+))?\.safetensors", re.DOTALL
)

RUN_FILES = ("experiment.yaml", "metrics.csv", "results.json")
"""What a run's folder holds, one of them at least."""
MOST_NAMED = 10  # runs, the newest, in a message


class Found(NamedTuple):
    """A file by its name: after `epoch` whole epochs and `batch` batches of the next."""

    epoch: int
    batch: int
    path: Path


def snapshot_name(prefix: str, epoch: int, batch: int) -> str:
    """Returns a snapshot's name after `epoch` whole epochs and `batch` batches of the next."""
    within = f"-{batch}" if batch else ""
    return f"{prefix}.snapshot-{epoch}{within}.safetensors"


def newest_snapshot(folder: Path, prefix: str | None = None) -> Path:
    """Returns the newest whole snapshot in a run's folder, by epoch and batch.

    A file that is cut off, or was named like a snapshot and is none, is passed over with a warning.

    Parameters
    ----------
    folder : Path
        The run's folder.
    prefix : str, optional
        The snapshots' prefix, which may go down into a folder; any, at any depth, unless given, but
        for other runs' folders in this one.

    Raises
    ------
    CommandError
        Where there is no such folder, or no whole snapshot in it.
    """
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise CommandError(
            f"{folder} {problem}; give the folder of a run to --resume, or one of its snapshots to "
            "--start-from-snapshot."
        )
    found = _found(folder, prefix)
    for one in reversed(found):
        try:
            check_whole(one.path)
        except CommandError as error:
            warnings.warn(f"A snapshot is passed over: {error}", stacklevel=2)
        else:
            return one.path
    if not found and not is_run(folder):
        raise CommandError(_no_run(folder))
    which = f" of the prefix '{prefix}'" if prefix is not None else ""
    what = "only broken snapshots" if found else "no snapshot"
    raise CommandError(
        f"{folder} holds {what}{which}, so that its run can't be taken up; start it anew with "
        "another --out-dir, or remove the folder before, and give fewer --snapshot-minutes to have "
        "one sooner."
    )


def holds_snapshot(folder: Path) -> bool:
    """Tells whether a run's folder holds a whole snapshot, to go on from."""
    return any(_is_whole(one.path) for one in _found(folder, None))


def is_run(folder: Path) -> bool:
    """Tells whether a folder is a run's."""
    return any((folder / name).is_file() for name in RUN_FILES)


def _no_run(folder: Path) -> str:
    runs = [each for each in folder.iterdir() if each.is_dir() and is_run(each)]
    runs.sort(key=lambda run: run.stat().st_mtime, reverse=True)
    if not runs:
        return f"{folder} is no run's folder; give the folder of a run to --resume, as runs/NAME."
    named = ", ".join(map(str, runs[:MOST_NAMED]))
    more = f" and {len(runs) - MOST_NAMED} older ones" if len(runs) > MOST_NAMED else ""
    return f"{folder} is no run's folder; give one of the runs in it to --resume: {named}{more}."


def options_to_resume(folder: Path) -> dict[str, Any]:
    """Returns the options to go on with in a run's folder, from its newest whole snapshot.

    They are those of `training.snapshots.recorded_options`, with `resume` set to the folder.

    Raises CommandError where there is no such folder, or no whole snapshot in it.
    """
    return recorded_options(newest_snapshot(folder)) | {"resume": folder}


def thin(folder: Path, prefix: str, keep: int, protected: Collection[Path] = ()) -> list[Path]:
    """Removes old snapshots of a run, once a newer one is whole.

    Those within an epoch go as soon as there is any newer one: they are for going on after a crash.
    A file that is broken, or no snapshot, is left alone and not counted.

    Parameters
    ----------
    folder, prefix
        The run's.
    keep : int
        How many to keep, the newest first; 0 = all but those within an epoch.
    protected : collection of Path
        Snapshots that stay, as that of the best epoch.

    Returns
    -------
    list of Path
        What was removed.
    """
    found = [*reversed(_found(folder, prefix))]
    while found and not _is_whole(found[0].path):
        del found[0]
    older = found[1:]
    surplus = [one for one in older if one.batch]
    if keep:
        epochs = [one for one in older if not one.batch and _is_whole(one.path)]
        surplus += epochs[keep - 1 :]
    spared = {path.resolve() for path in protected}
    removed = []
    for one in surplus:
        if one.path.resolve() not in spared and _is_whole(one.path):
            try:
                one.path.unlink(missing_ok=True)
            except OSError as error:
                reason = f"{one.path} can't be removed: {error.strerror}"
                warnings.warn(f"{reason}; snapshots will take more room.", stacklevel=2)
            else:
                removed.append(one.path)
    return removed


def set_aside(folder: Path, prefix: str, epoch: int, batch: int) -> list[Path]:
    """Renames the snapshots after a position, where a run goes on from that anew.

    They belong to what the run had come to before, and would else be taken for its newest. They are
    PREFIX.snapshot-EPOCH.before-N.safetensors then, which no run goes on from by itself.

    Returns
    -------
    list of Path
        The new names.
    """
    later = [one.path for one in _found(folder, prefix) if (one.epoch, one.batch) > (epoch, batch)]
    renamed: list[Path] = []
    for path in later:
        number = 1
        while (name := path.with_suffix(f".before-{number}.safetensors")).exists():
            number += 1
        renamed.append(path.rename(name))
    return renamed


def _found(folder: Path, prefix: str | None) -> list[Found]:
    """Returns the files with a snapshot's name, the oldest first."""
    if prefix is None:
        stem = None
        files = [
            path for path in folder.rglob("*.safetensors") if not _of_another_run(path, folder)
        ]
    else:
        below, stem = os.path.split(prefix)
        files = [*(folder / below).glob("*.safetensors")]
    found = []
    for path in files:
        match = NAME.fullmatch(path.name)
        if match and stem in (None, match["prefix"]) and path.is_file():
            found.append(Found(int(match["epoch"]), int(match["batch"] or 0), path))
    return sorted(found)


def _of_another_run(path: Path, folder: Path) -> bool:
    between = path.relative_to(folder).parents[:-1]
    return any((folder / parent / "experiment.yaml").is_file() for parent in between)


def _is_whole(path: Path) -> bool:
    try:
        check_whole(path)
    except CommandError:
        return False
    return True
