"""A machine to deploy to, a checkout to deploy, and `fab` run in it as a person does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.private_sshd import PrivateSshd, private_sshd, why_not
from tests.paths import ROOT

LEFT_OUT = (".git", ".venv", "data", "runs", "__pycache__", ".*_cache", ".hypothesis", "*.partial")
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["kept"], "metadata": {}},
        {
            "cell_type": "code",
            "execution_count": 3,
            "metadata": {},
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["printed"]}],
            "source": ["print('printed')"],
        },
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class Fab:
    """Runs `fab` in the checkout, in a home of its own.

    Attributes
    ----------
    folder : the checkout
    home : where .ssh/ is
    name : what a folder for the machine is called
    again : what a command for the machine begins with
    """

    def __init__(self, machine: PrivateSshd, folder: Path, home: Path) -> None:
        self.machine, self.folder, self.home = machine, folder, home
        (home / ".ssh").mkdir(parents=True)
        self.known_hosts = home / ".ssh" / "known_hosts"
        self.known_hosts.write_text(machine.known_hosts)
        self.name = f"127.0.0.1-{machine.port}"
        self.again = f"fab -H {machine.user}@127.0.0.1:{machine.port} -i {machine.key}"

    def command(self, *task: str, host: str = "") -> list[str]:
        machine = self.machine
        host = host or f"{machine.user}@127.0.0.1:{machine.port}"
        return [sys.executable, "-m", "fabric", "-H", host, "-i", str(machine.key), *task]

    def start(self, *task: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*task), cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def __call__(self, *task: str, status: int = 0, host: str = "") -> str:
        """Runs a task; returns what it prints, on both streams, having checked its exit status."""
        return self.raw(self.command(*task, host=host), status)

    def raw(self, command: list[str], status: int) -> str:
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, timeout=120,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert result.returncode == status, result.stdout
        assert "PRIVATE KEY" not in result.stdout
        assert "Traceback" not in result.stdout, result.stdout
        assert "Welcome" not in result.stdout
        return result.stdout

    @property
    def environment(self) -> dict[str, str]:
        without = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        own = {"HOME": str(self.home), "OMP_NUM_THREADS": "1", "THEANO_FLAGS": ""}
        return without | own | {"CUDA_VISIBLE_DEVICES": "-1"}

    def commit(self, message: str = "a commit") -> str:
        git = ["git", "-C", str(self.folder), "-c", "user.name=T", "-c", "user.email=t@localhost"]
        for command in (["add", "--all"], ["commit", "--quiet", "--message", message]):
            subprocess.run([*git, *command], check=True)
        described = [*git, "rev-parse", "--short=10", "HEAD"]
        return subprocess.run(described, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="session")
def rented() -> Iterator[PrivateSshd]:
    reason = why_not()
    if reason:
        pytest.skip(f"DEPLOYMENT IS NOT TESTED HERE, no private sshd can be started: {reason}")
    with private_sshd() as machine:
        yield machine


@pytest.fixture(scope="session")
def fab(rented: PrivateSshd, tmp_path_factory: pytest.TempPathFactory) -> Fab:
    """Fab in a checkout of what is in this tree, with a notebook, data and a missing package."""
    folder = tmp_path_factory.mktemp("checkout") / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    (folder / "notebooks").mkdir(exist_ok=True)
    (folder / "notebooks" / "example.ipynb").write_text(json.dumps(NOTEBOOK))
    (folder / "latest.md").symlink_to("README.md")
    packages = folder / "requirements-apt.txt"
    packages.write_text(packages.read_text() + "no-such-package\n")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    fab = Fab(rented, folder, tmp_path_factory.mktemp("home"))
    fab.commit()
    (folder / "data").mkdir()
    (folder / "data" / "large.bin").write_bytes(b"data")
    return fab


@pytest.fixture(scope="session")
def deployed(fab: Fab) -> str:
    """What the first deployment prints, on a machine that has nothing; its sudo has a password."""
    with fab.machine.tool("sudo", "exit 1\n"):
        return fab("deploy")


@pytest.fixture(scope="session")
def digits_there(deployed: str, fab: Fab, digits: Path) -> str:
    fab("push-data", str(digits))
    return "data/digits.pkl.zip"


@pytest.fixture
def on_machine(rented: PrivateSshd) -> Callable[[str], Path]:
    """Makes a path in the machine's home of one relative to it; a link in the end stays one."""
    return lambda name: (rented.home / name).parent.resolve() / Path(name).name
