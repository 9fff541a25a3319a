"""Signals that end a training between two batches, and not in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTICE = "\n{name}: the run stops after this batch; Ctrl-C stops it at once\n"
NOTICE_OF_CTRL_C = "\nCtrl-C: the run stops after this batch; Ctrl-C once more stops it at once\n"


class StopSignals:
    """Notes the first signal that asks to stop.

    Attributes
    ----------
    received : signal.SIGINT, signal.SIGTERM, signal.SIGHUP or None
        What was received first.
    """

    def __init__(self, *, told: bool = True) -> None:
        self.received: int | None = None
        self._told = told

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Handles a signal: tells of the first; a Ctrl-C after it raises KeyboardInterrupt."""
        if self.received is None:
            self.received = number
            if self._told:
                notice = NOTICE_OF_CTRL_C if number == signal.SIGINT else NOTICE
                tell(notice.format(name=signal.Signals(number).name))
        elif number == signal.SIGINT:
            raise KeyboardInterrupt


@contextmanager
def stop_signals(*, told: bool = True) -> Iterator[StopSignals]:
    """Notes SIGINT (Ctrl-C), SIGTERM and SIGHUP (a terminal was closed) for as long as it lasts.

    Where `told`, a line on standard error says so: of several processes one tells.

    A signal that the process ignores stays ignored (nohup does so with SIGHUP, a shell with the
    Ctrl-C of jobs in the background), and outside the main thread, where Python allows no handlers,
    nothing changes.
    """
    signals = StopSignals(told=told)
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in STOPPING}
        ignored = (signal.SIG_IGN, None)  # None: a handler that is not Python's
        before = {number: handler for number, handler in handlers.items() if handler not in ignored}
    try:
        for number in before:
            signal.signal(number, signals.note)
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tell(text: str) -> None:
    """Writes to standard error past Python's buffers, which a signal may have interrupted.

    A terminal that has gone is no reason to lose the snapshot.
    """
    with suppress(OSError):
        os.write(2, text.encode())
