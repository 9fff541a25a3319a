"""Finished spectrograms, a file each, that outlive a create_spectrograms that is broken off.

They lie in a hidden folder beside the dataset. A file's name is a digest of all that it depends on:
the parameters, the recording's path, size and time, and this very start of the computer (what one
keeps that goes down is in no order). It gets that name when it is whole, so what has one is whole,
whenever the process is killed, and other recordings or parameters take nothing that isn't theirs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import scipy
import soundfile

from common.errors import CommandError
from datasets.analyse import HEADER
from datasets.spectra import Parameters

VERSION = 1  # of the files and of how they are made
WORTH_KEEPING = 5.0  # seconds of work; what took less is removed at Ctrl-C
STEP = 4 * 2**20  # bytes that are read at once
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def folder_of(out_file: Path) -> Path:
    """Returns the folder in which the spectrograms of `out_file` are kept until it is written."""
    return out_file.with_name(f".{out_file.name}.create_spectrograms.partial")


class Scratch:
    """The folder; used in a `with` statement, at whose end it is removed.

    It is kept where that was broken off by Ctrl-C or an error, unless all that is in it was made in
    less than `WORTH_KEEPING` seconds; a sentence says so.

    Raises
    ------
    CommandError
        Where another process is writing the same file.
    OSError
        Where the system refuses to write.
    """

    def __init__(self, out_file: Path, parameters: Parameters) -> None:
        self.folder = folder_of(out_file)
        self._out_file = out_file
        self._frame_bytes = 4 * parameters.num_bands
        try:
            boot: object = BOOT_ID.read_text()
        except OSError:
            boot = os.urandom(32)  # nothing is like it
        versions = VERSION, scipy.__version__, soundfile.__libsndfile_version__
        self._settings = repr((versions, boot, parameters.plain())).encode()

    def __enter__(self) -> Scratch:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._handle = os.open(self.folder, os.O_RDONLY)
        try:
            self._lock()
            seconds = 0.0 if any(self.folder.iterdir()) else WORTH_KEEPING
            self._worth_keeping = time.monotonic() + seconds
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and time.monotonic() >= self._worth_keeping:
            print(
                f"\nWhat is finished is kept in {self.folder}: the same command goes on with it, "
                "and removing that folder frees the room.",
                file=sys.stderr,
            )
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            if kind is KeyboardInterrupt:
                print(
                    f"\nNothing is kept, as it took less than {WORTH_KEEPING:g} seconds.",
                    file=sys.stderr,
                )
        os.close(self._handle)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = self.folder.stat().st_ino == os.fstat(self._handle).st_ino
        except (BlockingIOError, FileNotFoundError):  # it was removed by who had the lock
            there = False
        except OSError:  # a file system without locks
            there = True
        if not there:
            raise CommandError(
                f"Another create_spectrograms is writing {self._out_file}; wait for its end, or "
                "choose another name."
            )

    def name_of(self, path: str, source: os.stat_result) -> str:
        """Returns the name of a recording's spectrogram; `source` is of before it was read."""
        stamp = f"\0{source.st_size}\0{source.st_mtime_ns}".encode()
        digest = hashlib.blake2b(self._settings, digest_size=16)
        digest.update(b"\0" + os.fsencode(os.path.realpath(path)) + stamp)
        return digest.hexdigest()

    def header(self, name: str) -> np.void | None:
        """Returns the header of a spectrogram, or None where there is none that is whole."""
        with suppress(OSError), (self.folder / name).open("rb") as file:
            content = file.read(HEADER.itemsize)
            if len(content) == HEADER.itemsize:
                header = np.frombuffer(content, HEADER)[0]
                size = HEADER.itemsize + int(header["num_frames"]) * self._frame_bytes
                return header if os.fstat(file.fileno()).st_size == size else None
        return None

    def blocks(self, name: str, num_bands: int) -> Iterator[np.ndarray]:
        """Yields a spectrogram, (frames, bands), some megabytes at a time."""
        count = max(1, STEP // (4 * num_bands)) * num_bands
        with (self.folder / name).open("rb") as file:
            file.seek(HEADER.itemsize)
            while len(values := np.fromfile(file, np.float32, count)):
                yield values.reshape(-1, num_bands)
