"""Threads that work on the same stream in step: one makes its items, two use them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AHEAD = 2  # items that a reader may be behind what is made


class Stopped(Exception):
    """Another thread has failed."""


class Twice:
    """An iterator's items for two readers, each item made once and a few kept at most."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._kept: tuple[deque[Any], deque[Any]] = deque(), deque()
        self._ended = self._stopped = False
        self._changed = threading.Condition()

    def make(self) -> None:
        """Makes all items, as the readers take them.

        Raises
        ------
        Stopped
            Once `stop` was called.
        """
        for item in self._source:
            with self._changed:
                self._wait_for(lambda: max(map(len, self._kept)) < AHEAD)
                for kept in self._kept:
                    kept.append(item)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def items(self, side: int) -> Iterator[Any]:
        """Yields all items to reader 0 or 1; raises as `make` does."""
        kept = self._kept[side]
        while True:
            with self._changed:
                self._wait_for(lambda: bool(kept) or self._ended)
                if not kept:
                    return
                item = kept.popleft()
                self._changed.notify_all()
            yield item

    def stop(self) -> None:
        """Makes all threads leave."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._stopped or condition())
        if self._stopped:
            raise Stopped


def run_together(jobs: Sequence[Callable[[], None]], stop: Callable[[], Any]) -> None:
    """Runs every job in a thread; where one fails, calls `stop` and raises what it raised."""

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException:
            stop()
            raise

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            errors = [error for future in futures if (error := future.exception())]
        except BaseException:  # Ctrl-C
            stop()
            raise
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
