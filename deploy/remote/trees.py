"""Files from one folder to another machine's: what is missing there, resumed, each one checked.

Both sides run this. A file travels as blocks, each with its length in four bytes before it, a block
of length 0 and the SHA-256 of the whole file; it lies under NAME.partial until that is right.
"""

from __future__ import annotations

import hashlib
import os
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.remote.base import FILES, NAME, Refused, free_space, standard_input

BLOCK = 1 << 18
LENGTH = struct.Struct(">I")
PARTIAL = ".partial"
DIGEST_SIZE = 32

Times = dict[str, list[int]]
"""The size in bytes and the time of change in microseconds of every file, by its path."""
Plan = list[tuple[str, int, int]]
"""The files to send, each with the bytes that are there already and the bytes that it has."""


def listing(folder: Path, names: Sequence[str] = ("",)) -> tuple[Times, dict[str, int]]:
    """Lists the files of a folder, or of those `names` in it, and the sizes of partial ones."""
    files: Times = {}
    partials: dict[str, int] = {}
    for path in _walk(folder, names):
        with suppress(FileNotFoundError):  # removed since
            status = path.stat()
            name = path.relative_to(folder).as_posix()
            if name.endswith(PARTIAL):
                partials[name.removesuffix(PARTIAL)] = status.st_size
            else:
                files[name] = [status.st_size, status.st_mtime_ns // 1000]
    return files, partials


def plan(source: Times, there: Times, partials: dict[str, int]) -> Plan:
    """Returns what must be sent: all that is new or changed, and where to go on."""
    return [
        (name, partials.get(name, 0) if partials.get(name, 0) <= size else 0, size)
        for name, (size, changed) in sorted(source.items())
        if there.get(name) != [size, changed]
    ]


def frames(folder: Path, wanted: Plan) -> Iterator[bytes]:
    """Yields the files that are wanted, from the byte on that is missing, as far as was listed."""
    for name, offset, size in wanted:
        digest = hashlib.sha256()
        try:
            with inside(folder, name).open("rb") as file:
                for end, missing in ((offset, False), (size, True)):
                    while block := file.read(min(BLOCK, end - file.tell())):
                        digest.update(block)
                        if missing:
                            yield LENGTH.pack(len(block)) + block
            yield LENGTH.pack(0) + digest.digest()
        except FileNotFoundError:  # removed since it was listed
            yield LENGTH.pack(0) + bytes(DIGEST_SIZE)


def store(
    folder: Path,
    wanted: Plan,
    times: Times,
    read: Callable[[int], bytes],
    advance: Callable[[int], object] = lambda size: None,
) -> list[str]:
    """Stores what `frames` yields; returns the files whose content is not what was sent.

    `read(n)` returns n bytes or raises EOFError, after which the partial file is there to go on
    with. A file that is not right has changed on the way or since it was listed; it goes.

    Raises Refused where a file is named that is outside of the folder, or has more bytes than said.
    """
    wrong = []
    for name, offset, listed in wanted:
        path = inside(folder, name)
        partial = path.with_name(path.name + PARTIAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with partial.open("ab") as file:
            file.truncate(offset)
            _add_to(digest, partial)
            while size := LENGTH.unpack(read(LENGTH.size))[0]:
                if size > BLOCK or file.tell() + size > listed:
                    raise Refused(f"The other machine sent more of {name} than it had listed.")
                block = read(size)
                digest.update(block)
                file.write(block)
                advance(size)
        if read(DIGEST_SIZE) != digest.digest():
            wrong.append(name)
            partial.unlink()
            continue
        changed = times[name][1] * 1000
        os.utime(partial, ns=(changed, changed))
        partial.replace(path)
    return wrong


def inside(folder: Path, name: str) -> Path:
    """Returns the path of a file in a folder.

    Raises Refused where the name leads out of it: the other machine may be in a stranger's hands.
    """
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise Refused(f"The other machine named a file outside of {folder}: {name!r}.")
    return folder / name


def identity() -> str:
    """Returns what tells this machine from every other; it is made at the first call."""
    file = FILES / "identity"
    FILES.mkdir(exist_ok=True)
    with suppress(FileExistsError), file.open("x") as new:
        new.write(uuid.uuid4().hex)
    return file.read_text()


def list_there(root: str, names: list[str]) -> dict[str, Any]:
    """Lists a folder of this machine's kept files, or those `names` in it, and the free space."""
    folder = FILES / root
    files, partials = listing(folder, names)
    return {
        "files": files,
        "partials": partials,
        "free": free_space(folder),
        "folder": f"~/{NAME}-files/{root}",
    }


def send(root: str, wanted: Plan) -> Iterator[Any]:
    """Yields first None, then the frames of the files that are wanted."""
    yield None
    yield from frames(FILES / root, wanted)


def receive(root: str, wanted: Plan, times: Times) -> list[str]:
    """Stores the frames on standard input; returns the files that are not what was sent."""
    return store(FILES / root, wanted, times, reader(standard_input().read))


def reader(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Makes a `read(n)` that returns exactly n bytes, or raises EOFError."""

    def read_exactly(size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = read(size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    return read_exactly


def _walk(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        start = folder / name
        for place in (start, start.with_name(start.name + PARTIAL)) if name else ():
            if place.is_file():
                yield place
        yield from _files(start, frozenset())


def _files(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yields the files in a folder, those behind links too, but nothing twice below itself."""
    real = os.path.realpath(folder)
    if folder.is_dir() and real not in above:
        for path in folder.iterdir():
            if path.is_dir():
                yield from _files(path, above | {real})
            elif path.is_file():
                yield path


def _add_to(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
