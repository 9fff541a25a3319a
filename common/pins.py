"""The versions that a requirements.txt pins, and the oldest Python."""

from __future__ import annotations

import re

OLDEST_PYTHON = (3, 11)
PIN = re.compile(r"^([\w.-]+)(?:\[[\w., -]*\])? *== *([\w.!+]+)[^\S\n]*(?:#.*)?$", re.MULTILINE)


def pinned_versions(requirements: str) -> dict[str, str]:
    """Returns the versions by the packages' names, read from the text of a requirements.txt.

    Comments and pip's options are passed over, and so are lines with a marker, as
    `; python_version < "3.12"`, which hold on some machines only.
    """
    return {match[1]: match[2] for match in PIN.finditer(requirements)}
