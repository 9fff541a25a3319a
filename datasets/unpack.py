"""Unpacks an archive of recordings, one folder for each label, and trusts nothing in it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from common.errors import CommandError
from common.files import cannot_write, new_folders
from common.progress import progress
from datasets.audio import SUFFIXES

STEP = 2**20  # bytes
MAX_BYTES = 20 * 2**30  # that may be unpacked; the largest of the archives has 1.5 GB
DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)


def unpack(archive: Path, folder: Path, place: Callable[[str], str] = str) -> int:
    """Writes the recordings of a tar archive, `<top>/<label>/<name>`, to `folder/<label>/<name>`.

    The folder appears when all of them are written. Only plain files with a recording's suffix are
    taken; links, devices and hidden files (of which macOS adds some) are not.

    Parameters
    ----------
    archive : Path
        Compressed or not.
    folder : Path
        Must not be there.
    place : callable
        Returns the folder, below `folder`, for a label of the archive's.

    Returns
    -------
    int
        How many recordings were written.

    Raises
    ------
    CommandError
        Where the archive is damaged, has no recordings or a member that would lie outside of the
        folder, or where the folder can't be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        with new_folders(folder.parent):
            shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
            try:
                count = _unpack(archive, partial, place)
                partial.replace(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system
            raise cannot_write(folder, error) from error
        raise CommandError(
            f"The archive {archive} is damaged or no tar archive ({error}); get it from where it "
            "came from again."
        ) from error
    return count


def _unpack(archive: Path, partial: Path, place: Callable[[str], str]) -> int:
    count = total = 0
    with (
        archive.open("rb") as file,
        progress("Unpacking", max(1, archive.stat().st_size), "bytes") as advance,
        _decompressed(file) as content,
        tarfile.open(fileobj=content, mode="r|") as members,
    ):
        read = 0
        for member, label, name in _recordings(archive, members):
            total += member.size
            if total > MAX_BYTES:
                raise CommandError(
                    f"The archive {archive} holds more than {MAX_BYTES / 2**30:g} GB of "
                    "recordings, which no known one does; get it from where it came from again."
                )
            source = members.extractfile(member)
            assert source is not None  # it is a file
            target = partial / place(label) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(source, target, member.size)
            count += 1
            advance(file.tell() - read)
            read = file.tell()
        while content.read(STEP):  # at its very end is its checksum
            pass
    if not count:
        raise CommandError(
            f"The archive {archive} holds no recordings in folders, as <top>/<label>/x.wav; give "
            "another --source."
        )
    return count


def _decompressed(file: BinaryIO) -> BinaryIO:
    """Returns the file's content, whatever it is compressed by; reading it checks its checksums."""
    start = file.read(len(lzma_magic := b"\xfd7zXZ"))
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(file))
    return cast(BinaryIO, lzma.LZMAFile(file)) if start == lzma_magic else file


def _recordings(
    archive: Path, members: tarfile.TarFile
) -> Iterator[tuple[tarfile.TarInfo, str, str]]:
    """Yields the members to write, each with its label and its path below the label's folder."""
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
            raise CommandError(
                f"The archive {archive} has the member {member.name!r}, which would lie outside of "
                "its folder, and nothing of it is used; get it from where it came from again."
            )
        hidden = any(part.startswith(".") for part in path.parts)
        known = path.suffix.lower() in SUFFIXES
        if member.isfile() and known and not hidden and len(path.parts) >= 3:
            yield member, path.parts[1], "/".join(path.parts[2:])


def _copy(source: IO[bytes], target: Path, size: int) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, STEP)
        if file.tell() != size:
            raise EOFError(f"{target.name} is cut short")
