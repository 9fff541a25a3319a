"""Deploys the project, and goes back to the version before."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from common.errors import CommandError
from common.sizes import size_text
from deploy.environment import LISTED, install_packages, set_up
from deploy.machine import Machine
from deploy.probe import probe
from deploy.project import Project, read_project

ROOT = Path(__file__).parents[1]


def deploy(machine: Machine, *, dirty: bool, skip_env_setup: bool, python: str) -> None:
    """Sets the machine up, sends what has changed, checks it, and makes it the current version.

    Raises CommandError where any of that fails; the version that was current stays so then.
    """
    project = read_project(ROOT, dirty=dirty)
    packages = project.files[LISTED].content.decode().split() if LISTED in project.files else []
    found = probe(machine, packages, python)
    print(f"machine      {machine.label}: {found}")
    if not skip_env_setup:
        found = install_packages(machine, found, packages, python)
    now = machine.call("versions", "current")
    if skip_env_setup and not now["environment"]:
        raise CommandError(
            f"{machine.label} has no environment yet; deploy without --skip-env-setup."
        )
    name, folder = _send(machine, project, now)
    environment, its_python = now["environment"], now["python"]
    if not skip_env_setup:
        environment, its_python = set_up(machine, found, _requirements(project))
    check(machine, folder, its_python, otherwise="the version that was current stays so")
    if (name, environment) == (now["name"], now["environment"]):
        print("deployed     ~/bandcamp-deep-learning is this version already")
        return
    before = machine.call("versions", "activate", name=name, environment=environment)
    kept = f"; ~/bandcamp-deep-learning-prev is {before}" if before else ""
    print(f"deployed     ~/bandcamp-deep-learning is {name}{kept}")


def rollback(machine: Machine) -> None:
    """Makes the previous version the current one, in its environment, and the other way round.

    Raises CommandError where there is none, or something is wrong with it.
    """
    there = machine.call("versions", "previous")
    check(
        machine, there["folder"], there["python"], otherwise="the version that is current stays so"
    )
    name, environment = there["name"], there["environment"]
    before = machine.call("versions", "activate", name=name, environment=environment)
    print(
        f"rolled back  ~/bandcamp-deep-learning is {name}; "
        f"~/bandcamp-deep-learning-prev is {before}"
    )


def check_gpu(machine: Machine) -> None:
    """Shows driver and GPUs, then times a matrix product and a convolution on them.

    Raises CommandError where there is no GPU, or something is wrong with it.
    """
    found = probe(machine, [])
    if found.driver_trouble:
        raise CommandError(f"{machine.label}: nvidia-smi says '{found.driver_trouble}'.")
    if not found.gpus:
        raise CommandError(
            f"{machine.label} has no NVIDIA GPU, or no driver: there is no nvidia-smi."
        )
    for index, gpu in enumerate(found.gpus):
        memory = f"{size_text(gpu.free)} of {size_text(gpu.memory)} free"
        print(f"cuda:{index}       {gpu.name}, driver {gpu.driver}, {memory}")
    now = machine.call("versions", "current")
    if not now["environment"]:
        raise CommandError(
            f"Nothing is deployed on {machine.label} yet, so nothing can be timed; 'fab deploy' "
            "does it."
        )
    options = ["--device", "cuda", "--speed"]
    folder, python = now["folder"], now["python"]
    check(machine, folder, python, options, otherwise="mend it, or take another machine")


def check(
    machine: Machine, folder: str, python: str, options: Sequence[str] = (), *, otherwise: str
) -> None:
    """Runs `manage.py check` in a version's folder.

    Raises CommandError where something is wrong, with what is the case then.
    """
    status = machine.show(shlex.join([python, "manage.py", "check", *options]), folder)
    if status:
        raise CommandError(
            f"manage.py check found something wrong on {machine.label}, as told above; {otherwise}."
        )


def _send(machine: Machine, project: Project, now: dict[str, str]) -> tuple[str, str]:
    """Sends what is missing; returns the version's name and folder, those of `now` if unchanged."""
    manifest = project.manifest
    there = machine.call("versions", "compare", files=manifest)
    size = sum(len(file.content) for file in project.files.values())
    what = f"project      {project.commit}, {len(manifest)} files, {size_text(size)}"
    if project.unsent:
        one = project.unsent == 1
        files = "1 uncommitted file stays" if one else f"{project.unsent} uncommitted files stay"
        what += f" ({files} here; --dirty sends {'it' if one else 'them'})"
    if project.secret:
        what += f" (left out, as private keys and passwords: {', '.join(project.secret)})"
    if there["unchanged"]:
        print(f"{what}: nothing has changed")
        return now["name"], now["folder"]
    packed = project.packed(there["missing"])
    print(f"{what}: sending {len(there['missing'])}, {size_text(len(packed))} packed", flush=True)
    name, about = project.name(), {"commit": project.commit}
    payload = [packed] if packed else []
    folder = machine.call("versions", "receive", payload, name=name, about=about, files=manifest)
    return name, folder


def _requirements(project: Project) -> str:
    try:
        return project.files["requirements.txt"].content.decode()
    except KeyError:
        raise CommandError("The project that is sent has no requirements.txt.") from None
