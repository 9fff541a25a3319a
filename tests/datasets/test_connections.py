"""A host's connections: who waits for one does so with the clock stopped, and can be woken."""

import threading
import time

import pytest

from datasets.connections import PER_HOST, Adapters, Watch


@pytest.fixture
def adapters():
    adapters = Adapters()
    yield adapters
    adapters.close()


def started(seconds=10.0):
    watch = Watch()
    watch.start(seconds)
    return watch


def in_thread(work):
    results = []

    def run():
        try:
            results.append(work())
        except TimeoutError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_the_clock_stands_still_while_a_place_is_waited_for(adapters):
    watch = started(0.5)
    free = threading.Event()

    def hold():
        with adapters.place("a.test", started()):
            free.wait()

    holders = [in_thread(hold)[0] for _ in range(PER_HOST)]

    def wait():
        with adapters.place("a.test", watch):
            return watch.left()

    waiter, results = in_thread(wait)
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        watch.break_off(time.monotonic())
        time.sleep(0.02)
    assert not results
    with adapters.place("b.test", started()):  # another host's are not affected
        free.set()
    waiter.join(5)
    assert 0 < results[0] <= 0.5
    for holder in holders:
        holder.join(5)


def test_no_more_than_its_places_are_ever_taken(adapters):
    lock, busy, most = threading.Lock(), 0, 0

    def work():
        nonlocal busy, most
        for _ in range(5):
            with adapters.place("a.test", started()):
                with lock:
                    busy += 1
                    most = max(most, busy)
                time.sleep(0.001)
                with lock:
                    busy -= 1

    threads = [in_thread(work)[0] for _ in range(40)]
    for thread in threads:
        thread.join(20)
    assert (busy, most) == (0, PER_HOST)


def test_after_the_end_those_who_wait_go_too(adapters):
    """As Ctrl-C does: those who hold a place end, and nobody who gets it goes on."""
    stop, watches = threading.Event(), [started() for _ in range(3 * PER_HOST)]

    def work(watch):
        with adapters.place("a.test", watch):
            stop.wait()
            return watch.left()

    threads = [in_thread(lambda watch=watch: work(watch)) for watch in watches]
    for watch in watches:
        watch.end()
    stop.set()
    for thread, results in threads:
        thread.join(5)
        assert isinstance(results[0], TimeoutError)
    with adapters.place("a.test", started()):  # and every place is free again
        pass
    watches[0].start(10)
    with pytest.raises(TimeoutError):
        watches[0].left()


def test_a_place_whose_taker_is_late_is_given_back(adapters):
    for _ in range(PER_HOST + 1):
        watch = started(0.01)
        time.sleep(0.02)
        with pytest.raises(TimeoutError), adapters.place("a.test", watch):
            pass
