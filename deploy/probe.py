"""What a machine is: Python, packages, driver. Asked by a POSIX shell, before there is Python."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from common.errors import CommandError
from common.pins import OLDEST_PYTHON
from common.sizes import size_text
from deploy.machine import Machine
from deploy.remote.base import NAME
from deploy.torch_build import Gpu

CANDIDATES = (
    f"$(sed -n 's/^executable = //p' $HOME/.virtualenvs/{NAME}/pyvenv.cfg 2>/dev/null)",
    *("python3", "python3.14", "python3.13", "python3.12", "python3.11"),
    *("/opt/conda/bin/python3", "$HOME/miniconda3/bin/python3"),
)
SCRIPT = """
echo "uid=$(id -u)"
echo "system=$(uname -m) $(uname -s)"
if ! command -v sudo >/dev/null 2>&1; then echo sudo=none
elif sudo -n true >/dev/null 2>&1; then echo sudo=free
else echo sudo=password; fi
for python in PYTHONS; do
    path=$(command -v "$python") || continue
    "$path" -c 'import sys; sys.exit(sys.version_info < OLDEST)' 2>/dev/null || continue
    version=$("$path" -c 'import platform; print(platform.python_version())')
    if "$path" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "python=$version $path"; break; fi
    echo "bare=$version $path"
done
echo "older=$(python3 --version 2>/dev/null)"
if command -v dpkg-query >/dev/null 2>&1; then
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' ||
            echo "missing=$package"
    done
else echo apt=none; fi
echo "free=$(df -Pk "$HOME" | awk 'END { print $4 }')"
if command -v nvidia-smi >/dev/null 2>&1; then
    query=driver_version,compute_cap,memory.total,memory.free,name
    nvidia-smi --query-gpu=$query --format=csv,noheader,nounits 2>&1 | sed 's/^/gpu=/'
fi
"""


@dataclass
class Probe:
    """What was found on a machine.

    Attributes
    ----------
    system : its processor and system, as in "x86_64 Linux"
    root, sudo : whether the user is root; "free", "password" or "none"
    python, python_version : the first Python that is new enough and can make environments
    bare : one that is new enough but lacks venv, as Debian's without python3-venv
    older : what `python3 --version` says
    missing : packages of requirements-apt.txt that are not installed
    has_apt : whether the machine has Debian's packages
    free : bytes that are free in the home folder
    gpus, driver_trouble : the GPUs, or what nvidia-smi says instead
    """

    system: str = ""
    root: bool = False
    sudo: str = "none"
    python: str = ""
    python_version: str = ""
    bare: str = ""
    older: str = ""
    missing: list[str] = field(default_factory=list)
    has_apt: bool = True
    free: int = 0
    gpus: list[Gpu] = field(default_factory=list)
    driver_trouble: str = ""

    def __str__(self) -> str:
        """One line for people."""
        gpus = ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in self.gpus)
        if not gpus:
            trouble = f" to use: nvidia-smi says '{self.driver_trouble}'"
            gpus = "no GPU" + (trouble if self.driver_trouble else "")
        python = f"Python {self.python_version}" if self.python else "no Python to use"
        return f"{self.system}, {python}, {gpus}, {size_text(self.free)} free"


def probe(machine: Machine, packages: list[str], python: str = "") -> Probe:
    """Asks a machine what it is; `python` names the Python to use in place of the first found.

    The first is that of the environment that is deployed. The machine's calls use that Python from
    then on. Raises CommandError where `python` is no use.
    """
    pythons = shlex.quote(python) if python else " ".join(f'"{name}"' for name in CANDIDATES)
    script = SCRIPT.replace("PYTHONS", pythons).replace("OLDEST", str(OLDEST_PYTHON))
    found = read(machine.capture(shlex.join(["sh", "-s", "--", *packages]), script.encode()))
    usable = found.python or found.bare
    if python and not usable:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise CommandError(
            f"--python {python} is no Python of version {oldest} or newer on {machine.label}; "
            "name another."
        )
    machine.python = usable
    return found


def read(output: str) -> Probe:
    """Reads what the script prints."""
    found = Probe()
    for line in output.splitlines():
        key, _, value = line.partition("=")
        match key:
            case "uid":
                found.root = value == "0"
            case "system" | "sudo" | "older":
                setattr(found, key, value)
            case "python":
                found.python_version, _, found.python = value.partition(" ")
            case "bare":
                found.bare = value.partition(" ")[2]
            case "missing":
                found.missing.append(value)
            case "apt":
                found.has_apt = False
            case "free":
                found.free = int(value or 0) * 1024
            case "gpu":
                _read_gpu(found, value)
    return found


def _read_gpu(found: Probe, line: str) -> None:
    fields = [part.strip() for part in line.split(",", 4)]
    try:
        driver, capability, total, free, name = fields
        major, minor = capability.split(".")
        found.gpus.append(
            Gpu(name, driver, (int(major), int(minor)), _mebibytes(total), _mebibytes(free))
        )
    except ValueError:
        found.driver_trouble = f"{found.driver_trouble} {line}".strip()


def _mebibytes(text: str) -> int:
    return int(text) * 2**20 if text.isdigit() else 0
