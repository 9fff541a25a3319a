"""Versions of the project: received beside the current one, and put in its place at once.

`~/bandcamp-deep-learning` and `…-prev` are symbolic links into `…-files/versions`, and each version
has a link to its environment, so that a swap is one rename, and a job goes on in the version and
with the packages that it started with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.remote import environment as environments
from deploy.remote import jobs
from deploy.remote.base import (
    CURRENT,
    ENVIRONMENT,
    ENVIRONMENTS,
    FILES,
    KEPT,
    PACKAGES,
    PREVIOUS,
    VERSIONS,
    Refused,
    is_whole,
    link,
    read_json,
    standard_input,
    write_whole,
)

INCOMING = VERSIONS / "incoming.partial"
MANIFEST = "deployed.json"
LINK = 0o120000

Manifest = dict[str, list[Any]]
"""The mode and the SHA-256 of every file, by its path."""


def compare(files: Manifest) -> dict[str, Any]:
    """Tells whether a version is the current one, and which of its files are missing here.

    What a transfer that was broken off has brought counts as here.
    """
    now = CURRENT.resolve()
    stored = read_json(now / MANIFEST) or {}
    unchanged = stored.get("files") == files and all(
        _is(now / path, *entry) for path, entry in files.items()
    )
    missing = [path for path, entry in files.items() if _find(path, entry) is None]
    return {"unchanged": unchanged, "missing": missing}


def receive(name: str, about: dict[str, Any], files: Manifest) -> str:
    """Builds a version of the files that are here and those in the tar on standard input.

    Returns its folder. Raises Refused where another deployment is under way.
    """
    for place in (CURRENT, PREVIOUS, ENVIRONMENT):
        if place.exists() and not place.is_symlink():
            raise Refused(
                f"{place} is a folder that was not deployed from here; move it away, then deploy."
            )
    with environments.alone():
        for folder in (*(FILES / kept for kept in KEPT), INCOMING):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            _build(files)
            write_whole(INCOMING / MANIFEST, about | {"files": files})
            INCOMING.rename(VERSIONS / name)
        except OSError:
            shutil.rmtree(INCOMING, ignore_errors=True)
            raise
    return str(VERSIONS / name)


def activate(name: str, environment: str) -> str:
    """Makes a version the current one, in an environment, and the current the previous one.

    What no version and no job uses is removed then. Returns the name of the previous version, empty
    without one. Raises Refused where the version or its environment is not there.
    """
    version, packages = VERSIONS / name, ENVIRONMENTS / environment
    with environments.alone():
        if not (version / MANIFEST).is_file() or not is_whole(packages):
            raise Refused("Another deployment there has come in between; deploy again.")
        link(version / PACKAGES, packages)
        before = CURRENT.resolve()
        if before != version.resolve():
            if (before / MANIFEST).is_file():
                link(PREVIOUS, before)
            link(CURRENT, version)
        link(ENVIRONMENT, CURRENT / PACKAGES)
        kept = {CURRENT.resolve(), PREVIOUS.resolve(), INCOMING.resolve()}
        kept |= {Path(job["version"]) for job in jobs.running()}
        for other in VERSIONS.iterdir():
            if other.resolve() not in kept:
                _remove(other)
        environments.remove_unused()
    return PREVIOUS.resolve().name if PREVIOUS.is_symlink() else ""


def previous() -> dict[str, str]:
    """Returns what `current` does of the version to go back to.

    Raises Refused where there is none.
    """
    found = _place(PREVIOUS)
    if not found["environment"]:
        raise Refused(f"There is no {PREVIOUS} to go back to: it comes with the second deployment.")
    return found


def current() -> dict[str, str]:
    """Returns name, folder, environment and Python of what is deployed, empty without one."""
    return _place(CURRENT)


def written() -> list[str]:
    """Returns the files that jobs have written into versions, relative to the versions' folder."""
    found = []
    for version in sorted(VERSIONS.iterdir()) if VERSIONS.is_dir() else ():
        own = _own(version)
        for path in _walk(version) if version != INCOMING else ():
            if not path.is_symlink() and path.relative_to(version).as_posix() not in own:
                found.append(path.relative_to(VERSIONS).as_posix())
    return found


def _place(place: Path) -> dict[str, str]:
    folder = place.resolve()
    if not place.is_symlink() or not folder.is_dir():
        return {"name": "", "folder": "", "environment": "", "python": ""}
    packages = (folder / PACKAGES).resolve()
    return {
        "name": folder.name,
        "folder": str(folder),
        "environment": packages.name if is_whole(packages) else "",
        "python": str(packages / "bin" / "python"),
    }


def _own(version: Path) -> set[str]:
    """Returns the paths of what a deployment has put into a version."""
    deployed = (read_json(version / MANIFEST) or {}).get("files", {})
    return {*deployed, MANIFEST, PACKAGES, *KEPT}


def _walk(version: Path) -> Iterator[Path]:
    """Yields the files and links of a version, of its innermost folders first, without caches."""
    for folder, folders, files in os.walk(version, topdown=False):
        if "__pycache__" not in Path(folder).parts:
            links = (name for name in folders if Path(folder, name).is_symlink())
            yield from (Path(folder, name) for name in (*files, *links))


def _remove(version: Path) -> None:
    """Removes what a deployment has put into a version; what jobs wrote there stays."""
    own = _own(version) - {MANIFEST}
    with suppress(OSError):
        for path in list(_walk(version)):
            if path.relative_to(version).as_posix() in own:
                path.unlink()
        (version / MANIFEST).unlink(missing_ok=True)
    for folder, _, _ in os.walk(version, topdown=False):
        if Path(folder).name == "__pycache__":
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # it is not empty
            Path(folder).rmdir()


def _build(files: Manifest) -> None:
    """Fills INCOMING with exactly the files of a manifest, each checked."""
    _remove_others(files)
    for path, entry in files.items():
        source = _find(path, entry)
        if source is not None and source.parents[0] != (INCOMING / path).parent:
            _put(INCOMING / path, entry[0], _content(source, entry[0]))
    with tarfile.open(fileobj=standard_input(), mode="r|gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if member.name in files and file is not None:
                _put(INCOMING / member.name, files[member.name][0], file.read())
    for path, entry in files.items():
        if not _is(INCOMING / path, *entry):
            raise Refused(f"{path} did not arrive as it was sent; deploy again.")
    for kept in KEPT:
        if not (INCOMING / kept).is_symlink():
            (INCOMING / kept).symlink_to(FILES / kept)


def _remove_others(files: Manifest) -> None:
    """Removes what another version's transfer left in INCOMING."""
    for path in sorted(INCOMING.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(INCOMING).as_posix() not in files:
            path.unlink()


def _find(path: str, entry: list[Any]) -> Path | None:
    """Returns a file of a version here that is what a manifest says of this path."""
    versions = sorted(VERSIONS.iterdir(), reverse=True) if VERSIONS.is_dir() else []
    for version in [INCOMING, *versions]:
        if _is(version / path, *entry):
            return version / path
    return None


def _is(path: Path, mode: int, digest: str) -> bool:
    if path.is_symlink() != (mode == LINK) or not (path.is_symlink() or path.is_file()):
        return False
    same_mode = mode == LINK or path.stat().st_mode & 0o111 == mode & 0o111
    return same_mode and hashlib.sha256(_content(path, mode)).hexdigest() == digest


def _content(path: Path, mode: int) -> bytes:
    return str(path.readlink()).encode() if mode == LINK else path.read_bytes()


def _put(path: Path, mode: int, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if mode == LINK:
        path.symlink_to(content.decode())
        return
    path.write_bytes(content)
    path.chmod(0o755 if mode & 0o100 else 0o644)
