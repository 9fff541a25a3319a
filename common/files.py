"""Files that exist are whole: they are written beside their name and renamed at the end."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import CommandError

ADVICE = {
    errno.ENOSPC: "free some space or choose another place",
    errno.EDQUOT: "free some space or choose another place",
    errno.EACCES: "choose a place that you may write to",
    errno.EPERM: "choose a place that you may write to",
    errno.EROFS: "choose a place that you may write to",
    errno.EEXIST: "choose a name that no file has",
    errno.ENOENT: "check the name of its folder",
    errno.ENOTDIR: "choose a name whose parent is a folder",
    errno.EISDIR: "choose a name that is not a folder",
}


def cannot_write(path: Path, error: OSError) -> CommandError:
    """Returns the sentence for a file or folder that the system refuses to write."""
    advice = ADVICE.get(error.errno or 0, "choose another place")
    return CommandError(f"{path} can't be written: {error.strerror or error}; {advice}.")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields the name to write under; renames it to `path` at the end, or removes it on any error.

    Folders that are missing are made, and on an error removed again. What processes that were
    killed have left of the same file is removed.

    Raises CommandError where the system refuses to write (full disk, no permission).
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with new_folders(path.parent):
            _remove_left(path)
            try:
                partial.touch()
                yield partial
                partial.replace(path)
            finally:
                with suppress(OSError):
                    partial.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def _remove_left(path: Path) -> None:
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        process = left.name.removeprefix(f"{path.name}.").removesuffix(".partial")
        if process.isdecimal() and not _is_alive(int(process)):
            with suppress(OSError):
                left.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's; no process's number
        return True
    return True


@contextmanager
def new_folders(path: Path) -> Iterator[None]:
    """Makes the folder `path` with its parents; at the end those that are empty go again."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()


def write_whole(path: Path, text: str) -> None:
    """Writes `text` in UTF-8 to `path`, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_at(file: int, content: memoryview | bytes, offset: int) -> None:
    """Writes all of `content` to an open file, from the byte `offset` on."""
    data = memoryview(content).cast("B")
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def make_folder(path: Path) -> Path:
    """Makes the folder `path` with its parents and checks that files can be made in it.

    Raises CommandError where the system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{os.getpid()}.partial"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error
    return path
