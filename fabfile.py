"""Deploys to a machine with a GPU and runs experiments there: fab -H user@host -i KEY deploy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fabric import task
from fabric.main import program
from invoke.exceptions import Exit

from commands import names
from common.errors import CommandError
from deploy import deployment, transfer
from deploy import jobs as job_list
from deploy.machine import Machine, connected


def take_user(arguments: list[str]) -> str:
    """Takes `-u USER` or `--user USER`, which Fabric 3 has not, out of the arguments; returns it.

    Empty where it is not given. The original's command line is `fab -i KEY -H HOST -u USER deploy`.
    """
    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("-u", "--user"):
            end = index + (1 if equals else 2)
            user = value if equals else "".join(arguments[index + 1 : end])
            del arguments[index:end]
            return user
    return ""


USER = take_user(program.core.unparsed) if hasattr(program, "core") else ""


def on_machine(body: Callable[..., int | None]) -> Any:
    """Makes a task of a function of a connected machine; a CommandError ends it in one sentence."""

    @functools.wraps(body)
    def connect_and_do(connection: Any, *arguments: Any, **options: Any) -> None:
        try:
            with connected(connection, USER) as machine:
                status = body(machine, *arguments, **options)
        except CommandError as error:
            raise Exit(f"fab: {error}", code=error.status) from error
        except KeyboardInterrupt:
            raise Exit("fab: interrupted", code=130) from None
        if status:
            raise Exit(code=status)

    return connect_and_do


@task(
    help={
        "dirty": "send the working tree instead of the last commit",
        "skip-env-setup": "send the project alone: no packages, no environment",
        "python": "the Python there to make the environment of, in place of the first found",
    }
)
@on_machine
def deploy(
    machine: Machine, dirty: bool = False, skip_env_setup: bool = False, python: str = ""
) -> None:
    """Set the machine up, send the project, check it, and make it the current version."""
    deployment.deploy(machine, dirty=dirty, skip_env_setup=skip_env_setup, python=python)


@task
@on_machine
def rollback(machine: Machine) -> None:
    """Make the previous version the current one."""
    deployment.rollback(machine)


@task
@on_machine
def check_gpu(machine: Machine) -> None:
    """Show driver, GPUs and memory; time a matrix product and a convolution."""
    deployment.check_gpu(machine)


@task(
    help={"command": "a command of manage.py with its options, in quotes; after NAME=value or not"}
)
@on_machine
def run(machine: Machine, command: str) -> int:
    """Start a command that survives the connection, and show its progress."""
    return job_list.run(machine, job_list.parse_command(command, names()))


@task(help={"job": "the job's number; the newest unless given"})
@on_machine
def attach(machine: Machine, job: int = 0) -> int:
    """Show a job's output from its beginning, and follow it."""
    return job_list.attach(machine, job)


@task
@on_machine
def jobs(machine: Machine) -> None:
    """List the jobs and how they stand."""
    job_list.show_jobs(machine)


@task(help={"job": "the job's number; the one that runs unless given"})
@on_machine
def stop(machine: Machine, job: int = 0) -> None:
    """End a job by SIGTERM: run_experiment writes a snapshot first."""
    job_list.stop(machine, job)


@task(help={"to": "the folder to bring them into; each machine has its own in it"})
@on_machine
def fetch(machine: Machine, to: str = "runs") -> None:
    """Bring back what is new of runs, jobs' logs and what else jobs wrote."""
    transfer.fetch(machine, Path(to))


@task(help={"path": "a dataset, a file or a folder of shards; or a run's folder"})
@on_machine
def push_data(machine: Machine, path: str) -> None:
    """Send a dataset to the machine's data, a run to its runs."""
    transfer.push_data(machine, Path(path).expanduser())
