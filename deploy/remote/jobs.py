"""Jobs: commands that survive the connection, each with a folder for its output and its end.

A job is run by a supervisor. Both hold a lock on the job's folder for as long as one of them lives:
that, and no process number, tells whether a job runs, also after the machine was started anew.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from deploy.remote.base import (
    ASSIGNMENT,
    CURRENT,
    JOBS,
    PACKAGES,
    Refused,
    is_whole,
    read_json,
    write_whole,
)

POLL = 0.2  # seconds between two looks at a job's output


def start(arguments: list[str]) -> int:
    """Starts `manage.py` with arguments, which no shell sees; returns the job's number.

    Arguments before the command's name, as in NAME=value, are environment variables. Raises Refused
    where nothing is deployed.
    """
    version = CURRENT.resolve()
    environment = (version / PACKAGES).resolve()
    if not (version / "manage.py").is_file() or not is_whole(environment):
        raise Refused("Nothing is deployed there yet; 'fab deploy' does it.")
    number = _new_number()
    about = {
        "arguments": arguments,
        "version": str(version),
        "environment": str(environment),
        "started": time.time(),
    }
    write_whole(JOBS / str(number) / "job.json", about)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _become_supervisor(number, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    if told != "started":
        raise Refused(f"The job could not be started: {told or 'its supervisor died'}.")
    return number


def follow(number: int, offset: int) -> Iterator[Any]:
    """Yields first None, then a job's output from an offset in bytes, until its end.

    It ends as well when standard input does: then the connection was closed.
    """
    folder = _folder(number)
    yield None
    with (folder / "output.log").open("rb") as output:
        output.seek(offset)
        while True:
            running = is_running(number)
            while chunk := output.read(1 << 16):
                yield chunk
            if not running:
                return
            closed, _, _ = select.select([sys.stdin], [], [], POLL)
            if closed and not os.read(0, 1 << 16):
                return


def listing() -> list[dict[str, Any]]:
    """Returns every job's number, arguments, version, start, end, exit status and state."""
    return [state(number) for number in _numbers()]


def state(number: int) -> dict[str, Any]:
    """Returns what is known of a job; `state` is running, finished, failed, stopped or lost.

    Lost: it ended without a word, as when the machine was turned off.
    """
    folder = _folder(number)
    running = is_running(number)
    about = read_json(folder / "job.json") or {}
    end = read_json(folder / "end.json")
    if running:
        word = "running"
    elif end is None:
        word = "lost"
    else:
        stopped = end["status"] in (130, 143, 128 + signal.SIGTERM)
        word = "finished" if end["status"] == 0 else "stopped" if stopped else "failed"
    output = folder / "output.log"
    size = output.stat().st_size if output.is_file() else 0
    ended = {} if running else end or {}
    known = {"number": number, "state": word, "output": size, "now": time.time()}
    unknown = {"arguments": [], "version": "", "environment": "", "started": 0}
    return unknown | about | ended | known


def stop(number: int) -> None:
    """Sends a job's process SIGTERM, at which run_experiment writes a snapshot and ends.

    Raises Refused where it does not run.
    """
    process = read_json(_folder(number) / "process.json")
    if not is_running(number) or process is None:
        raise Refused(f"Job {number} is not running: it is {state(number)['state']}.")
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, signal.SIGTERM)


def is_running(number: int) -> bool:
    """Tells whether a job's process or its supervisor lives."""
    try:
        with (JOBS / str(number) / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def running() -> list[dict[str, Any]]:
    """Returns the jobs that run, as `listing` does."""
    return [job for job in listing() if job["state"] == "running"]


def _numbers() -> list[int]:
    folders = JOBS.iterdir() if JOBS.is_dir() else iter(())
    return sorted(int(folder.name) for folder in folders if folder.name.isdigit())


def _new_number() -> int:
    """Makes the folder of a new job; two that start at once get two."""
    JOBS.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(), default=0)
    while True:
        number += 1
        try:
            (JOBS / str(number)).mkdir()
        except FileExistsError:
            continue
        return number


def _folder(number: int) -> Path:
    folder = JOBS / str(number)
    if not folder.is_dir():
        there = ", ".join(map(str, _numbers())) or "none"
        raise Refused(f"There is no job {number}; there are: {there}.")
    return folder


def _become_supervisor(number: int, told: int) -> NoReturn:
    """Leaves the connection's session, runs the job to its end, and writes how it ended."""
    status = 1
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        folder = JOBS / str(number)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        output = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number_of_file, target in enumerate((nothing, output, output)):
            os.dup2(target, number_of_file)
        status = _supervise(folder, lock, told)
    except BaseException as error:
        os.write(told, str(error).encode())
    finally:
        os._exit(status)


def _supervise(folder: Path, lock: int, told: int) -> int:
    job = read_json(folder / "job.json")
    command = list(job["arguments"])
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    while given := ASSIGNMENT.fullmatch(command[0]):
        environment[given[1]] = given[2]
        del command[0]
    process = subprocess.Popen(
        [f"{job['environment']}/bin/python", "manage.py", *command], cwd=job["version"],
        env=environment, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=(lock,),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # that of a shutdown; the end is to be written
    write_whole(folder / "process.json", process.pid)
    os.write(told, b"started")
    os.close(told)
    code = process.wait()
    with suppress(ProcessLookupError):  # what it has left behind
        os.killpg(process.pid, signal.SIGTERM)
    status = code if code >= 0 else 128 - code
    write_whole(folder / "end.json", {"status": status, "ended": time.time()})
    return 0
