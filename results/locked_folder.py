"""A folder that one process at a time works in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from common.errors import CommandError
from common.lock import lock


class LockedFolder:
    """A folder, locked until `close`.

    Parameters
    ----------
    path : Path
        The folder, which is there.
    busy : str
        What another process does in it, as "search_hyperparams runs".

    Attributes
    ----------
    path : the folder.

    Raises
    ------
    CommandError
        Where another process has locked it.
    """

    def __init__(self, path: Path, busy: str) -> None:
        self.path = path
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            lock(self._lock)
        except BlockingIOError as error:
            self.close()
            raise CommandError(
                f"Another {busy} in {path}; wait until it has ended, or stop it."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the folder."""
        os.close(self._lock)
