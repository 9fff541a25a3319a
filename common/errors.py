"""The one exception class for a user's mistake, and the sentence for a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class CommandError(Exception):
    """A mistake of the user's, told in one sentence: what was given, what is accepted, what to do.

    Many mistakes of one file are a list, one to a line, after a colon.

    Commands raise it and never exit; `manage.py` prints it without a traceback and exits with
    `status`.
    """

    status = 1


class UsageError(CommandError):
    """A command line that cannot be understood."""

    status = 2


def first_names(names: Sequence[str], most: int = 10) -> str:
    """Returns names for a sentence, "a, b, c", and of more than `most` how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def near_name(name: str, valid: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" where one of `valid` resembles `name`, else an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in valid}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[near[0]]}'?" if near else ""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Returns the sentence for a `name` that is none of the `valid` names of its `kind`."""
    names = sorted(valid)
    return f"Unknown {kind} '{name}'.{near_name(name, names)} Valid: {first_names(names, 50)}."
