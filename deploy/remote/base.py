"""Where things are on the machine, and how a call from the other side is answered."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

NAME = "bandcamp-deep-learning"
HOME = Path.home().resolve()
CURRENT = HOME / NAME
"""A symbolic link to the version that is deployed."""
PREVIOUS = HOME / f"{NAME}-prev"
FILES = (HOME / f"{NAME}-files").resolve()
"""All that is deployed, brought and made; it may be a link to a larger disk."""
VERSIONS = FILES / "versions"
JOBS = FILES / "jobs"
KEPT = ("data", "runs")
"""Folders of the project that every version shares, so that no deployment takes them away."""
ENVIRONMENTS = FILES / "environments"
PACKAGES = ".venv"
"""A symbolic link in every version: to the environment that it runs in."""
ENVIRONMENT = HOME / ".virtualenvs" / NAME
"""A symbolic link to the environment of the version that is deployed."""
INSTALLED = "installed.json"
"""In an environment: it is whole, and with what torch."""
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
BEGIN = "\n@@bandcamp-deep-learning answers\n"
"""Comes before an answer: a machine's shell may print a greeting before it."""
REFUSED = 3  # the exit status of a call that was refused after its answer had begun

BOOT = """
import json, sys, types
if sys.version_info < (3, 9): sys.exit(127)
for name, source in json.loads(sys.stdin.buffer.read(int(sys.argv[1]))).items():
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["deploy.remote.base"].answer(sys.stdin.buffer, sys.stdout.buffer)
"""
"""Builds the modules that are sent on standard input, and answers the request after them."""


class Refused(Exception):
    """What the machine can't do, in one sentence."""


def answer(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Reads a request, a line of JSON, calls its function and writes a line of JSON.

    The line holds the `result`, or the sentence of an `error`. A generator's bytes follow the line;
    what is refused after that ends with the sentence on standard error and the status REFUSED.
    """
    request = json.loads(requests.readline())
    module = importlib.import_module(f"deploy.remote.{request['module']}")
    begun = False

    def write(line: dict[str, Any]) -> None:
        answers.write(BEGIN.encode() + json.dumps(line).encode() + b"\n")
        answers.flush()

    try:
        result: Any = getattr(module, request["function"])(**request["arguments"])
        chunks: Iterator[bytes] = result if isinstance(result, Iterator) else iter(())
        write({"result": next(chunks) if isinstance(result, Iterator) else result})
        begun = True
        for chunk in chunks:
            answers.write(chunk)
            answers.flush()
    except (Refused, OSError) as error:
        sentence = sentence_of(error) if isinstance(error, OSError) else str(error)
        if begun:
            print(sentence, file=sys.stderr)
            sys.exit(REFUSED)
        write({"error": sentence})


def sentence_of(error: OSError) -> str:
    """Returns what the system refused, and what to do, in one sentence."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = f"{error.filename}: " if error.filename else ""
    advice = "free some space there (df -h tells)" if full else "see to it there"
    return f"{what}{error.strerror or error}; {advice}."


def write_whole(path: Path, value: Any) -> None:
    """Writes a value as JSON, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(value), encoding="utf-8")
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds, or None where it is missing or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_whole(environment: Path) -> bool:
    """Tells whether all is installed in an environment."""
    return (environment / INSTALLED).is_file()


def free_space(path: Path) -> int:
    """Returns the bytes that are free where a path is or would be."""
    while not path.exists():
        path = path.parent
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def standard_input() -> IO[bytes]:
    """Returns what follows the request."""
    return sys.stdin.buffer


def link(place: Path, target: Path) -> None:
    """Lets a symbolic link point elsewhere, in one step."""
    new = place.with_name(f".{place.name}.{os.getpid()}.partial")
    place.parent.mkdir(parents=True, exist_ok=True)
    new.symlink_to(target)
    new.replace(place)
