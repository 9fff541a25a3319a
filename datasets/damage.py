"""Holds the bytes of a dataset against their checksums, before it is copied to new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import CommandError
from common.progress import progress
from datasets.archive import Archive
from datasets.findings import checksum
from datasets.sharded import Shard, map_shard, open_regular
from datasets.shards import INDEX, check_file, read_index
from datasets.unpickle import FormatError

MEGABYTE = 2**20


def refuse_damaged(path: Path) -> None:
    """Reads a dataset that can be opened once, and checks that no byte has changed.

    Raises
    ------
    CommandError
        Names the first file of a folder of shards, or member of a file, whose bytes differ from
        what was written: a copy would give them a checksum that says they are right.
    """
    try:
        check = _check_shards if (path / INDEX).is_file() else _check_members
        check(path)
    except FormatError as error:
        raise CommandError(
            f"{path} is damaged, and nothing was written: {error}; validate_dataset lists all that "
            "is wrong with it; copy it again from where it came from."
        ) from error
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror or error}.") from error


def _check_shards(folder: Path) -> None:
    index = read_index(folder)
    files = [file for pairs in index.subsets.values() for pair in pairs for file in pair]
    files.append(index.mean)
    with _megabytes(sum(file.num_bytes for file in files)) as advance:
        for file in files:
            start = check_file(folder, file)
            shard = Shard(folder / file.name, file.shape[0], start)
            _, mapping = map_shard(shard, file.shape[1:], file.dtype)
            found = checksum(memoryview(mapping), mapping, advance)
            _compare(f"its shard '{file.name}'", found, int(file.crc, 16))


def _check_members(path: Path) -> None:
    with open_regular(path) as file:
        archive = Archive(file)
        # Opening has held what is compressed against its checksum.
        names = [name for name in archive.names if archive.is_stored(name)]
        with _megabytes(len(archive.mapping)) as advance:
            for name in names:
                found = checksum(archive.content(name), archive.mapping, advance)
                _compare(f"its member '{name}'", found, archive.crc(name))


@contextmanager
def _megabytes(num_bytes: int) -> Iterator[Callable[[int], None]]:
    """Shows how far so many bytes are read."""
    read = 0
    with progress("Checking", num_bytes // MEGABYTE, "MB") as advance:

        def counted(more: int) -> None:
            nonlocal read
            advance((read + more) // MEGABYTE - read // MEGABYTE)
            read += more

        yield counted


def _compare(what: str, found: int, stated: int) -> None:
    if found != stated:
        raise FormatError(f"{what} has changed since it was written (its checksum differs)")
