"""Processes that start at once: forked off one that has imported everything.

Importing PyTorch takes seconds, and some tests kill and start run_experiment again and again.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.paths import ROOT

TIMEOUT = 120.0  # seconds


class Forked:
    """A process that a `Zygote` has started.

    Attributes
    ----------
    pid : its number.
    status : its exit status, negative where a signal ended it; None before `wait`.
    """

    def __init__(self, zygote: Zygote, pid: int, files: list[Path]) -> None:
        self.pid = pid
        self.status: int | None = None
        self._zygote = zygote
        self._files = files

    def is_running(self) -> bool:
        """Whether it has not ended yet; sets `status`."""
        with self._zygote.lock:
            if self.status is None:
                self.status = self._zygote.ask(ended=self.pid)
            return self.status is None

    def wait(self) -> int:
        """Waits for its end and returns its status."""
        self.until(lambda: not self.is_running())
        assert self.status is not None
        return self.status

    def until(self, condition: Callable[[], Any]) -> None:
        """Waits until a condition holds or it has ended."""
        end = time.monotonic() + TIMEOUT
        while self.is_running() and not condition():
            assert time.monotonic() < end, f"it takes too long: {self.output}{self.errors}"
            time.sleep(0.002)

    def signal(self, number: int) -> None:
        """Sends a signal, while it runs."""
        assert self.is_running(), f"it has ended: {self.output}{self.errors}"
        os.kill(self.pid, number)

    @property
    def output(self) -> str:
        """What it wrote to standard output."""
        return self._files[0].read_text()

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._files[1].read_text()


class Zygote:
    """A process that has imported what run_experiment needs, and forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forking"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = 0
        self.lock = threading.Lock()  # a test's threads may ask of one process at once

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(
        self, code: str, memory: int = 0, variables: Mapping[str, str] = MappingProxyType({})
    ) -> Forked:
        """Executes Python code in a process of its own, in the present folder.

        Parameters
        ----------
        memory : int
            Bytes that it may take on top of what the imports took; 0 = no limit.
        variables : mapping
            Of the environment, more than the present ones.
        """
        self._count += 1
        files = [Path.cwd() / f"{self._count}.{name}" for name in ("out", "err")]
        names = [str(file) for file in files]
        pid = self.ask(
            code=code, folder=str(Path.cwd()), files=names, memory=memory, variables=dict(variables)
        )
        return Forked(self, pid, files)

    def run_experiment(self, *arguments: str | Path, **limits: Any) -> Forked:
        """Starts `python manage.py run_experiment` with arguments."""
        line = ["run_experiment", *map(str, arguments)]
        return self.start(
            f"import sys; from commands import main; sys.exit(main({line!r}))", **limits
        )

    def close(self) -> None:
        """Ends it; what it has started must have ended."""
        self._process.communicate()


def _serve() -> None:
    for name in ("results.experiment_run", "commands.run_experiment", "matplotlib.pyplot", "tyro"):
        importlib.import_module(name)
    importlib.import_module("torch._dynamo")  # every optimizer imports it

    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                _become(**request)
                exec(compile(request["code"], "code", "exec"), {"__name__": "__main__"})
                sys.exit()
        print(json.dumps(answer), flush=True)


def _become(
    code: str, folder: str, files: list[str], memory: int, variables: dict[str, str]
) -> None:
    os.chdir(folder)
    os.environ.update(variables)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in enumerate([os.devnull, *files]):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(name, flags), number)
    if memory:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _serve()
