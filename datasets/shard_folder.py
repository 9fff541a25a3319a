"""The folder that shards are written to: what it may replace, how it grows and takes its name."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import CommandError
from common.files import cannot_write, new_folders
from datasets.shards import INDEX, read_index
from datasets.unpickle import FormatError

PARTIAL_FILE = re.compile(
    r"([a-z0-9_]{1,40}(-\d+)?-\d{5,}(\.npy|\.labels\.npy|\.json)|mean\.npy|index\.json)(\.\d+\.partial)?",
    re.ASCII,
)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields the folder `OUT.partial` to write shards to; renames it to `out` at the end.

    On an error it stays, and the next call yields it again.

    Parameters
    ----------
    out : Path
        No symbolic link. A folder of shards that is there is replaced, any other must be empty.

    Raises
    ------
    CommandError
        Where there is something else, another process writes the same folder, or the system
        refuses.
    """
    partial = out.with_name(f"{out.name}.partial")
    old = out.with_name(f"{out.name}.old.partial")
    for folder in (out, old):
        _check_replaceable(folder)
    _check_partial(partial)
    try:
        with new_folders(out.parent):
            partial.mkdir(exist_ok=True)
            with _locked(partial):
                yield partial
                _remove(old)
                _check_replaceable(out)  # much may have happened while the shards were written
                if out.exists():
                    out.replace(old)
                partial.replace(out)
                _remove(old)
    except OSError as error:
        raise cannot_write(out, error) from error


def remove_others(folder: Path, names: Collection[str]) -> None:
    """Removes what an earlier call has left in the folder and the dataset has no use for."""
    for entry in folder.iterdir():
        if entry.name not in names:
            entry.unlink()


def _check_replaceable(folder: Path) -> None:
    """Refuses a folder that has anything but the files of one dataset, as its index names them."""
    entries = _entries(folder)
    try:
        ours: Collection[str] = read_index(folder).files if entries else ()
    except FormatError:
        ours = ()
    for entry in entries:
        if entry.name not in ours or entry.is_dir(follow_symlinks=False):
            raise _holds(folder, entry.name)


def _check_partial(folder: Path) -> None:
    """Refuses a folder that has files whose names are not those of shards; it has no index yet."""
    entries = _entries(folder)
    has_shards = any("-" in entry.name for entry in entries)
    for entry in entries:
        if not has_shards or not PARTIAL_FILE.fullmatch(entry.name):
            raise _holds(folder, entry.name)


def _holds(folder: Path, name: str) -> CommandError:
    return CommandError(
        f"{folder} holds '{name}', which is no part of a folder of shards, and is left alone; "
        "choose a name that nothing has."
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Returns what is in the folder, by name; nothing where there is none."""
    try:
        if folder.is_symlink():
            raise CommandError(f"{folder} is a symbolic link; remove it, or choose another name.")
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        if isinstance(error, NotADirectoryError) and folder.is_file():
            raise CommandError(
                f"{folder} is a file, and shards need a folder; choose a name that nothing has, or "
                "one that ends in .pkl.zip for a file."
            ) from error
        raise cannot_write(folder, error) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps a second conversion out of the folder; a process that is killed loses its lock."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CommandError(
            f"{folder} is being written by another conversion; wait for it, or choose another name."
        ) from error
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Removes a folder of shards; the index goes last, so that the rest can be told by it."""
    _check_replaceable(folder)
    if folder.is_dir():
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == INDEX):
            entry.unlink()
        folder.rmdir()
