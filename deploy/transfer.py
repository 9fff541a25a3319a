"""Runs brought back and datasets sent: only what is new, resumed, each file checked by SHA-256."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.files import cannot_write, make_folder, whole_file
from common.progress import progress
from common.sizes import size_text
from deploy.machine import ConnectionLost, Machine
from deploy.remote.base import Refused
from deploy.remote.trees import Plan, Times, frames, listing, plan, reader, store

IDENTITY = ".machine"
"""In a folder of runs that were brought: which machine they are of."""
ROUNDS = 3  # a file that changed while it was sent is sent again
AGAIN = "run the same command again, it goes on where it stopped"


def fetch(machine: Machine, into: Path) -> Path:
    """Brings runs, jobs' logs and what else jobs wrote into a folder named like the machine.

    Returns the folder. Raises CommandError where the disk is full or the machine names a file
    outside of the folder, ConnectionLost where the connection breaks off; what was brought stays.
    """
    folder = _own_folder(into / machine.name, machine.call("trees", "identity"))
    logs = [f"{job['number']}/output.log" for job in machine.call("jobs", "listing")]
    written = machine.call("versions", "written")
    there, brought = 0, 0
    unfinished: list[str] = []
    for root, names, place in (
        ("runs", [""], folder),
        ("jobs", logs, folder / "jobs"),
        ("versions", written, folder / "versions"),
    ):
        if names:
            found, new, rest = _bring(machine, root, names, place)
            there, brought, unfinished = there + found, brought + new, unfinished + rest
    print(f"{_count(brought)} new in {folder}; {_count(there)} on {machine.label}")
    if unfinished:
        print(f"still being written there, fetch later again: {', '.join(unfinished)}")
    return folder


def _own_folder(folder: Path, identity: str) -> Path:
    """Returns a machine's folder; one with a number where another machine had the name."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    for place in itertools.chain([folder], numbered):
        known = place / IDENTITY
        if not place.exists() or not any(place.iterdir()):
            with whole_file(known) as partial:
                partial.write_text(identity)
        if known.is_file() and known.read_text() == identity:
            return place
    raise AssertionError("there is always another number")


def _bring(
    machine: Machine, root: str, names: list[str], folder: Path
) -> tuple[int, int, list[str]]:
    """Brings what is new there; returns how many files there are, how many new, and the rest."""
    brought: set[str] = set()
    for _ in range(ROUNDS):
        there = machine.call("trees", "list_there", root=root, names=names)
        wanted = plan(there["files"], *listing(folder))
        if not wanted:
            break
        size = _size(wanted)
        make_folder(folder)
        _check_space("this machine", folder, shutil.disk_usage(folder).free, size)
        wrong = _fetch(machine, root, folder, wanted, there["files"], size)
        brought |= {name for name, _, _ in wanted} - set(wrong)
    return len(there["files"]), len(brought), [name for name, _, _ in wanted if name not in brought]


def push_data(machine: Machine, path: Path) -> None:
    """Sends a file or a folder into the machine's data folder, a run into its runs.

    Raises CommandError where it is missing or the machine's disk is full, ConnectionLost where the
    connection breaks off; what was sent stays.
    """
    if not path.exists():
        raise CommandError(f"There is no {path} to send; check the name.")
    path = path if path.name not in ("", "..") else path.resolve()  # a link keeps its name
    folder, name = path.parent, path.name
    root = "runs" if (path / "experiment.yaml").is_file() else "data"
    use = f"{'--resume' if root == 'runs' else '--dataset-path'} {root}/{name}"
    wrong: list[str] = []
    for _ in range(ROUNDS):
        here, _ = listing(folder, [name])
        there = machine.call("trees", "list_there", root=root, names=[name])
        wanted = plan(here, there["files"], there["partials"])
        if not wanted:
            print(f"nothing new: {name} is there already, at {there['folder']}/{name}: {use}")
            return
        size = _size(wanted)
        _check_space(machine.label, Path(there["folder"]), there["free"], size)
        wrong = _push(machine, root, folder, wanted, here, size)
        if not wrong:
            print(f"{_count(len(wanted))} sent to {machine.label}: {use}")
            return
    raise CommandError(f"{', '.join(wrong)} changed while it was sent; {AGAIN}.")


def _fetch(
    machine: Machine, root: str, folder: Path, wanted: Plan, times: Times, size: int
) -> list[str]:
    """Stores what is wanted; returns the files that did not arrive as they are there."""
    try:
        with (
            progress("fetching", size, "bytes") as advance,
            machine.stream("trees", "send", root=root, wanted=wanted) as read,
        ):
            return store(folder, wanted, times, reader(read), advance)
    except Refused as error:
        raise CommandError(str(error)) from error
    except ConnectionLost as error:
        raise ConnectionLost(f"{error} To get the rest, {AGAIN}.") from error
    except OSError as error:
        raise cannot_write(Path(error.filename or folder), error) from error


def _push(
    machine: Machine, root: str, folder: Path, wanted: Plan, times: Times, size: int
) -> list[str]:
    """Sends what is wanted; returns the files that did not arrive as they are here."""
    try:
        with progress("sending", size, "bytes") as advance:
            payload = _counted(frames(folder, wanted), advance)
            wrong: list[str] = machine.call(
                "trees", "receive", payload, root=root, wanted=wanted, times=times
            )
            return wrong
    except ConnectionLost as error:
        raise ConnectionLost(f"{error} To send the rest, {AGAIN}.") from error
    except OSError as error:
        raise CommandError(f"{error.filename} can't be read: {error.strerror}.") from error


def _counted(blocks: Iterator[bytes], advance: Any) -> Iterator[bytes]:
    for block in blocks:
        yield block
        advance(len(block))


def _size(wanted: Plan) -> int:
    return sum(size - offset for _, offset, size in wanted)


def _check_space(whose: str, folder: Path, free: int, needed: int) -> None:
    if needed > free:
        raise CommandError(
            f"{size_text(needed)} are to come to {folder} and {whose} has {size_text(free)} free "
            "there; free some space."
        )


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"
