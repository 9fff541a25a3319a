import threading
import time

from datasets.host_queues import HostQueues
from datasets.links import Link


def links(**hosts):
    names = [host for host, count in hosts.items() for _ in range(count)]
    return [Link(i, f"http://{host}/{i}", "a", f"{i}.jpg", host) for i, host in enumerate(names)]


def test_hosts_take_turns_within_their_limit():
    queues = HostQueues(links(a=5, b=2, c=1), per_host=2)
    taken = [queues.take() for _ in range(5)]
    assert [task.link.host for task in taken] == ["a", "b", "c", "a", "b"]
    queues.done(taken[0])
    assert queues.take().link.host == "a"


def test_a_task_comes_back_when_it_is_due_and_others_do_not_wait():
    queues = HostQueues(links(a=2), per_host=1)
    start = time.monotonic()
    queues.later(queues.take(), 0.2)
    second = queues.take()
    assert (second.link.line, time.monotonic() - start < 0.1) == (1, True)
    queues.done(second)
    assert queues.take().link.line == 0
    assert 0.2 <= time.monotonic() - start < 0.4


def test_a_host_rests_and_others_do_not():
    queues = HostQueues(links(a=3, b=1), per_host=3)
    start = time.monotonic()
    queues.later(queues.take(), 0.2, whole_host=True)
    queues.done(queues.take())
    assert time.monotonic() - start < 0.1
    for _ in range(3):
        assert queues.take().link.host == "a"
        assert time.monotonic() - start >= 0.2


def test_many_threads_do_everything_once_and_end():
    everything = links(a=100, b=7, c=40)
    queues, done, lock = HostQueues(everything, per_host=3), [], threading.Lock()
    busy, most = dict.fromkeys("abc", 0), []

    def work():
        while task := queues.take():
            host = task.link.host
            with lock:
                busy[host] += 1
                most.append(busy[host])
            time.sleep(0.0005)
            with lock:
                busy[host] -= 1
            task.attempts += 1
            if task.attempts < 3 and task.link.line % 5 == 0:
                queues.later(task, 0.01 * task.attempts)
            else:
                done.append(task.link)
                queues.done(task)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert sorted(done, key=lambda link: link.line) == everything
    assert max(most) == 3


def test_stop_wakes_those_who_wait():
    queues = HostQueues(links(a=1), per_host=1)
    queues.take()
    got = []
    thread = threading.Thread(target=lambda: got.append(queues.take()))
    thread.start()
    queues.stop()
    thread.join(2)
    assert got == [None]
