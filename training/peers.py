"""What the processes that train together know of one another: who has died, and who tells of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from torch import distributed

from common.errors import CommandError

TIMEOUT = timedelta(minutes=10)  # one process may write a snapshot while the others wait
LOOKING = 1.0  # seconds in which a process whose connections broke is expected to be gone
PATIENCE = timedelta(seconds=10)  # in which the first process is expected to meet the same error


class PeerLost(CommandError):
    """Another process of the group has died, or does not answer."""


class Peers:
    """The other processes of a group, over the store that torchrun or `launch` keeps.

    Parameters
    ----------
    store : torch.distributed.Store
        The same for all of them.
    rank, size : int
        This process's, and how many there are.

    Attributes
    ----------
    run : Path, optional
        The folder that they train into, as far as this process knows it.
    """

    def __init__(self, store: distributed.Store, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.run: Path | None = None
        self._store = distributed.PrefixStore("peers", store)
        self._host = socket.gethostname()
        self._store.set(f"process/{rank}", f"{self._host} {os.getpid()}")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raises PeerLost where an exchange with the others fails.

        With gloo it fails at once when another process dies, and after `TIMEOUT` when one hangs.
        From then on a SIGTERM, which torchrun sends to all that are left, ends nothing.
        """
        try:
            yield
        except RuntimeError as error:
            if not (isinstance(error, distributed.DistError) or "/gloo/" in str(error)):
                raise
            _outlive_sigterm()
            _unblock_gpu()
            raise PeerLost(self._sentence()) from error

    @contextmanager
    def speaking_once(self) -> Iterator[None]:
        """Lets one process tell of an error that several have; the others end with its status.

        The first process tells where it has the error too. The others wait for it at an end that
        all reach together, as torchrun would end what it still writes.
        """
        try:
            yield
            self._await_first()
        except KeyboardInterrupt:
            if not self.rank:
                raise
            self._await_first()
            raise SystemExit(128 + signal.SIGINT) from None
        except Exception as error:
            if not self._is_to_tell(error):
                raise SystemExit(getattr(error, "status", 1)) from None
            raise
        finally:
            if not self.rank:
                with suppress(distributed.DistError):
                    self._store.set("ended", "")

    def _await_first(self) -> None:
        if self.rank:
            with suppress(distributed.DistError):
                self._store.wait(["ended"], TIMEOUT)

    def _is_to_tell(self, error: Exception) -> bool:
        lost = isinstance(error, PeerLost)  # each may have seen others die
        key = "told/PeerLost" if lost else f"told/{error!r}"
        if self.rank and not lost:
            with suppress(distributed.DistError):
                self._store.wait([key], PATIENCE)
        try:
            alone = self._store.add(key, 1) == 1
        except distributed.DistError:
            alone = True
        if alone:
            _outlive_sigterm()
        return alone

    def _sentence(self) -> str:
        lost = [f"{rank + 1}" for rank in self._lost()]
        number = f"{self.size} that train together"
        if not lost:
            what = f"A process of the {number} has died or does not answer"
        elif len(lost) == 1:
            what = f"Process {lost[0]} of the {number} has died"
        else:
            what = f"Processes {', '.join(lost[:-1])} and {lost[-1]} of the {number} have died"
        advice = f"Go on with --resume {self.run or 'RUN'}."
        return f"{what}; what it told, if anything, stands above. {advice}"

    def _lost(self) -> list[int]:
        """Returns the ranks of this machine's processes that have died, but not of losing another.

        It waits a little for the first, whose connections are closed before it has ended.
        """
        lost: list[int] = []
        with suppress(distributed.DistError):
            self._store.set(f"survived/{self.rank}", "")
            others = [rank for rank in range(self.size) if rank != self.rank]
            known = [rank for rank in others if self._store.check([f"process/{rank}"])]
            processes = {rank: self._store.get(f"process/{rank}").decode() for rank in known}
            end = time.monotonic() + LOOKING
            while not lost and time.monotonic() < end:
                time.sleep(0.02)
                lost = [
                    rank
                    for rank, process in processes.items()
                    if self._has_ended(process) and not self._store.check([f"survived/{rank}"])
                ]
        return lost

    def _has_ended(self, process: str) -> bool:
        host, _, number = process.rpartition(" ")
        if host != self._host:
            return False
        try:
            status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return True
        return status.rpartition(")")[2].split()[0] in "ZX"


def _outlive_sigterm() -> None:
    """Lets a process that ends anyway write and tell the last, when others have ended before."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _unblock_gpu() -> None:
    """Ends what a GPU computes together with the one that is lost, so that it can be read again."""
    world = distributed.group.WORLD
    if world and distributed.get_backend(world) != distributed.Backend.GLOO:
        with suppress(RuntimeError):
            world.abort()
