"""Progress of long work: a bar with rate and time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG_EVERY = 30.0  # seconds between two lines where standard error is no terminal


@contextmanager
def progress(
    description: str, total: int, unit: str, *, shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Yields `advance(n)`, to be called as `n` more of `total` units are done.

    Everything goes to standard error, so that a command's output stays clean; nothing where not
    `shown`, as of several processes only one does.
    """
    if not shown:
        yield lambda n: None
        return
    show = _terminal if sys.stderr.isatty() else _log
    with show(description, total, unit) as advance:
        yield advance


@contextmanager
def _terminal(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    # What is printed meanwhile goes above the bar, but never out of a file that stdout goes to.
    redirect = sys.stdout.isatty()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as bar:
        task = bar.add_task(description, total=total, rate="")
        start, done = time.monotonic(), 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            bar.update(task, advance=n, rate=f"{_rate(done, start)} {unit}/s")

        yield advance


@contextmanager
def _log(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    start = last = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= LOG_EVERY and done < total:
            last = now
            left = (total - done) * (now - start) / done
            rate = _rate(done, start)
            line = f"{description}: {done} of {total}, {rate} {unit}/s, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    yield advance


def _rate(done: int, start: float) -> str:
    rate = done / max(time.monotonic() - start, 1e-9)
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"
