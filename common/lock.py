"""Locks that end with the processes that hold them."""

from __future__ import annotations

import fcntl


def lock(handle: int) -> None:
    """Locks an open file or folder as long as the handle, or a process that inherits it, lives.

    Does nothing on a file system without locks. Raises BlockingIOError where another has it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass
