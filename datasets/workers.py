"""Work on all cores, in processes of its own, with the results in order and memory constant.

Neither multiprocessing nor concurrent.futures is used for the processes: both import the caller's
main script again in every one of them (a notebook's script without a guard would start over), and
their processes stay behind for ever where the first one is killed. These end when it does, as the
socket that they read from closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from common.errors import CommandError

Task = TypeVar("Task")
Result = TypeVar("Result")
BATCH = 16  # tasks in a message, unless they are large
AHEAD = 2  # messages that a worker has been sent and has not answered, where they are small
MIN_TASKS = 64  # a process costs a quarter of a second, so each gets at least so many small tasks
MIN_LARGE_TASKS = 4  # the same for large ones, each a message of its own
START = "import sys; sys.path.insert(0, sys.argv[1]); from datasets.workers import serve; serve()"
ROOT = str(Path(__file__).resolve().parent.parent)


def num_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    num_workers: int,
    files: Sequence[int] = (),
    *,
    large: bool = False,
) -> Generator[Result, None, None]:
    """Yields `work(task)` for every task, in the order of the tasks.

    Parameters
    ----------
    work : callable
        A function of a module, or `functools.partial` of one; what it raises is raised here.
    tasks : sequence
        May make its elements as they are asked for.
    num_workers : int
        Processes at most; a few tasks are done in this one.
    files : sequence of int
        File descriptors that `work` uses; they have the same numbers in the processes.
    large : bool
        Whether a task takes a tenth of a second or more, as a recording does and no picture; it and
        its result may have megabytes then.

    Raises
    ------
    CommandError
        Where a process has died.
    """
    num_workers = min(num_workers, len(tasks) // (MIN_LARGE_TASKS if large else MIN_TASKS))
    if num_workers < 2:
        for index in range(len(tasks)):
            yield work(tasks[index])
        return
    with _started(work, num_workers, files) as workers:
        # A large message is sent to who waits for one alone: else both ends may wait to send.
        yield from _gather(workers, tasks, *((1, 1) if large else (BATCH, AHEAD)))


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any]
    waiting: int = 0  # messages sent and not answered


@contextmanager
def _started(
    work: Callable[[Task], Result], number: int, files: Sequence[int]
) -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        for _ in range(number):
            ours, theirs = Pipe()
            with theirs:
                handle = theirs.fileno()
                command = [sys.executable, "-c", START, ROOT, str(handle)]
                with _deaf_to_ctrl_c():
                    process = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, pass_fds=[handle, *files]
                    )
                    workers.append(_Worker(process, ours))
            _tell(workers[-1], work)
        yield workers
    finally:
        for worker in workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in workers:
            worker.process.wait()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C wait; a process that is started here never gets it, from its first moment on."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())  # read apart: blocking may raise, too late
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _gather(
    workers: Sequence[_Worker], tasks: Sequence[Any], size: int, ahead: int
) -> Iterator[Any]:
    num_batches = -(-len(tasks) // size)
    window = 2 * ahead * len(workers)  # so few results ever wait for an earlier one
    sent = yielded = 0
    answers: dict[int, list[Any]] = {}
    while yielded < num_batches:
        for worker in workers:
            while worker.waiting < ahead and sent < min(num_batches, yielded + window):
                batch = [tasks[i] for i in range(sent * size, min(len(tasks), (sent + 1) * size))]
                _send(worker, (sent, batch))
                sent += 1
        by_connection = {worker.connection: worker for worker in workers}
        for connection in wait(list(by_connection)):
            worker = by_connection[connection]  # type: ignore[index]
            index, answer = _receive(worker)
            answers[index] = answer
        while yielded in answers:
            yield from answers.pop(yielded)
            yielded += 1


def _send(worker: _Worker, message: Any) -> None:
    _tell(worker, message)
    worker.waiting += 1


def _tell(worker: _Worker, message: Any) -> None:
    try:
        worker.connection.send(message)
    except OSError:  # of the socket, and about no file
        raise _dead(worker) from None


def _receive(worker: _Worker) -> tuple[int, list[Any]]:
    try:
        index, answer, error = worker.connection.recv()
    except (EOFError, OSError):
        raise _dead(worker) from None
    if error is not None:
        raise error
    worker.waiting -= 1
    return index, answer


def _dead(worker: _Worker) -> CommandError:
    status = worker.process.wait()
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return CommandError(
        f"A worker process has died ({how}), perhaps for lack of memory; give fewer, as in "
        "--num-workers 1, or a smaller --image-size where there are pictures."
    )


def serve() -> None:
    """Does the work of one process, until the socket closes whose number is the second argument."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[2]))
    try:
        work = connection.recv()
        while True:
            index, batch = connection.recv()
            connection.send((index, *_answer(work, batch)))
    except (EOFError, OSError):
        return


def _answer(work: Callable[[Any], Any], batch: Sequence[Any]) -> tuple[list[Any], Exception | None]:
    try:
        return [work(task) for task in batch], None
    except (CommandError, OSError) as error:
        return [], error
    except MemoryError as error:
        return [], MemoryError(str(error))  # numpy's own may not survive the way
    except Exception:  # a fault of the program: its traceback would not survive the way
        return [], RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
