"""The machine's Debian packages and its virtual environment, with the right build of PyTorch."""

from __future__ import annotations

import hashlib
import re
import shlex

from common.errors import CommandError
from common.sizes import size_text
from deploy.machine import SENT, Machine, write
from deploy.probe import Probe, probe
from deploy.torch_build import choose_build

LISTED = "requirements-apt.txt"
APT = "env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300"
"""Waits for other installations, as a new machine's own in its first minutes."""


def install_packages(machine: Machine, found: Probe, packages: list[str], python: str) -> Probe:
    """Installs the Debian packages that are missing, where the user may; returns a new probe.

    Where the user may not, a line says what is missing. Raises CommandError where without them no
    environment can be made.
    """
    if found.missing and _may_install(machine, found):
        _apt(machine, found, found.missing)
        found = probe(machine, packages, python)
    elif found.missing:
        print(f"packages     {_lacking(machine, found)}")
    elif not found.has_apt:
        print(f"packages     not checked: {machine.label} has no dpkg")
    if found.python:
        return found
    here = f"its Python has no venv ({found.bare})" if found.bare else found.older or "no python3"
    wanted = f"apt-get install {' '.join(found.missing or packages)}"
    raise CommandError(
        f"{machine.label} has no Python of version 3.11 or newer that can make environments: "
        f"{here}. Have its owner do '{wanted}', or name another Python there by --python PATH."
    )


def _may_install(machine: Machine, found: Probe) -> bool:
    return (
        found.root
        or found.sudo == "free"
        or (found.sudo == "password" and bool(_password(machine)))
    )


def _password(machine: Machine) -> str:
    """Returns the password that --prompt-for-sudo-password asked for, empty without it."""
    return machine.connection.config.sudo.password or ""


def _lacking(machine: Machine, found: Probe) -> str:
    are = "is" if len(found.missing) == 1 else "are"
    why = f"{machine.label} has no sudo to install with"
    if found.sudo == "password":
        why = f"sudo on {machine.label} wants a password: give --prompt-for-sudo-password"
    return f"{', '.join(found.missing)} {are} missing, and {why}"


def _apt(machine: Machine, found: Probe, missing: list[str]) -> None:
    print(f"packages     installing {', '.join(missing)}", flush=True)
    sudo, given = "", b""
    if not found.root:
        sudo = "sudo -n " if found.sudo == "free" else "sudo -S -p '' "
        given = f"{_password(machine)}\n".encode() if found.sudo == "password" else b""
    for command in (f"{APT} update", f"{APT} install --yes {shlex.join(missing)}"):
        status = machine.show(sudo + command, given=given)
        if status:
            raise CommandError(
                f"{machine.label}: '{command}' failed with status {status}; its message is above."
            )


def set_up(machine: Machine, found: Probe, requirements: str) -> tuple[str, str]:
    """Makes the environment that requirements need there; returns its name and its Python.

    There is one for each Python, build of torch and requirements, so that those of versions and
    jobs stay as they are. Raises CommandError where there is too little space or an installation
    fails; the next deployment goes on with what is installed.
    """
    build, reason = choose_build(found.gpus, found.driver_trouble)
    torch = f"{torch_release(requirements)}+{build.name}"
    digest = hashlib.sha256(requirements.encode()).hexdigest()[:12]
    name = f"python{found.python_version.rpartition('.')[0]}-torch{torch}-{digest}"
    state = machine.call("environment", "state", name=name)
    if state["whole"]:
        print(f"environment  as it should be (torch {torch})")
        return name, state["python"]
    if not state["torch"] and state["free"] < build.disk:
        raise CommandError(
            f"{machine.label} has {size_text(state['free'])} free at {state['folder']}, and torch "
            f"{torch} takes {size_text(build.disk)} while it is installed; free some space there."
        )
    print(f"environment  {state['folder']}, torch {torch}: {reason}", flush=True)
    wanted = {"python": found.python, "torch": torch, "index": build.index}
    with machine.stream(
        "environment", "install", name=name, requirements=requirements, **wanted
    ) as read:
        while block := read(SENT):
            write(block)
    return name, state["python"]


def torch_release(requirements: str) -> str:
    """Returns the version of torch that requirements pin.

    Raises CommandError where they pin none.
    """
    pinned = re.search(r"^torch==([\w.]+)", requirements, re.MULTILINE)
    if pinned is None:
        raise CommandError("requirements.txt pins no torch; it needs a line as torch==2.13.0.")
    return pinned[1]
