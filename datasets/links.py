"""Reads a list of links to pictures: lines of an address, a tab and `<label>/<name>.jpg`.

Every name is checked to lie in its label's folder, whatever the system; every line that can't be
used is named before anything is fetched.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import CommandError
from datasets.pictures import suffixes

REPORT = "download-report.tsv"
MAX_NAME_BYTES = 200  # file systems take 255; the name while it is written is longer
MAX_SHOWN = 20  # lines that can't be used whose reason is told; of the others the number
MAX_QUOTED = 80  # characters of a value in a message
FORM = "a line is an http or https address, a tab and <label>/<name>.jpg"
START = re.compile(r"https?://[^/?#]*", re.IGNORECASE)  # of an address: all that names the host
NOT_EVERYWHERE = re.compile(r'[\\:*?"<>|]')
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # Windows


@dataclass(frozen=True, slots=True)
class Link:
    """One picture to fetch.

    Parameters
    ----------
    line : int
        Its line's number in the file, from 1.
    url : str
        Where it is.
    label, name : str
        The folder below the output folder, and the file's name in it.
    host : str
        Of the address, with its port where one is given, in lower case.
    """

    line: int
    url: str
    label: str
    name: str
    host: str

    @property
    def file(self) -> str:
        """The name below the output folder."""
        return f"{self.label}/{self.name}"


def read_links(path: Path) -> list[Link]:
    """Reads the links of the file `path`; blank lines are passed over.

    Raises
    ------
    CommandError
        Where the file can't be read, holds no link, or holds lines that can't be used: all of them
        by number, two that would write one file among them.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            links, faults = parse_links(lines)
    except OSError as error:
        raise CommandError(f"The links' file {path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        near = error.object[max(0, error.start - 20) : error.end + 20]
        raise CommandError(
            f"The links' file {path} can't be read: it is no text in UTF-8 ({error.reason} in "
            f"{near!r}); save it as UTF-8."
        ) from error
    if faults:
        raise CommandError(_sentence(path, faults))
    if not links:
        raise CommandError(f"The links' file {path} is empty; {FORM}.")
    return links


def parse_links(lines: Iterable[str]) -> tuple[list[Link], dict[int, str]]:
    """Returns the links in `lines` and, by line number, what is wrong with the other lines."""
    known = suffixes()
    links: list[Link] = []
    faults: dict[int, str] = {}
    first: dict[str, dict[str, int]] = {}  # the line's number by label and name
    for number, line in enumerate(lines, start=1):
        if line.isspace() or not line:
            continue
        try:
            link = _link(number, line.removesuffix("\n"), known)
            names = first.setdefault(_folded(link.label), {})
            if (other := names.setdefault(_folded(link.name), number)) != number:
                raise ValueError(f"it writes {_quoted(link.file)} as line {other} does")
        except ValueError as error:
            faults[number] = str(error)
        else:
            links.append(link)
    return links, faults


def _folded(name: str) -> str:
    """Returns what some disks take a name for: they don't tell apart case or how an accent is made.

    Most names are returned as they are, which costs no memory.
    """
    if name.isascii():
        return name if name.islower() else name.lower()
    return unicodedata.normalize("NFC", name).casefold()


def _link(number: int, line: str, known: frozenset[str]) -> Link:
    """Reads one line; raises ValueError with what is wrong with it."""
    columns = [column.strip(" ") for column in line.split("\t")]
    if len(columns) == 1:
        raise ValueError(f"it has no tab: {_quoted(line)}")
    if len(columns) != 2:
        raise ValueError(f"it has {len(columns)} columns instead of 2: {_quoted(line)}")
    url, file = columns
    if fault := name_fault(file, known):
        raise ValueError(f"{_quoted(file)} {fault}")
    label, name = file.split("/")
    return Link(number, url, sys.intern(label), name, _host(url))


def _host(url: str) -> str:
    if is_ambiguous(url):
        raise ValueError(f"{_quoted(url)} has a backslash or control character")
    start = START.match(url)
    host = _host_of(start[0]) if start else ""
    if not host:
        raise ValueError(f"{_quoted(url)} is no http or https address")
    return host


@lru_cache(maxsize=10_000)
def _host_of(start: str) -> str:
    """Returns the host, with its port where one is given; an empty string where there is none."""
    try:
        parts = urlsplit(start)
        # The port is looked at for its error alone.
        if parts.hostname and parts.port != 0 and not re.search(r"\s", parts.netloc):
            return parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        pass
    return ""


def is_ambiguous(url: str) -> bool:
    """Returns whether an address has what some take for the end of its host and others don't."""
    return "\\" in url or _has_control(url)


def name_fault(file: str, known: frozenset[str]) -> str | None:
    """Returns why `file` is not of the form `<label>/<name>.jpg` or not safe, else None.

    Parameters
    ----------
    file : str
        The name below the output folder.
    known : frozenset of str
        The suffixes of pictures, in lower case.
    """
    parts = file.split("/")
    if len(parts) != 2 or not all(parts):
        return "is not of the form <label>/<name>.jpg"
    label, name = parts
    if fault := _label_fault(label) or _part_fault(name):
        return fault
    if os.path.splitext(name)[1].lower() not in known:  # noqa: PTH122, it is much faster
        return "has no suffix of a picture, such as .jpg or .png"
    return None


@lru_cache(maxsize=10_000)
def _label_fault(label: str) -> str | None:
    if label.casefold() == REPORT:
        return "has the report's name as its label"
    return _part_fault(label)


def _part_fault(part: str) -> str | None:
    if part.startswith("."):
        return "has a part that begins with a dot, as '..' and hidden files do"
    if NOT_EVERYWHERE.search(part) or _has_control(part):
        return "has a character that file names can't have everywhere: \\ : * ? \" < > | or control"
    if part != part.strip() or part.endswith(".") or DEVICES.fullmatch(part):
        return "has a part that Windows changes: a space or dot at its end, or a device's name"
    if len(part) > MAX_NAME_BYTES or len(part.encode()) > MAX_NAME_BYTES:
        return f"has a part of more than {MAX_NAME_BYTES} bytes"
    return None


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text
    )


def _quoted(value: str) -> str:
    short = value if len(value) <= MAX_QUOTED else value[:MAX_QUOTED] + "…"
    return f"'{short}'" if short.isprintable() else ascii(short)


def _sentence(path: Path, faults: dict[int, str]) -> str:
    """Returns a sentence that ends in a list, a fault to a line."""
    shown = list(faults.items())[:MAX_SHOWN]
    told = [f"line {number}: {fault}" for number, fault in shown]
    others = list(faults)[MAX_SHOWN:]
    if others:
        told.append(f"and line{'s' * (len(others) > 1)} {_ranges(others)}")
    count = f"{len(faults):,} line{'s' if len(faults) > 1 else ''}"
    return "\n  ".join(
        [
            f"The links' file {path} has {count} that can't be used, and nothing was fetched; "
            f"{FORM}; correct or remove {'these' if len(faults) > 1 else 'this'}:",
            *told,
        ]
    )


def _ranges(numbers: list[int]) -> str:
    """Returns rising numbers as in "3-5, 8"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
