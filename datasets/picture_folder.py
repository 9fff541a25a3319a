"""A folder that pictures are fetched into: nothing leaves it, what is in it is whole.

Everything is opened relative to the folder and never through a symbolic link. One process has the
folder at a time, so that unfinished files found in it are those of a process that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import stat
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.errors import CommandError
from common.files import cannot_write, make_folder
from datasets.whole_picture import fault

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTIAL = re.compile(r".+\.\d+\.partial")
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # the last for what is no file at all


class PictureFolder:
    """The output folder, held open and locked until `close`.

    Raises
    ------
    CommandError
        Where it can't be written to, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = make_folder(path)
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise CommandError(
                f"Another download_dataset_images is writing to {path}; wait until it has ended, "
                "or stop it."
            ) from error
        except OSError:
            pass  # a network disk without locks

    def __enter__(self) -> PictureFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder."""
        os.close(self._folder)

    def refuse_symbolic_links(self, labels: Iterable[str]) -> None:
        """Raises CommandError where a label's folder is a symbolic link or no folder."""
        wrong = []
        for label in sorted(set(labels)):
            with suppress(FileNotFoundError):
                mode = os.stat(label, dir_fd=self._folder, follow_symlinks=False).st_mode
                if not stat.S_ISDIR(mode):
                    wrong.append(f"'{label}'")
        if wrong:
            raise CommandError(
                f"In {self.path} a label's folder is a symbolic link or a file, and nothing is "
                f"written through one: {', '.join(wrong)}; remove it or choose another --out-dir."
            )

    def clean(self) -> None:
        """Removes the unfinished files of a process that was killed."""
        labels = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    labels.append(entry.name)
                elif PARTIAL.fullmatch(entry.name):
                    os.unlink(entry.name, dir_fd=self._folder)
        for label in labels:
            with suppress(OSError), self._opened(label) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    if PARTIAL.fullmatch(entry.name) and not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.name, dir_fd=folder)

    def size(self, label: str, name: str) -> int | None:
        """Returns the bytes of a file that is there, or None; a symbolic link is none."""
        try:
            with self._opened(label) as folder:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def whole_size(self, label: str, name: str) -> int | None:
        """Returns the bytes of a picture that is there and decodes, or None."""
        try:
            with self.reading(label, name) as file:
                size = os.fstat(file.fileno()).st_size
                return size if size and fault(file) is None else None
        except OSError:
            return None

    @contextmanager
    def reading(self, label: str, name: str) -> Iterator[BinaryIO]:
        """Opens a file that is there; `label` may be "." for none.

        Raises
        ------
        OSError
            Where there is none: a symbolic link, a pipe or a folder is none.
        """
        with self._opened(label) as folder:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            with open(name, "rb", opener=lambda *_: os.open(name, OLD_FILE, dir_fd=folder)) as file:
                yield file

    def write(self, label: str, name: str, content: bytes) -> None:
        """Writes `label/name` beside its name, then renames it.

        What has the name is replaced, a symbolic link itself and not what it points to.

        Raises
        ------
        OSError
            Where the system refuses.
        """
        with self._writing(label, name) as file:
            file.write(content)

    def write_report(self, name: str, lines: Iterable[str]) -> Path:
        """Writes a text file into the folder; raises CommandError where the system refuses.

        The lines are written as they come, so that they need not be in memory.
        """
        try:
            with (
                self._writing(".", name) as file,
                io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text,
            ):
                text.writelines(lines)
        except OSError as error:
            raise cannot_write(self.path / name, error) from error
        return self.path / name

    @contextmanager
    def _writing(self, label: str, name: str) -> Iterator[BinaryIO]:
        partial = f"{name}.{os.getpid()}.partial"
        with self._opened(label, make=True) as folder:
            try:
                with os.fdopen(os.open(partial, NEW_FILE, 0o666, dir_fd=folder), "wb") as file:
                    yield file
                os.replace(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(partial, dir_fd=folder)
                raise

    @contextmanager
    def _opened(self, label: str, make: bool = False) -> Iterator[int]:
        try:
            folder = os.open(label, FOLDER, dir_fd=self._folder)
        except FileNotFoundError:
            if not make:
                raise
            with suppress(FileExistsError):
                os.mkdir(label, dir_fd=self._folder)
            folder = os.open(label, FOLDER, dir_fd=self._folder)
        try:
            yield folder
        finally:
            os.close(folder)
