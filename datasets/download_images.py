"""Fetches the pictures of a list of links into a folder, in threads, going on where it stopped."""

from __future__ import annotations

import errno
import queue
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CommandError
from common.files import cannot_write
from common.progress import progress
from datasets.connections import PER_HOST, Adapters, Watch
from datasets.download_report import (
    LastRun,
    Outcome,
    ReportError,
    read_report,
    report_lines,
    summary,
)
from datasets.fetch import Failure, Fetcher, Limits, Status
from datasets.host_queues import HostQueues, Task
from datasets.links import REPORT, Link, read_links
from datasets.picture_folder import PictureFolder
from datasets.pictures import ignore_harmless

FIRST_WAIT = 0.5  # seconds before the second attempt; doubles with each
LONGEST_WAIT = 60.0  # seconds; who asks for more is not waited for
GIVE_UP_AFTER = 30  # attempts in a row that a host has not answered
TICK = 0.1  # seconds between two looks at who is overdue
LAST_MOMENT = 0.6  # seconds that threads get to end in after Ctrl-C
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Download:
    """What came of a list of links.

    Parameters
    ----------
    outcomes : list of Outcome
        One for each link, in the list's order.
    report : Path
        The report's file.
    """

    outcomes: list[Outcome]
    report: Path

    @property
    def summary(self) -> str:
        """What a person is told."""
        return summary(self.outcomes)

    @property
    def num_missing(self) -> int:
        """The number of pictures that are not there."""
        return sum(not outcome.present for outcome in self.outcomes)


def download_images(
    links_tsv: Path,
    out_dir: Path,
    *,
    num_threads: int = 10,
    retries: int = 2,
    limits: Limits | None = None,
    retry_failed: bool = False,
) -> Download:
    """Fetches what the file `links_tsv` lists into `out_dir/<label>/` and writes the report there.

    Parameters
    ----------
    links_tsv, out_dir : Path
        The list of links, and the folder. A picture that is there and decodes is not fetched,
        unless the last run's report has it from another address than the list.
    num_threads : int
        Pictures to fetch at once, at most `PER_HOST` of one host.
    retries : int
        Attempts after the first, where another may succeed.
    limits : Limits, optional
        What an attempt may take.
    retry_failed : bool
        Goes by the last run's report: what it lists as there only has to exist, and what another
        try is not likely to bring is not tried.

    Returns
    -------
    Download
        An outcome for every link.

    Raises
    ------
    CommandError
        Where the list can't be used, before anything is fetched, or the folder not be written to.
    KeyboardInterrupt
        At Ctrl-C, after the report has been written.
    Exception
        A programming error that one link met, after all others and the report.
    """
    limits = limits or Limits()
    _check(num_threads, retries, limits)
    links = read_links(links_tsv)
    with PictureFolder(out_dir) as folder:
        folder.refuse_symbolic_links(link.label for link in links)
        folder.clean()
        last = _last_run(folder, links, retry_failed)
        known = _known(links, last, folder) if retry_failed else {}
        former = _former(links, last.origins, folder)
        left = [link for link in links if link.line not in known]
        run = _Run(left, former, folder, limits, retries)
        try:
            run.run(num_threads)
        except KeyboardInterrupt:
            print("\nStopped; the same command goes on from here.", file=sys.stderr)
            raise
        finally:
            outcomes = known | run.outcomes
            for line, outcome in run.outcomes.items():
                if outcome.present:
                    former.pop(line, None)
            report = folder.write_report(REPORT, report_lines(links, outcomes, former))
    if run.fault:
        raise run.fault
    return Download([outcomes[link.line] for link in links], report)


def _check(num_threads: int, retries: int, limits: Limits) -> None:
    if not 1 <= num_threads <= 128:
        raise CommandError(f"--num-threads is {num_threads}; give 1 to 128.")
    if not 0 <= retries <= 20:
        raise CommandError(f"--retries is {retries}; give 0 to 20.")
    if not 0 < limits.timeout <= 86_400:
        raise CommandError(f"--timeout is {limits.timeout:g}; give seconds above 0, up to 86400.")
    if limits.max_bytes < 1:
        raise CommandError(f"--max-bytes is {limits.max_bytes}; give a number of bytes above 0.")


def _last_run(folder: PictureFolder, links: Sequence[Link], needed: bool) -> LastRun:
    """Returns what the last report says; without one nothing, if allowed.

    Raises CommandError where there is no such report but it is `needed`.
    """
    try:
        return read_report(folder, links)
    except ReportError as error:
        if not needed:
            return LastRun()
        raise CommandError(
            f"--retry-failed goes by the report of the last run, but {folder.path / REPORT} can't "
            f"be read: {error}; leave out --retry-failed to go by what is in {folder.path}."
        ) from error


def _known(links: Sequence[Link], last: LastRun, folder: PictureFolder) -> dict[int, Outcome]:
    """Returns the links that the last report settles.

    Their picture was there, and exists, or another try is not likely to bring it, and it does not.
    """
    known = {}
    for link in links:
        size = folder.size(link.label, link.name)
        origin = last.origins.get(link.line)
        if origin == link.url and size:
            known[link.line] = Outcome(link, Status.THERE, num_bytes=size)
        elif link.line in last.hopeless and (origin or not size):
            known[link.line] = last.hopeless[link.line]
    return known


def _former(
    links: Sequence[Link], origins: Mapping[int, str], folder: PictureFolder
) -> dict[int, str]:
    """Returns, by line, the addresses of pictures that are there from another than the list's."""
    former = {}
    for link in links:
        url = origins.get(link.line, link.url)
        if url != link.url and folder.size(link.label, link.name):
            former[link.line] = url
    return former


class _Run:
    """The threads, and what they report to the one that waits for them."""

    def __init__(
        self,
        links: Sequence[Link],
        former: Mapping[int, str],
        folder: PictureFolder,
        limits: Limits,
        retries: int,
    ) -> None:
        self.outcomes: dict[int, Outcome] = {}  # by line
        self.fault: Exception | None = None  # of ours, that the first link met that did
        self._num_links = len(links)
        self._queues = HostQueues(links, PER_HOST)
        self._results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._watches: list[Watch] = []
        self._adapters = Adapters()
        self._unanswered: dict[str, int] = {}  # attempts in a row, by host
        self._former, self._folder = former, folder
        self._limits, self._retries = limits, retries

    def run(self, num_threads: int) -> None:
        """Fills `outcomes`; after Ctrl-C or an error with those that there are."""
        threads = []
        with warnings.catch_warnings():
            ignore_harmless()
            try:
                for _ in range(min(num_threads, self._num_links)):
                    self._watches.append(Watch())
                    # A thread that a name server keeps waiting must not keep the process.
                    thread = threading.Thread(
                        target=self._work, args=(self._watches[-1],), daemon=True
                    )
                    threads.append(thread)
                    thread.start()
                self._collect()
            finally:
                self._end(threads)

    def _collect(self) -> None:
        looked = time.monotonic()
        with progress("Fetching pictures", self._num_links, "pictures") as advance:
            while len(self.outcomes) < self._num_links:
                try:
                    self._add(self._results.get(timeout=TICK))
                    advance(1)
                except queue.Empty:
                    pass
                now = time.monotonic()
                if now - looked >= TICK:
                    looked = now
                    for watch in self._watches:
                        watch.break_off(now)

    def _add(self, result: Outcome | BaseException) -> None:
        if isinstance(result, BaseException):
            raise result
        self.outcomes[result.link.line] = result

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._queues.stop()
        if len(self.outcomes) < self._num_links:
            for watch in self._watches:
                watch.end()
        last_moment = time.monotonic() + LAST_MOMENT
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, last_moment - time.monotonic()))
        self._adapters.close()
        while not self._results.empty():
            result = self._results.get()
            if isinstance(result, Outcome):
                self._add(result)

    def _work(self, watch: Watch) -> None:
        try:
            fetcher = Fetcher(self._limits, watch, self._adapters)
            while task := self._queues.take():
                self._fetch(task, fetcher)
        except BaseException as error:  # raised again by the thread that waits
            self._results.put(error)

    def _fetch(self, task: Task, fetcher: Fetcher) -> None:
        start = time.monotonic()
        try:
            outcome = self._attempt(task, fetcher)
        except Failure as failure:
            if self._queues.stopped:
                return
            task.seconds += time.monotonic() - start
            task.attempts += 1
            outcome = self._after(task, failure)
        except CommandError:  # as a full disk, which no other link can be written to
            raise
        except Exception as error:  # a fault of ours; it may cost this link, but no other
            if self._queues.stopped:
                return
            self.fault = self.fault or error
            reason = f"{type(error).__name__}: {error}"
            outcome = Outcome(task.link, Status.FAULT, reason, 0, task.seconds)
        if outcome is not None:
            self._results.put(outcome)
            self._queues.done(task)

    def _after(self, task: Task, failure: Failure) -> Outcome | None:
        """Returns the outcome of a task that failed; None where it is tried again, or later."""
        host = task.link.host
        silent = failure.status in (Status.TIMED_OUT, Status.UNREACHABLE)
        self._unanswered[host] = self._unanswered.get(host, 0) + 1 if silent else 0
        wait = max(failure.wait or 0.0, FIRST_WAIT * 2 ** (task.attempts - 1))
        may_retry = failure.again and task.attempts <= self._retries and not self._given_up(host)
        if may_retry and wait <= LONGEST_WAIT:
            self._queues.later(task, wait, failure.whole_host)
            return None
        reason = failure.reason
        if failure.wait is not None and wait > LONGEST_WAIT:
            reason += f", asks to wait {failure.wait:,.0f} seconds"
        return Outcome(task.link, failure.status, reason, 0, task.seconds, failure.again)

    def _given_up(self, host: str) -> bool:
        return self._unanswered.get(host, 0) >= GIVE_UP_AFTER

    def _attempt(self, task: Task, fetcher: Fetcher) -> Outcome | None:
        """Returns the outcome of an attempt that brought a picture; None after `stop`."""
        link, start = task.link, time.monotonic()
        if link.line not in self._former and (
            size := self._folder.whole_size(link.label, link.name)
        ):
            return Outcome(link, Status.THERE, num_bytes=size)
        if self._given_up(link.host):
            reason = f"given up, as the host did not answer {GIVE_UP_AFTER} times in a row"
            raise Failure(Status.UNREACHABLE, reason, again=True)
        body = fetcher.fetch(link.url)
        if self._queues.stopped:
            return None
        try:
            self._folder.write(link.label, link.name, body)
        except OSError as error:
            if error.errno in HOPELESS:
                path = self._folder.path / link.label / link.name
                raise cannot_write(path, error) from error
            reason = error.strerror or str(error)
            raise Failure(Status.NOT_WRITTEN, reason) from error
        self._unanswered[link.host] = 0
        return Outcome(link, Status.FETCHED, "", len(body), time.monotonic() - start)
