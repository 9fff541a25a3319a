"""Python programs that end with the process that starts them, however that ends.

A pipe from the starter is their standard input: it ends with the starter, and the program gets a
SIGTERM then. This file, run with a program and its arguments, is what watches the pipe.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def start_child(program: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a program, in a session of its own: a terminal's Ctrl-C comes through the starter.

    Parameters
    ----------
    program : sequence of str
        The program's file and its arguments.
    **options
        More for subprocess.Popen.

    Returns
    -------
    subprocess.Popen
        The process; `close_pipe` belongs to its end.
    """
    command = [sys.executable, "-P", __file__, *program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **options)


def close_pipe(process: subprocess.Popen[bytes]) -> None:
    """Closes the pipe to a program, which ends a program that still runs."""
    if process.stdin:
        process.stdin.close()


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def under_torchrun() -> bool:
    """Tells whether this process was started as one of a group, by torchrun or as it does."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
