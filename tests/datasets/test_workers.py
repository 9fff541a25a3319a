import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from common.errors import CommandError
from datasets import workers
from datasets.workers import in_order
from tests.paths import ROOT

INTERRUPTED = """
import sys, time
from datasets.workers import in_order
try:
    print("ready", flush=True)
    list(in_order(time.sleep, [0.01] * 10_000, 3))
except KeyboardInterrupt:
    sys.exit(130)
"""
TASKS = [str(n) for n in range(-200, 200)]


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_results_come_in_order(num_workers):
    assert list(in_order(int, TASKS, num_workers)) == list(range(-200, 200))
    assert list(in_order(int, [], num_workers)) == []


def test_large_tasks_and_results_wait_for_one_another_in_no_circle():
    """Where both ends sent more than a socket holds, each would wait for the other."""
    tasks = [bytes([number]) * 1_000_000 for number in range(12)]
    results = in_order(partial(bytes.__mul__, b"x"), [len(task) for task in tasks], 2, large=True)
    assert [len(result) for result in results] == [1_000_000] * 12
    assert list(in_order(bytes, tasks, 2, large=True)) == tasks


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)in a worker process.*invalid literal for int"):
        list(in_order(int, [*TASKS, "no number"], 2))


def test_what_the_system_refuses_arrives_as_it_is():
    with pytest.raises(FileNotFoundError) as caught:
        list(in_order(os.stat, ["/", "/no such file"] * 100, 2))
    assert caught.value.filename == "/no such file"


def test_a_dead_process_is_named():
    with pytest.raises(CommandError, match=r"has died .signal 9.*give fewer"):
        list(in_order(partial(signal.raise_signal), [signal.SIGKILL] * 200, 2))


def test_leaving_early_ends_the_processes_and_few_results_wait():
    results = in_order(time.sleep, [0.001] * 4000, 2)
    next(results)
    with pytest.MonkeyPatch.context() as patch:
        ended = []
        wait = workers.subprocess.Popen.wait
        patch.setattr(
            workers.subprocess.Popen, "wait", lambda self: ended.append(wait(self)) or ended[-1]
        )
        results.close()
    assert len(ended) == 2


@pytest.mark.parametrize("seed", range(12))
def test_ctrl_c_while_the_processes_start_is_told_by_none_of_them(seed):
    command, pipe = [sys.executable, "-c", INTERRUPTED], subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(random.Random(seed).uniform(0.001, 0.15))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        errors = process.stderr.read()  # ends when the last of them has ended
    assert errors == "" and process.returncode == 130


def test_ctrl_c_is_heard_again_once_the_processes_are_there():
    results = in_order(time.sleep, [0.001] * 4000, 2)
    next(results)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    results.close()


def test_large_tasks_go_to_processes_one_by_one():
    alone, spread = (set(in_order(_process, range(9), 2, large=large)) for large in (False, True))
    assert alone == {os.getpid()}
    assert len(spread) == 2 and os.getpid() not in spread


def _process(_):
    time.sleep(0.02)
    return os.getpid()
