"""The report of a download: a line for each link, and what a person is told at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from datasets.fetch import Status
from datasets.links import REPORT, Link

COLUMNS = ("line", "URL", "status", "reason", "bytes", "seconds")
PRESENT = (Status.FETCHED, Status.THERE)
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
}
MAY_PASS = (
    Status.UNREACHABLE,
    Status.SERVER_ERROR,
    Status.TIMED_OUT,
    Status.BROKEN_OFF,
    Status.NOT_WRITTEN,
    Status.NOT_TRIED,
)


@dataclass(frozen=True)
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
    """

    link: Link
    status: Status
    reason: str = ""
    num_bytes: int = 0
    seconds: float = 0.0

    @property
    def present(self) -> bool:
        """Whether the picture is there, whole."""
        return self.status in PRESENT


def report_text(outcomes: Iterable[Outcome]) -> str:
    """Returns the report, in the order of the links' file."""
    lines = ["\t".join(COLUMNS)]
    for outcome in sorted(outcomes, key=lambda outcome: outcome.link.line):
        reason = " ".join(outcome.reason.encode("utf-8", "replace").decode().split())
        columns = (outcome.link.line, outcome.link.url, outcome.status, reason)
        lines.append("\t".join(map(str, columns)))
        lines[-1] += f"\t{outcome.num_bytes}\t{outcome.seconds:.3f}"
    return "\n".join(lines) + "\n"


def read_present(out_dir: Path) -> set[tuple[int, str]]:
    """Returns line and URL of every link whose picture is there by the report in `out_dir`.

    Raises
    ------
    CommandError
        Where there is no report, or it is none.
    """
    path = out_dir / REPORT
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise CommandError(
            f"--retry-failed goes by the report of the last run, but {path} can't be read: "
            f"{reason}; leave out --retry-failed to go by what is in {out_dir}."
        ) from error
    rows = [line.split("\t") for line in lines if line]
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise CommandError(
            f"--retry-failed goes by the report of the last run, but {path} is none: its columns "
            f"are not {', '.join(COLUMNS)}; leave out --retry-failed to go by what is in {out_dir}."
        )
    return {(int(row[0]), row[1]) for row in rows[1:] if row[2] in PRESENT and row[0].isdecimal()}


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
    if again := sum(counts[status] for status in MAY_PASS):
        which = ", ".join(status.value for status in MAY_PASS if counts[status])
        lines.append(f"Another try may bring {again:,} of them ({which}): --retry-failed.")
    elif fetched + there < len(outcomes):
        lines.append("Another try is not likely to bring any of them.")
    return "\n".join(lines)


def _hosts(outcomes: Sequence[Outcome], status: Status) -> str:
    hosts = Counter(outcome.link.host for outcome in outcomes if outcome.status is status)
    named = ", ".join(f"{host} {count:,}" for host, count in hosts.most_common(MAX_HOSTS))
    others = len(hosts) - MAX_HOSTS
    return named + (f" and {others:,} more hosts" if others > 0 else "")
