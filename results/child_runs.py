"""Several runs, each in a process of its own, until there are no more or something ends them."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from results.child_run import ChildRun
from training.endings import Terminated
from training.stop_signals import StopSignals, tell

LOOK_EVERY = 0.05  # seconds
NOTICE = "\n{name}: the {what} stop after their batch; Ctrl-C {again}stops them at once\n"


class ChildRuns(ABC):
    """Keeps places filled with runs.

    Attributes
    ----------
    problem : why it ended early, empty where it did not.
    """

    what = "runs"

    def __init__(self) -> None:
        self.problem = ""
        self._running: dict[int, Any] = {}  # by their place
        self._waiting: list[Any] = []  # what is to be run yet and known already

    def run(self, signals: StopSignals) -> None:
        """Runs until there are no more, a signal was received, or there is a problem.

        Whatever ends it, the runs under way end after their batch, with a snapshot; a second Ctrl-C
        kills them.
        """
        try:
            self._run(signals)
        except Exception:  # the disk is full, say, or what reads the output has gone
            self._stop_all()
            while any(child.is_running for child in self._children()):
                time.sleep(LOOK_EVERY)
            raise
        finally:
            for child in self._children():
                child.kill()

    def _run(self, signals: StopSignals) -> None:
        ending = False
        while True:
            if not ending and (self.problem or signals.received is not None):
                ending = True
                self._stop_all()
                if signals.received is not None:
                    self._tell_of(signals.received)
            if not ending:
                self._fill()
            if not self._running and (ending or not self._waiting):
                return
            before = len(self._running)
            for place in list(self._running):
                self._look(place, ending)
            if len(self._running) == before:
                time.sleep(LOOK_EVERY)

    @abstractmethod
    def _children(self) -> Iterable[ChildRun]:
        """Returns the runs that have a place."""

    @abstractmethod
    def _fill(self) -> None:
        """Gives the free places to runs."""

    @abstractmethod
    def _look(self, place: int, ending: bool) -> None:
        """Sees to the run of a place, which it takes out where it has ended."""

    def _stop_all(self) -> None:
        """Asks all runs to end after their batch."""
        for child in self._children():
            child.stop()

    def _tell_of(self, number: int) -> None:
        again = "once more " if number == signal.SIGINT else ""
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        tell(NOTICE.format(name=name, what=self.what, again=again))


def ending_by(number: int, what: str) -> BaseException:
    """Returns what is raised where a signal has ended `what`, as "search"."""
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    ending = Terminated(f"The {what} was asked to end by {signal.Signals(number).name}.")
    ending.status = 128 + number
    return ending
