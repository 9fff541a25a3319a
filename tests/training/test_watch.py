import signal
import time

from training.stop_signals import StopSignals
from training.watch import GO_ON, INTERRUPTED, OUT_OF_TIME, SAVE, RunWatch

SECOND = 1 / 60  # of a minute


def test_nothing_is_due_without_minutes():
    watch = RunWatch(StopSignals(), 0, 0, save=lambda: None)
    assert watch.look() == GO_ON


def test_snapshots_are_due_so_long_after_the_last_one_was_written():
    saved = []

    def save() -> None:
        time.sleep(0.15)
        saved.append(time.monotonic())

    watch = RunWatch(StopSignals(), 0, 0.1 * SECOND, save)
    assert watch.look() == GO_ON
    while watch.look() != SAVE:
        time.sleep(0.001)
    watch.save()
    assert watch.look() == GO_ON or time.monotonic() > saved[0] + 0.1
    while watch.look() != SAVE:
        time.sleep(0.001)
    assert time.monotonic() >= saved[0] + 0.1


def test_time_is_over_for_good_and_goes_before_a_snapshot():
    start = time.monotonic()
    watch = RunWatch(StopSignals(), 0.1 * SECOND, 0.1 * SECOND, save=lambda: None)
    while (code := watch.look()) == GO_ON:
        time.sleep(0.001)
    assert code == OUT_OF_TIME
    assert time.monotonic() >= start + 0.1
    assert watch.look() == OUT_OF_TIME


def test_a_signal_goes_before_all():
    signals = StopSignals(told=False)
    watch = RunWatch(signals, 1e-9, 1e-9, save=lambda: None)
    time.sleep(0.001)
    signals.note(signal.SIGTERM)
    assert watch.look() == INTERRUPTED
