"""Two threads that use the same stream in step."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AHEAD = 2  # items that one reader may be ahead of the other


class Stopped(Exception):
    """The other thread has failed."""


class Twice:
    """An iterator's items for two readers, each item made once and a few kept at most."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._kept: tuple[deque[Any], deque[Any]] = deque(), deque()
        self._ended = self._stopped = False
        self._changed = threading.Condition()

    def items(self, side: int) -> Iterator[Any]:
        """Yields all items to reader 0 or 1.

        Raises
        ------
        Stopped
            Once `stop` was called.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_ready(side))
                if self._stopped:
                    raise Stopped
                if not self._kept[side] and not self._ended:
                    self._make()
                if not self._kept[side]:
                    return
                item = self._kept[side].popleft()
                self._changed.notify_all()
            yield item

    def stop(self) -> None:
        """Makes both readers leave."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _is_ready(self, side: int) -> bool:
        other = self._kept[1 - side]
        return bool(self._stopped or self._ended or self._kept[side] or len(other) < AHEAD)

    def _make(self) -> None:
        for item in self._source:
            for kept in self._kept:
                kept.append(item)
            return
        self._ended = True


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
