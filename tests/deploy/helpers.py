"""What several of the tests do: wait, change a file for a while, look at runs."""

import csv
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "bandcamp-deep-learning"
FILES = f"{NAME}-files"


def until(condition, seconds=30.0):
    """Waits for a condition; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


@contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """Writes a file for as long as it lasts; then it is as it was."""
    before = file.read_text() if file.is_file() else None
    file.write_text(text)
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)


@contextmanager
def away(path: Path) -> Iterator[None]:
    """Takes a path away for as long as it lasts."""
    aside = path.rename(path.with_name(f"{path.name}-aside"))
    try:
        yield
    finally:
        aside.rename(path)


def epochs(file: Path) -> list[list[str]]:
    """The lines of metrics.csv without the times."""
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    timed = {"seconds", "images_per_second", "waiting_seconds", "copying_seconds"}
    return [[value for name, value in row.items() if name not in timed] for row in rows]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
