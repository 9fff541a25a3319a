"""Checksums of files that are fetched, as they were published."""

from __future__ import annotations

import hashlib
from pathlib import Path


def has_checksum(path: Path, checksum: str) -> bool:
    """Returns whether a file has the checksum that was published.

    Parameters
    ----------
    path : Path
    checksum : str
        '<algorithm>:<hex digits>', where the first digits are enough; "" where none is known, which
        every file has.
    """
    algorithm, _, digits = checksum.partition(":")
    return not digits or digest(path, algorithm).startswith(digits)


def digest(path: Path, algorithm: str) -> str:
    """Returns a file's checksum in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
