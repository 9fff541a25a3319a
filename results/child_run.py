"""A run_experiment in a process of its own, with its output in a log in the run's folder."""

from __future__ import annotations

import os
import re
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
from common.lock import lock
from results.run_folder import RunFolder
from training.endings import Diverged
from training.experiment import Experiment
from training.records import EpochRecord
from training.snapshot_folder import newest_snapshot

DIVERGED = Diverged.status  # run_experiment's exit status
MANAGE = Path(__file__).parents[1] / "manage.py"
LOG = "log.txt"
PROMPT = "$ python manage.py "  # before each process's command line in the log
TOLD = re.compile(r"^manage\.py: (?!warning: )(.*)", re.MULTILINE)
GRACE = 120.0  # seconds for a process to end by itself, with a snapshot


class ChildRun:
    """A run in its folder, from before its process begins until that has ended.

    Attributes
    ----------
    run : the run's folder; it also holds the log.
    """

    def __init__(self, folder: Path) -> None:
        self.run = RunFolder(folder)
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
        """Locks the log; False where a process is left that still writes to it.

        It is ending, as the one that had started it was killed.
        """
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

    def go_on_or_begin(
        self, arguments: Sequence[str], experiment: Experiment, environment: dict[str, str]
    ) -> None:
        """Starts a run that goes on from the folder's newest snapshot, else begins anew.

        Parameters
        ----------
        arguments : sequence of str
            Of a new run, without its folder.
        experiment : Experiment
            Says on what device, or on how many, it goes on.
        environment : dict
            Variables beside this process's own.
        """
        folder = str(self.run.path)
        if self.can_go_on:
            arguments = ["--resume", folder, "--device", experiment.device]
            arguments += ["--num-devices", str(experiment.num_devices)]
        else:
            for name in ("metrics.csv", "results.json"):
                (self.run.path / name).unlink(missing_ok=True)
            arguments = [*arguments, "--out-dir", folder]
        self.start(arguments, environment)

    def start(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Starts run_experiment's process, which inherits the lock and ends with this one.

        `environment` are variables beside this process's own.
        """
        assert self._log is not None
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

    def reason(self, status: int) -> str:
        """Returns the sentence that the process ended with, or the last line of its log."""
        return reason_of(self.run.path / LOG, status)

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


def signal_of(status: int) -> int:
    """Returns the signal that ended a process, which may have told so by 128 + its number; or 0."""
    return -status if status < 0 else max(0, status - 128)


def reason_of(log: Path, status: int) -> str:
    """Returns the sentence that a run ended with, or the last line of its log."""
    if status == 0:
        return "it ended before its first epoch did"
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, as the system does where memory ends"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    text = text.rpartition(f"\n{PROMPT}")[2]  # of the last process
    told = TOLD.findall(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if told:
        return str(told[-1])
    return lines[-1].strip() if lines else f"exit status {status}"
