"""One evaluation: a run_experiment in a process and a folder of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from common.child import close_pipe, start_child
from common.errors import CommandError
from common.files import cannot_write
from results.run_folder import RunFolder
from results.search.folder import lock
from results.search.outcome import LOG, PROMPT, Result
from training.records import EpochRecord
from training.snapshot_folder import newest_snapshot

MANAGE = Path(__file__).parents[2] / "manage.py"
GRACE = 120.0  # seconds for a process to end by itself, with a snapshot


class Evaluation:
    """A run in its folder, from before its process begins until that has ended.

    Attributes
    ----------
    run : the run's folder; it also holds the log.
    halved : its result where it was stopped early, else None.
    """

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder)
        self.halved: Result | None = None
        self._log: BinaryIO | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped_by = float("inf")
        self._metrics_size = 0

    @property
    def has_begun(self) -> bool:
        """Whether its process was started."""
        return self._process is not None

    @property
    def is_running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.has_begun and self.poll() is None

    @property
    def can_go_on(self) -> bool:
        """Whether there is a whole snapshot to go on from."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken ones, which the process tells of
            try:
                newest_snapshot(self.run.path)
            except CommandError:
                return False
        return True

    def take(self) -> bool:
        """Locks the log; False where a process of a search that was killed still writes to it."""
        path = self.run.path / LOG
        try:
            log = path.open("ab")
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            lock(log.fileno())
        except BlockingIOError:
            log.close()
            return False
        self._log = log
        return True

    def start(
        self, arguments: Sequence[str], num_devices: int, environment: dict[str, str]
    ) -> None:
        """Starts run_experiment's process, which inherits the lock and ends with this one.

        It goes on from the folder's newest snapshot where there is one, else it begins anew.

        Parameters
        ----------
        arguments : sequence of str
            Of a new run, without its folder.
        num_devices : int
            Its devices, which are the snapshot's too.
        environment : dict
            Variables beside this process's own.
        """
        assert self._log is not None
        folder = str(self.run.path)
        if self.can_go_on:
            arguments = ["--resume", folder, "--num-devices", str(num_devices)]
        else:
            for name in ("metrics.csv", "results.json"):
                (self.run.path / name).unlink(missing_ok=True)
            arguments = [*arguments, "--out-dir", folder]
        line = ["run_experiment", *arguments]
        self._log.write(f"{PROMPT}{shlex.join(line)}\n".encode())
        self._log.flush()
        self._process = start_child(
            [str(MANAGE), *line],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        )
        self.release()

    def release(self) -> None:
        """Lets go of the log; a process that was started keeps it locked."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def poll(self) -> int | None:
        """Returns the process's exit status, None while it runs."""
        if self._process is None:
            return None
        if time.monotonic() > self._stopped_by:
            self.kill()
        status = self._process.poll()
        if status is not None:
            close_pipe(self._process)
        return status

    def has_grown(self) -> bool:
        """Whether epochs were added to metrics.csv since the last call."""
        size = 0
        with suppress(OSError):
            size = (self.run.path / "metrics.csv").stat().st_size
        grown = size != self._metrics_size
        self._metrics_size = size
        return grown

    def records(self) -> list[EpochRecord]:
        """Returns the epochs so far."""
        return self.run.records()

    def stop(self) -> None:
        """Asks the run to end after its batch, with a snapshot; it must within `GRACE` seconds."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._stopped_by = min(self._stopped_by, time.monotonic() + GRACE)

    def kill(self) -> None:
        """Ends the process at once, where it still runs."""
        if self._process is not None:
            if self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            close_pipe(self._process)
        self.release()
