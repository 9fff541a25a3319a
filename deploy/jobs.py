"""Jobs on the machine, from this side: start, follow, list, stop."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Collection
from typing import Any

from common.errors import CommandError, UsageError, unknown_name
from deploy.machine import ConnectionLost, Machine, write
from deploy.remote.base import ASSIGNMENT


def parse_command(command: str, valid: Collection[str]) -> list[str]:
    """Splits a command as a shell would, without running any of it.

    Returns environment variables, as in NAME=value, and the words of a command of manage.py;
    `python manage.py` before them may be left out.

    Raises UsageError where it is empty, has an open quote, or names no command.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--command {command!r} can't be read: {error}.") from error
    variables = list(itertools.takewhile(ASSIGNMENT.fullmatch, words))
    words = words[len(variables) :]
    if "manage.py" in words[:2]:
        words = words[words.index("manage.py") + 1 :]
    if not words:
        raise UsageError('--command is empty; write --command "run_experiment --config FILE".')
    if words[0] not in valid:
        raise UsageError(unknown_name("command", words[0], valid))
    return [*variables, *words]


def run(machine: Machine, arguments: list[str]) -> int:
    """Starts a job and follows it to its end; returns its exit status."""
    number = machine.call("jobs", "start", arguments=arguments)
    print(f"job {number} on {machine.label}: {shlex.join(arguments)}")
    print(
        f"Ctrl-C leaves it running; '{machine.again} attach' comes back to it, 'stop' ends it\n",
        flush=True,
    )
    return follow(machine, number)


def attach(machine: Machine, number: int) -> int:
    """Shows a job's output from its beginning to its end; returns its exit status.

    `number` 0 is the newest job.
    """
    job = _newest(machine) if number == 0 else machine.call("jobs", "state", number=number)
    print(f"job {job['number']} on {machine.label}: {shlex.join(job['arguments'])}\n", flush=True)
    return follow(machine, job["number"])


def follow(machine: Machine, number: int, offset: int = 0) -> int:
    """Shows a job's output from an offset in bytes on, until its end; returns its exit status.

    Raises ConnectionLost, and KeyboardInterrupt after Ctrl-C; the job runs on.
    """
    back = f"{machine.again} attach --job {number}"
    try:
        with machine.stream("jobs", "follow", number=number, offset=offset) as read:
            while block := read(1 << 16):
                write(block)
    except ConnectionLost as error:
        raise ConnectionLost(f"{error} Job {number} runs on; '{back}' comes back to it.") from error
    except KeyboardInterrupt:
        print(f"\njob {number} runs on; '{back}' comes back to it", flush=True)
        raise
    job = machine.call("jobs", "state", number=number)
    print(f"\njob {number} {_end(job)}")
    return int(job.get("status", 1))


def show_jobs(machine: Machine) -> None:
    """Prints a line for each job."""
    jobs = machine.call("jobs", "listing")
    if not jobs:
        print(f"no jobs on {machine.label}; 'fab run --command …' starts one")
    for job in jobs:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(job["started"]))
        command = shlex.join(job["arguments"])
        print(f"{job['number']:>4}  {started}  {_end(job)}: {command}")


def stop(machine: Machine, number: int) -> None:
    """Sends a job SIGTERM and follows it to its end; `number` 0 is the only one that runs.

    Raises CommandError where none or several run.
    """
    if number == 0:
        running = [job for job in machine.call("jobs", "listing") if job["state"] == "running"]
        if len(running) != 1:
            there = ", ".join(str(job["number"]) for job in running)
            raise CommandError(
                f"Jobs {there} are running on {machine.label}; name one by --job."
                if running
                else f"No job is running on {machine.label}."
            )
        number = running[0]["number"]
    offset = machine.call("jobs", "state", number=number)["output"]
    machine.call("jobs", "stop", number=number)
    print(f"job {number} was sent SIGTERM; Ctrl-C leaves it to end by itself\n", flush=True)
    follow(machine, number, offset)


def _newest(machine: Machine) -> dict[str, Any]:
    jobs: list[dict[str, Any]] = machine.call("jobs", "listing")
    if not jobs:
        raise CommandError(f"There is no job on {machine.label}; 'fab run --command …' starts one.")
    return jobs[-1]


def _end(job: dict[str, Any]) -> str:
    """Returns how a job stands, for people."""
    if job["state"] == "running":
        return f"running for {_duration(job['now'] - job['started'])}"
    if job["state"] == "lost":
        return "lost: it ended without a word, as when the machine is turned off"
    after = f"after {_duration(job['ended'] - job['started'])}"
    match job["status"]:
        case 0:
            return f"finished {after}"
        case 137:
            return f"failed {after}: killed, most often because memory ran out"
        case status:
            return f"{job['state']} {after}, status {status}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{rest} s"
