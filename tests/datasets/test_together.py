import random
import time

import pytest

from datasets.together import AHEAD, Stopped, Twice, run_together


def test_both_get_everything_and_little_is_kept():
    made, taken = [], [[], []]

    def source():
        for number in range(200):
            made.append(number)
            assert number - min(map(len, taken)) <= AHEAD + 1
            yield number

    twice = Twice(source())

    def read(side):
        for item in twice.items(side):
            taken[side].append(item)
            if random.random() < 0.05:
                time.sleep(0.001)

    run_together([twice.make, lambda: read(0), lambda: read(1)], twice.stop)
    assert taken[0] == taken[1] == made == list(range(200))


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_one_raises_ends_both(failing, error):
    twice = Twice(iter(range(10**9)))

    def read(side):
        for item in twice.items(side):
            if side == failing and item == 50:
                raise error

    with pytest.raises(type(error)) as caught:
        run_together([twice.make, lambda: read(0), lambda: read(1)], twice.stop)
    assert caught.value is error
    with pytest.raises(Stopped):
        next(twice.items(0))
    with pytest.raises(Stopped):
        twice.make()


def test_what_the_source_raises_ends_the_readers():
    def source():
        yield 1
        raise OSError("gone")

    twice = Twice(source())
    taken = [[], []]
    readers = [lambda: taken[0].extend(twice.items(0)), lambda: taken[1].extend(twice.items(1))]
    with pytest.raises(OSError, match="gone"):
        run_together([twice.make, *readers], twice.stop)
