"""What is sent: the files of the last commit or of the working tree, as git knows them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError

LEFT_OUT = ("data", "runs", ".venv", "deployed.json")
"""What each machine has of its own: folders, or links to them."""
SECRET = re.compile(rb"\s*-----BEGIN [A-Z ]*PRIVATE KEY|PuTTY-User-Key-File")
LINK = 0o120000


@dataclass(frozen=True)
class File:
    """A file to send: its mode, as git writes it, and its content; a symbolic link's is its aim."""

    mode: int
    content: bytes


@dataclass(frozen=True)
class Project:
    """A version of the project.

    Attributes
    ----------
    commit : the commit's name, abbreviated; with -dirty where the working tree is sent
    files : by their paths
    unsent : how many files of the working tree differ from what is sent
    secret : files that are left out, as they hold private keys or passwords
    """

    commit: str
    files: Mapping[str, File]
    unsent: int
    secret: Sequence[str]

    @property
    def manifest(self) -> dict[str, tuple[int, str]]:
        """The mode and the SHA-256 of every file."""
        return {
            path: (file.mode, hashlib.sha256(file.content).hexdigest())
            for path, file in self.files.items()
        }

    def name(self) -> str:
        """Returns a name for the version, which sorts by time."""
        return f"{time.strftime('%Y%m%d-%H%M%S')}-{self.commit}"

    def packed(self, paths: Iterable[str]) -> bytes:
        """Returns some of the files as a compressed tar."""
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w|") as tar,
        ):
            for path in paths:
                entry = tarfile.TarInfo(path)
                entry.size = len(self.files[path].content)
                tar.addfile(entry, io.BytesIO(self.files[path].content))
        return packed.getvalue()


def read_project(root: Path, *, dirty: bool) -> Project:
    """Reads the last commit, or with `dirty` the working tree less what git ignores.

    Raises CommandError where `root` is no checkout or has no commit.
    """
    commit = _git(root, "rev-parse", "--short=10", "HEAD").decode().strip()
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "-z", "--", ".")
    unsent = len([line for line in changed.split(b"\0") if line[2:3] == b" "])
    found = dict(_working_tree(root) if dirty else _committed(root))
    own = {path: file for path, file in found.items() if Path(path).parts[0] not in LEFT_OUT}
    secret = sorted(path for path, file in own.items() if _is_secret(path, file))
    files = {
        path: _without_outputs(path, file)
        for path, file in sorted(own.items())
        if path not in secret
    }
    name = f"{commit}-dirty" if dirty and unsent else commit
    return Project(name, files, 0 if dirty else unsent, secret)


def _is_secret(path: str, file: File) -> bool:
    """Tells whether a file is a private key, in any form that ssh has, or an .env."""
    return Path(path).name == ".env" or SECRET.match(file.content) is not None


def _committed(root: Path) -> Iterator[tuple[str, File]]:
    archive = io.BytesIO(_git(root, "archive", "--format=tar", "HEAD"))
    with tarfile.open(fileobj=archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                mode = 0o100755 if member.mode & 0o100 else 0o100644
                yield member.name, File(mode, file.read())
            elif member.issym():
                yield member.name, File(LINK, member.linkname.encode())


def _working_tree(root: Path) -> Iterator[tuple[str, File]]:
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", ".")
    for name in {os.fsdecode(name) for name in listed.split(b"\0") if name}:
        path = root / name
        if path.is_symlink():
            yield name, File(LINK, str(path.readlink()).encode())
        elif path.is_file():
            executable = os.access(path, os.X_OK)
            yield name, File(0o100755 if executable else 0o100644, path.read_bytes())


def _without_outputs(path: str, file: File) -> File:
    """Returns a notebook without what its cells printed; any other file as it is."""
    if not path.endswith(".ipynb") or file.mode == LINK:
        return file
    try:
        notebook = json.loads(file.content)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}
    except (ValueError, KeyError, TypeError):
        return file
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    return File(file.mode, text.encode())


def _git(root: Path, *arguments: str) -> bytes:
    try:
        result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)
    except FileNotFoundError:
        raise CommandError("git is not installed; it says which files are sent.") from None
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines()
        raise CommandError(
            f"{root} can't be sent: git says '{(said or ['nothing'])[-1]}'; a deployment needs a "
            "checkout with a commit."
        )
    return result.stdout
