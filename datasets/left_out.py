"""The list of files that were left out, each with the reason, and how an earlier one is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from common.errors import CommandError

NUM_SHOWN = 10
REASON = re.compile(r"""(['"]).+\1: .+\n""")  # a line of the list


def text_of(reasons: Mapping[str, str]) -> str:
    """Returns the list: a line for each file, in ASCII, its path and the reason."""
    return "".join(f"{path!a}: {reason}\n" for path, reason in reasons.items())


def begins_with(file: Path, line: re.Pattern[str]) -> bool:
    """Returns whether it is a file, and its first line is of this form."""
    with suppress(OSError):
        if file.is_file():  # opening a named pipe would wait for ever
            with file.open(encoding="utf-8", errors="replace") as lines:
                return line.fullmatch(lines.readline()) is not None
    return False


def refuse_if(strict: bool, path: str, reason: str) -> None:
    """Raises CommandError for a picture that can't be used, if `strict`."""
    if strict:
        raise CommandError(
            f"The picture {path!a} can't be used: {reason}; repair or remove it, or leave out "
            "--strict to go on without such pictures."
        )


def other_lines(others: Sequence[str], what: str) -> Iterator[str]:
    """Yields what a person is told of files that are no `what`, as "picture in a folder"."""
    if others:
        yield f"Left out, being no {what}: {len(others):,}."
        yield f"  {', '.join(others[:NUM_SHOWN])}{', ...' if len(others) > NUM_SHOWN else ''}"


def unusable_lines(reasons: Mapping[str, str], why: str, report: Path | None) -> Iterator[str]:
    """Yields what a person is told of files that can't be used, of which `report` is the list."""
    if reasons:
        yield f"Left out, {why}: {len(reasons):,}."
        for path, reason in list(reasons.items())[:NUM_SHOWN]:
            yield f"  {path!a}: {reason}"
        if len(reasons) > NUM_SHOWN:
            yield f"  ... all of them are listed in {report}"
