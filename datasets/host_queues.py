"""Hands links to threads: few at a time of each host, later what is to be tried again."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from datasets.links import Link


@dataclass(slots=True)
class Task:
    """A link and what has been done for it.

    Parameters
    ----------
    link : Link
        The link.
    attempts : int
        Those that failed.
    seconds : float
        That the attempts took.
    """

    link: Link
    attempts: int = 0
    seconds: float = 0.0


class HostQueues:
    """The tasks that are left, by host; a thread never sleeps on one while another is due.

    Parameters
    ----------
    links : iterable of Link
        What to fetch.
    per_host : int
        Tasks of one host that may be under way at once.
    """

    def __init__(self, links: Iterable[Link], per_host: int) -> None:
        self._changed = threading.Condition()
        self._per_host = per_host
        self._queues: defaultdict[str, deque[Task]] = defaultdict(deque)
        for link in links:
            self._queues[link.host].append(Task(link))
        self._left = sum(map(len, self._queues.values()))
        self._ready = deque(self._queues)  # hosts with a task that may start, each once
        self._is_ready = set(self._ready)
        self._busy: Counter[str] = Counter()
        self._paused: dict[str, float] = {}
        self._later: list[tuple[float, int, str, Task | None]] = []
        self._order = itertools.count()
        self.stopped = False

    def take(self) -> Task | None:
        """Waits for a task that is due and returns it; None when all are done, or after `stop`."""
        with self._changed:
            while self._left and not self.stopped:
                self._wake()
                if self._ready:
                    host = self._ready.popleft()
                    self._is_ready.discard(host)
                    if self._paused.get(host, 0) > time.monotonic():
                        continue  # it is offered again when its rest is over
                    self._busy[host] += 1
                    task = self._queues[host].popleft()
                    self._offer(host)
                    return task
                wait = self._later[0][0] - time.monotonic() if self._later else None
                self._changed.wait(wait)
            return None

    def done(self, task: Task) -> None:
        """Ends a task that was taken."""
        with self._changed:
            self._left -= 1
            self._release(task.link.host)
            if not self._left:
                self._changed.notify_all()

    def later(self, task: Task, seconds: float, whole_host: bool = False) -> None:
        """Puts back a task that was taken, for in `seconds`; till then the host may rest too."""
        host, due = task.link.host, time.monotonic() + seconds
        with self._changed:
            if whole_host:
                self._paused[host] = max(due, self._paused.get(host, 0))
                heapq.heappush(self._later, (due, next(self._order), host, None))
            heapq.heappush(self._later, (due, next(self._order), host, task))
            self._release(host)
            self._changed.notify()  # whoever waits may have to wake earlier now

    def stop(self) -> None:
        """Lets every thread end: there are no more tasks."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def _release(self, host: str) -> None:
        self._busy[host] -= 1
        self._offer(host)

    def _wake(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, host, task = heapq.heappop(self._later)
            if task is not None:
                self._queues[host].append(task)
            self._offer(host)

    def _offer(self, host: str) -> None:
        if (
            self._queues[host]
            and host not in self._is_ready
            and self._busy[host] < self._per_host
            and self._paused.get(host, 0) <= time.monotonic()
        ):
            self._ready.append(host)
            self._is_ready.add(host)
            self._changed.notify()
