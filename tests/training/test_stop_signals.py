import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.paths import ROOT
from training.stop_signals import StopSignals, stop_signals

RUN = """
import sys, time
from training.stop_signals import stop_signals
with stop_signals() as signals:
    print("ready", flush=True)
    end = time.monotonic() + 20
    for batch in range(10**9):
        time.sleep(0.005)
        if signals.received or time.monotonic() > end:
            print("received", int(signals.received or 0), flush=True)
            if "patient" not in sys.argv:
                break
print("after", flush=True)
time.sleep(5)
"""


@pytest.fixture
def start():
    """Starts a process that works until a signal stops it."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process, line):
    for found in process.stdout:
        if found == line:
            return
    raise AssertionError(f"the process ended without {line!r}")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "Ctrl-C: the run stops after this batch; Ctrl-C once more stops it at"),
        (signal.SIGTERM, "SIGTERM: the run stops after this batch"),
        (signal.SIGHUP, "SIGHUP: the run stops after this batch"),
    ],
)
def test_the_first_signal_is_noted_and_the_old_handlers_come_back(start, number, said):
    process = start()
    process.send_signal(number)
    wait_for(process, f"received {int(number)}\n")
    wait_for(process, "after\n")
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert said in errors
    # Python ends by the same signal where KeyboardInterrupt is not caught.
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_stops_at_once(start, first):
    process = start("patient")
    process.send_signal(first)
    wait_for(process, f"received {int(first)}\n")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert "after" not in output


def test_a_second_sigterm_changes_nothing(start):
    process = start("patient")
    process.send_signal(signal.SIGINT)
    wait_for(process, f"received {int(signal.SIGINT)}\n")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    wait_for(process, f"received {int(signal.SIGINT)}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_job_in_the_background_ignores_it_goes_on_ignoring(start, number):
    process = start(preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    wait_for(process, f"received {int(signal.SIGTERM)}\n")


def test_a_terminal_that_has_gone_does_not_matter(start):
    process = start()
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    wait_for(process, f"received {int(signal.SIGTERM)}\n")


def test_handlers_come_back_after_an_error_too():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), stop_signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_installs_nothing():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    found: list[tuple[list, StopSignals]] = []

    def work():
        with stop_signals() as signals:
            handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            found.append((handlers, signals))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    ((during, signals),) = found
    assert during == before
    assert signals.received is None
