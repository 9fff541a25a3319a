"""The list of files that were left out, each with the reason, and how an earlier one is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from common.errors import CommandError

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
