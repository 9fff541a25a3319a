"""The files that pictures are decoded into; they outlive a create_datasets that is broken off.

A hidden folder has `pixels` and `thumbnails`, a row for each picture, and `journal`: a key, then a
record for each row. A row's record is written after the row, and cleared before the row is
forgotten, so a row that has one is whole, whenever the process is killed: the system keeps all that
a process has written. What a computer keeps that goes down is in no order, so the key tells one
start of it from another, along with all else that the rows depend on.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import sys
import zlib
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import PIL

from common.files import write_at
from datasets.duplicates import THUMBNAIL
from datasets.pictures import Picture

VERSION = 2  # of the rows and of how pictures are decoded: those of another are not used
LASTING = ".create_datasets-decoded.partial"  # the folder's name where the next run is to find it
WORTH_KEEPING = 5.0  # seconds of decoding; what took less is removed at Ctrl-C
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
KEY_BYTES = 32
RECORD = np.dtype(
    [
        ("size", "<i4", 2),  # height and width in pixels before the picture was resized
        ("format", "S16"),
        ("digest", "<u8", 2),
        ("num_bytes", "<i8"),  # of the picture's file
        ("mtime_ns", "<i8"),
        ("seconds", "<f4"),  # that decoding took
        ("check", "<u4"),  # last: of all before it, and of the row's number
    ]
)
THUMBNAIL_BYTES = int(np.prod(THUMBNAIL))
PUNCHED_FROM = 2**14  # bytes of a picture; holes of less than some pages free nothing
KEEP_SIZE, PUNCH_HOLE = 1, 2  # fallocate's modes, <linux/falloc.h>


def key_of(names: Iterable[str], *settings: object) -> bytes:
    """Returns a digest of files' names and what else decides what is decoded, on this very boot."""
    try:
        boot: object = BOOT_ID.read_text()
    except OSError:
        boot = os.urandom(KEY_BYTES)  # nothing is like it
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    digest.update(repr((VERSION, PIL.__version__, boot, settings)).encode())
    for name in names:
        digest.update(b"\0" + os.fsencode(name))
    return digest.digest()


def record_of(row: int, picture: Picture, source: os.stat_result, seconds: float) -> bytes:
    """Returns the record of a row that is whole; `source` is of before the picture was read."""
    digest = np.frombuffer(picture.digest, "<u8")
    stamp = source.st_size, source.st_mtime_ns
    record = np.array((picture.size, picture.format.encode(), digest, *stamp, seconds, 0), RECORD)
    record["check"] = _check(row, record.tobytes())
    return record.tobytes()


def _check(row: int, record: bytes | memoryview) -> int:
    return zlib.crc32(record[: -RECORD["check"].itemsize], row)


class Scratch:
    """The files, open; used in a `with` statement, at whose end they are removed.

    At Ctrl-C they are kept where decoding took `WORTH_KEEPING` seconds or more and the next run may
    find them; a sentence says which.

    Parameters
    ----------
    folder : Path
        What is there is taken if it is whole and of the same key, else replaced. Nobody else may
        use it, but for workers of a process that was killed: these are waited for.
    key : bytes
        See `key_of`.
    count, picture_bytes : int
        How many pictures there are, and what each has once it is decoded.
    num_workers : int
        Processes that decode.

    Attributes
    ----------
    pixels, thumbnails : int
        The files' descriptors.
    records : np.ndarray of shape (count,), RECORD
        What is known of the rows, also of those that were whole and are cleared.
    done : np.ndarray of shape (count,), bool
        Which rows are whole.

    Raises
    ------
    OSError
        Where the system refuses to write.
    """

    def __init__(
        self, folder: Path, key: bytes, count: int, picture_bytes: int, num_workers: int
    ) -> None:
        self.records = np.zeros(count, RECORD)
        self.done = np.zeros(count, bool)
        self._folder, self._key, self._num_workers = folder, key, num_workers
        self._picture_bytes = picture_bytes
        self._lengths = {
            "pixels": count * picture_bytes,
            "thumbnails": count * THUMBNAIL_BYTES,
            "journal": KEY_BYTES + count * RECORD.itemsize,
        }
        self._opened = ExitStack()

    def __enter__(self) -> Scratch:
        try:
            if not self._reopen():
                self._remove()
                self._make()
        except OSError:
            self._remove()
            raise
        except BaseException:  # Ctrl-C: what is there stays
            self._opened.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = float(self.records["seconds"][self.done].sum()) / self._num_workers
        lasting = self._folder.name == LASTING
        if kind is not KeyboardInterrupt or seconds < WORTH_KEEPING or not lasting:
            self._remove()
            if kind is KeyboardInterrupt and lasting:
                print(
                    f"\nNothing is kept, as less than {WORTH_KEEPING:g} seconds were decoded.",
                    file=sys.stderr,
                )
            return
        self._opened.close()
        print(
            f"\n{self.done.sum():,} decoded pictures are kept in {self._folder}: the same command "
            "goes on with them, and removing that folder frees the room.",
            file=sys.stderr,
        )

    def put(self, row: int, record: bytes) -> None:
        """Notes that a row is whole; `record` is of `record_of`."""
        write_at(self._journal, record, self._offset(row))
        self.records[row] = np.frombuffer(record, RECORD)[0]
        self.done[row] = True

    def clear(self, row: int) -> None:
        """Notes that a row is not whole any more; what it was stays in `records`."""
        write_at(self._journal, bytes(RECORD.itemsize), self._offset(row))
        self.done[row] = False

    def forget(self, rows: np.ndarray) -> None:
        """Gives the room of some pictures back to the disk, and to the system's cache of it.

        What is written next takes their place, so that the scratch files and the datasets together
        are never much larger than one of them.
        """
        length = self._picture_bytes
        if length >= PUNCHED_FROM:
            for row in rows.tolist():
                self.clear(row)
                if not _punch_hole(self.pixels, row * length, length):
                    return

    def _offset(self, row: int) -> int:
        return KEY_BYTES + row * RECORD.itemsize

    def _open(self, flags: int) -> list[int]:
        files = []
        for name in self._lengths:
            files.append(os.open(self._folder / name, os.O_RDWR | flags, 0o600))
            self._opened.callback(os.close, files[-1])
        self.pixels, self.thumbnails, self._journal = files
        with suppress(OSError):  # a file system without locks
            # Workers inherit the lock; so do maps of the file, hence it is not left to closing.
            fcntl.flock(self.pixels, fcntl.LOCK_EX)
            self._opened.callback(fcntl.flock, self.pixels, fcntl.LOCK_UN)
        return files

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700)
        files = self._open(os.O_CREAT | os.O_EXCL)
        for file, length in zip(files, self._lengths.values(), strict=True):
            os.truncate(file, length)
        write_at(self._journal, self._key, 0)

    def _reopen(self) -> bool:
        try:
            lengths = [os.fstat(file).st_size for file in self._open(0)]
            key = os.pread(self._journal, KEY_BYTES, 0)
            if lengths != list(self._lengths.values()) or key != self._key:
                return False
            found = np.fromfile(self._folder / "journal", RECORD, offset=KEY_BYTES)
        except OSError:
            return False
        content, length = found.view(np.uint8).data, RECORD.itemsize
        checks = (_check(row, content[row * length :][:length]) for row in range(len(found)))
        self.done = found["check"] == np.fromiter(checks, np.uint32, len(found))
        self.records[self.done] = found[self.done]
        return True

    def _remove(self) -> None:
        self._opened.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _punch_hole(file: int, offset: int, length: int) -> bool:
    """Calls Linux's fallocate; returns False where the system or the file system lacks it."""
    try:
        fallocate = ctypes.CDLL(None).fallocate
    except (AttributeError, OSError):
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return fallocate(file, PUNCH_HOLE | KEEP_SIZE, offset, length) == 0
