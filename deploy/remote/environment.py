"""Virtual environments, one for each Python, build of torch and requirements."""

from __future__ import annotations

import fcntl
import os
import select
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.remote import jobs
from deploy.remote.base import (
    ENVIRONMENTS,
    FILES,
    INSTALLED,
    PACKAGES,
    VERSIONS,
    Refused,
    free_space,
    is_whole,
    write_whole,
)

PIP = ["-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
HIDDEN = b"Requirement already satisfied"
INTERRUPTED = 10  # seconds in which an interrupted pip tidies up


def state(name: str) -> dict[str, Any]:
    """Returns an environment's folder and Python, whether it is whole or has torch at least."""
    folder = ENVIRONMENTS / name
    return {
        "folder": str(folder),
        "python": str(folder / "bin" / "python"),
        "whole": is_whole(folder) and _works(folder),
        "torch": any(folder.glob("lib/python*/site-packages/torch-*.dist-info")),
        "free": free_space(folder),
    }


@contextmanager
def alone() -> Iterator[int]:
    """Yields the file of a lock that one deployment holds at a time, to be handed on to programs.

    Raises Refused where another holds it.
    """
    FILES.mkdir(exist_ok=True)
    with (FILES / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("Another deployment is under way there; wait for its end.") from None
        yield lock.fileno()


def install(name: str, python: str, torch: str, index: str, requirements: str) -> Iterator[Any]:
    """Yields first None, then what venv and pip print, until the environment is whole.

    What a broken installation has left is gone on with. It ends with the connection.

    Raises Refused where another deployment is under way or a program fails.
    """
    folder = ENVIRONMENTS / name
    pip = [str(folder / "bin" / "python"), *PIP]
    with alone() as lock:
        yield None
        remove_unused(folder)
        if not _works(folder):
            yield from _output([python, "-m", "venv", "--clear", str(folder)], lock)
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
        yield from _output([*pip, "--index-url", index, f"torch=={torch}"], lock)
        yield from _output([*pip, "--requirement", str(folder / "requirements.txt")], lock)
        write_whole(folder / INSTALLED, {"torch": torch})


def remove_unused(*kept: Path) -> None:
    """Removes the environments that no version and no job runs in, less those to be kept."""
    versions = VERSIONS.iterdir() if VERSIONS.is_dir() else iter(())
    used = {
        *(folder.resolve() for folder in kept),
        *((version / PACKAGES).resolve() for version in versions),
    }
    used |= {Path(job["environment"]) for job in jobs.running()}
    for folder in ENVIRONMENTS.iterdir() if ENVIRONMENTS.is_dir() else ():
        if folder.resolve() not in used:
            shutil.rmtree(folder, ignore_errors=True)


def _works(folder: Path) -> bool:
    """Tells whether an environment's Python is there and has pip."""
    try:
        command = [str(folder / "bin" / "python"), "-c", "import pip"]
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _output(command: list[str], lock: int) -> Iterator[bytes]:
    """Yields what a program prints, in lines; interrupts it where standard input ends.

    It holds the lock too, and is in a process group of its own. Raises Refused where it fails.
    """
    rest = b""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, pass_fds=(lock,),
    ) as program:  # fmt: skip
        output = program.stdout.fileno()  # type: ignore[union-attr]
        try:
            while True:
                ready, _, _ = select.select([output, 0], [], [])
                if 0 in ready and not os.read(0, 1 << 16):
                    raise Refused("The connection was closed.")
                if output in ready:
                    chunk = os.read(output, 1 << 16)
                    if not chunk:
                        break
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield b"".join(line + b"\n" for line in lines if not line.startswith(HIDDEN))
        except BaseException:
            _interrupt(program)
            raise
    yield rest
    if program.returncode:
        raise Refused(
            f"'{shlex.join(command)}' failed with status {program.returncode}; its message is "
            "above. Deploy again when that is mended: what is installed stays."
        )


def _interrupt(program: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGINT)
        try:
            program.wait(INTERRUPTED)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
