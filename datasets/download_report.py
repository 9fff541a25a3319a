"""The report of a download: a line for each link, and what a person is told at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from datasets.fetch import Status, printable
from datasets.links import REPORT, Link
from datasets.picture_folder import PictureFolder

OLD_COLUMNS = ("line", "URL", "status", "reason", "bytes", "seconds", "file")
COLUMNS = (*OLD_COLUMNS, "again")
FILE = COLUMNS.index("file")
PRESENT = (Status.FETCHED, Status.THERE)
FORMER = "former"  # the status of a picture that is there from an address that its line had before
MAX_HOSTS = 5  # that are named for each status
MEANINGS = {
    Status.GONE: "gone (404, 410)",
    Status.REFUSED: "refused by the server",
    Status.UNREACHABLE: "unreachable: no connection, name or certificate",
    Status.SERVER_ERROR: "server error, or too many requests",
    Status.TIMED_OUT: "timed out",
    Status.BROKEN_OFF: "broken off",
    Status.NO_PICTURE: "no picture that decodes",
    Status.TOO_LARGE: "too large",
    Status.NOT_ALLOWED: "not allowed: a redirect or private address",
    Status.NOT_WRITTEN: "not written",
    Status.NOT_TRIED: "not tried yet",
    Status.FAULT: "a fault of this program",
}


class ReportError(Exception):
    """Why there is no report of the last run to go by, in a few words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one link.

    Parameters
    ----------
    link : Link
        The link.
    status : Status
        The kind.
    reason : str
        Why there is no picture; empty where there is one.
    num_bytes : int
        Of the picture.
    seconds : float
        That all attempts took.
    again : bool
        Whether another run may bring it.
    """

    link: Link
    status: Status
    reason: str = ""
    num_bytes: int = 0
    seconds: float = 0.0
    again: bool = False

    @property
    def present(self) -> bool:
        """Whether the picture is there, whole."""
        return self.status in PRESENT


def report_lines(
    links: Sequence[Link], outcomes: Mapping[int, Outcome], former: Mapping[int, str]
) -> Iterator[str]:
    """Yields the report. The last column is 'yes' or 'no' where there is no picture: see `Outcome`.

    Parameters
    ----------
    links : sequence of Link
        All of the list.
    outcomes : mapping of int to Outcome
        By line; those that have none were not tried.
    former : mapping of int to str
        By line, the address that the line had when its picture was fetched that is there still.
    """
    yield "\t".join(COLUMNS) + "\n"
    for link in links:
        if outcome := outcomes.get(link.line):
            reason = printable(outcome.reason) if outcome.reason else ""
            columns = f"{outcome.status}\t{reason}\t{outcome.num_bytes}"
            again = "" if outcome.present else "yes" if outcome.again else "no"
            rest = f"{outcome.seconds:.3f}\t{link.file}\t{again}"
            yield f"{link.line}\t{link.url}\t{columns}\t{rest}\n"
        else:
            yield f"{link.line}\t{link.url}\t{Status.NOT_TRIED}\t\t0\t0.000\t{link.file}\tyes\n"
        if link.line in former:
            reason = "its picture is still that of an address that the list had before"
            url = former[link.line]
            yield f"{link.line}\t{url}\t{FORMER}\t{reason}\t0\t0.000\t{link.file}\t\n"


@dataclass(frozen=True)
class LastRun:
    """What the last run's report says of the links, by line.

    Parameters
    ----------
    origins : dict of int to str
        The address that the link's picture came from.
    hopeless : dict of int to Outcome
        What became of links that another try is not likely to bring.
    """

    origins: dict[int, str] = field(default_factory=dict)
    hopeless: dict[int, Outcome] = field(default_factory=dict)


def read_report(folder: PictureFolder, links: Sequence[Link]) -> LastRun:
    """Reads what the last report says of these links.

    Raises
    ------
    ReportError
        Where there is no report in the folder, or it is none.
    """
    by_file = {link.file: link for link in links}
    last = LastRun()
    try:
        with folder.reading(".", REPORT) as file:
            head = _columns(file.readline())
            if head not in (COLUMNS, OLD_COLUMNS):
                raise ReportError(f"its columns are not {', '.join(COLUMNS)}")
            for number, line in enumerate(file, start=2):
                columns = _columns(line)
                if len(columns) != len(head):
                    raise ReportError(f"line {number} has {len(columns)} columns")
                if link := by_file.get(columns[FILE]):
                    _add(last, link, columns)
    except OSError as error:
        raise ReportError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ReportError("it is no text in UTF-8") from error
    return last


def _add(last: LastRun, link: Link, columns: tuple[str, ...]) -> None:
    _, url, status, reason = columns[:4]
    if status in (*PRESENT, FORMER):
        # Most are the link's own address, which is in memory already.
        last.origins[link.line] = link.url if url == link.url else url
    elif url == link.url and columns[FILE + 1 :] == ("no",) and status in MEANINGS:
        with suppress(ValueError):  # seconds that are no number
            outcome = Outcome(link, Status(status), reason, seconds=float(columns[5]))
            last.hopeless[link.line] = outcome


def _columns(line: bytes) -> tuple[str, ...]:
    return tuple(line.decode().removesuffix("\n").split("\t"))


def summary(outcomes: Sequence[Outcome]) -> str:
    """Returns what a person is told: how many are there, and why the others are not, by host."""
    counts = Counter(outcome.status for outcome in outcomes)
    fetched, there = counts[Status.FETCHED], counts[Status.THERE]
    num_bytes = sum(outcome.num_bytes for outcome in outcomes if outcome.present)
    lines = [
        f"{fetched + there:,} of {len(outcomes):,} pictures are there ({num_bytes / 1e6:,.1f} MB): "
        f"{fetched:,} fetched, {there:,} from before."
    ]
    for status, meaning in MEANINGS.items():
        if counts[status]:
            lines.append(f"{counts[status]:>7,} {meaning}: {_hosts(outcomes, status)}")
    again = Counter(outcome.status for outcome in outcomes if outcome.again)
    if again:
        which = ", ".join(status.value for status in MEANINGS if again[status])
        lines.append(f"Another try may bring {again.total():,} of them ({which}): --retry-failed.")
    elif fetched + there < len(outcomes):
        lines.append("Another try is not likely to bring any of them.")
    return "\n".join(lines)


def _hosts(outcomes: Sequence[Outcome], status: Status) -> str:
    hosts = Counter(outcome.link.host for outcome in outcomes if outcome.status is status)
    named = ", ".join(f"{host} {count:,}" for host, count in hosts.most_common(MAX_HOSTS))
    others = len(hosts) - MAX_HOSTS
    return named + (f" and {others:,} more hosts" if others > 0 else "")
