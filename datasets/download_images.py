"""Fetches the pictures of a list of links into a folder, in threads, going on where it stopped."""

from __future__ import annotations

import errno
import queue
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from common.errors import CommandError
from common.files import cannot_write
from common.progress import progress
from datasets.connections import PER_HOST, Adapters, Watch
from datasets.download_report import Outcome, read_present, report_text, summary
from datasets.fetch import Failure, Fetcher, Limits, Status
from datasets.host_queues import HostQueues, Task
from datasets.links import REPORT, Link, read_links
from datasets.picture_folder import PictureFolder

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
        The list of links, and the folder. A picture that is there and decodes is not fetched.
    num_threads : int
        Pictures to fetch at once, at most `PER_HOST` of one host.
    retries : int
        Attempts after the first, where another may succeed.
    limits : Limits, optional
        What an attempt may take.
    retry_failed : bool
        Goes by the last run's report: what it lists as there only has to exist.

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
    """
    limits = limits or Limits()
    _check(num_threads, retries, limits)
    links = read_links(links_tsv)
    with PictureFolder(out_dir) as folder:
        folder.refuse_symbolic_links(link.label for link in links)
        folder.clean()
        known = _known(links, folder) if retry_failed else {}
        run = _Run([link for link in links if link not in known], folder, limits, retries)
        try:
            run.run(num_threads)
        except KeyboardInterrupt:
            print("\nStopped; the same command goes on from here.", file=sys.stderr)
            raise
        finally:
            done = known | {outcome.link: outcome for outcome in run.outcomes}
            outcomes = [done.get(link) or Outcome(link, Status.NOT_TRIED) for link in links]
            report = folder.write_report(REPORT, report_text(outcomes))
    return Download(outcomes, report)


def _check(num_threads: int, retries: int, limits: Limits) -> None:
    if not 1 <= num_threads <= 128:
        raise CommandError(f"--num-threads is {num_threads}; give 1 to 128.")
    if not 0 <= retries <= 20:
        raise CommandError(f"--retries is {retries}; give 0 to 20.")
    if not 0 < limits.timeout <= 86_400:
        raise CommandError(f"--timeout is {limits.timeout:g}; give seconds above 0, up to 86400.")
    if limits.max_bytes < 1:
        raise CommandError(f"--max-bytes is {limits.max_bytes}; give a number of bytes above 0.")


def _known(links: Sequence[Link], folder: PictureFolder) -> dict[Link, Outcome]:
    """Returns the links whose picture is there by the last report, and exists."""
    present = read_present(folder.path)
    known = {}
    for link in links:
        if (link.line, link.url) in present and (size := folder.size(link.label, link.name)):
            known[link] = Outcome(link, Status.THERE, num_bytes=size)
    return known


class _Run:
    """The threads, and what they report to the one that waits for them."""

    def __init__(
        self, links: Sequence[Link], folder: PictureFolder, limits: Limits, retries: int
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._num_links = len(links)
        self._queues = HostQueues(links, PER_HOST)
        self._results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._watches: list[Watch] = []
        self._adapters = Adapters()
        self._unanswered: dict[str, int] = {}  # attempts in a row, by host
        self._folder, self._limits, self._retries = folder, limits, retries

    def run(self, num_threads: int) -> None:
        """Fills `outcomes`; after Ctrl-C or an error with those that there are."""
        threads = []
        with _pillow_is_quiet():
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
        self.outcomes.append(result)

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._queues.stop()
        if len(self.outcomes) < self._num_links:
            for watch in self._watches:
                watch.break_off(float("inf"))
        last_moment = time.monotonic() + LAST_MOMENT
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, last_moment - time.monotonic()))
        self._adapters.close()
        while not self._results.empty():
            result = self._results.get()
            if isinstance(result, Outcome):
                self.outcomes.append(result)

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
            silent = failure.status in (Status.TIMED_OUT, Status.UNREACHABLE)
            host = task.link.host
            self._unanswered[host] = self._unanswered.get(host, 0) + 1 if silent else 0
            task.seconds += time.monotonic() - start
            task.attempts += 1
            task.failure = failure
            wait = max(failure.wait or 0.0, FIRST_WAIT * 2 ** (task.attempts - 1))
            if failure.again and task.attempts <= self._retries and wait <= LONGEST_WAIT:
                self._queues.later(task, wait, failure.whole_host)
                return
            reason = failure.reason
            if failure.wait is not None and wait > LONGEST_WAIT:
                reason += f", asks to wait {failure.wait:,.0f} seconds"
            outcome = Outcome(task.link, failure.status, reason, 0, task.seconds)
        else:
            if outcome is None:
                return
            if outcome.status is Status.FETCHED:
                self._unanswered[task.link.host] = 0
        self._results.put(outcome)
        self._queues.done(task)

    def _attempt(self, task: Task, fetcher: Fetcher) -> Outcome | None:
        """Returns the outcome of an attempt that brought a picture; None after `stop`."""
        link, start = task.link, time.monotonic()
        if size := self._folder.whole_size(link.label, link.name):
            return Outcome(link, Status.THERE, num_bytes=size)
        if self._unanswered.get(link.host, 0) >= GIVE_UP_AFTER:
            reason = f"given up, as the host did not answer {GIVE_UP_AFTER} times in a row"
            raise task.failure or Failure(Status.UNREACHABLE, reason)
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
        return Outcome(link, Status.FETCHED, "", len(body), time.monotonic() - start)


@contextmanager
def _pillow_is_quiet() -> Iterator[None]:
    """Pillow warns of odd EXIF data and the like, which leave the picture itself intact."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # is refused
        yield
