import math

import numpy as np

from training.records import EpochRecord
from training.search.halving import Halving


def records(*accuracies: float) -> list[EpochRecord]:
    return [
        EpochRecord(epoch, 1.0, 1.0, accuracy, 0.1, 1.0, 1.0)
        for epoch, accuracy in enumerate(accuracies, 1)
    ]


def test_the_rungs_double():
    assert Halving(1, 10).rungs == [1, 2, 4, 8]
    assert Halving(3, 12).rungs == [3, 6]
    assert Halving(5, 5).rungs == []
    assert Halving(1, 2).rungs == [1]


def test_the_first_goes_on_and_the_worse_of_two_does_not():
    halving = Halving(1, 8)
    assert halving.stopped_at(0, records(0.5)) is None
    assert halving.stopped_at(1, records(0.4)) == 1
    assert halving.stopped_at(2, records(0.6)) is None
    assert halving.stopped_at(3, records(0.55)) is None  # the second of four
    assert halving.stopped_at(4, records(0.54)) == 1  # the third of five


def test_what_was_decided_stays_decided():
    halving = Halving(1, 8)
    assert halving.stopped_at(0, records(0.1)) is None
    assert halving.stopped_at(1, records(0.9)) is None
    assert halving.stopped_at(0, records(0.1)) is None
    assert halving.stopped_at(0, records(0.1, 0.2)) is None  # alone at the second rung
    assert halving.stopped_at(1, records(0.9, 0.1)) is None  # its best epoch counts


def test_an_evaluation_that_was_faster_than_the_look_at_it():
    """It ends at the first rung where it is among the worse, whatever came after."""
    halving = Halving(1, 8)
    assert halving.stopped_at(0, records(0.5, 0.6, 0.7, 0.8)) is None
    assert halving.stopped_at(1, records(0.4, 0.9, 0.9, 0.9)) == 1
    assert halving.stopped_at(2, records(0.6, 0.5, 0.5, 0.75)) == 4


def test_it_goes_on_where_it_was():
    generator = np.random.default_rng(0)
    runs = [records(*generator.random(16)) for _ in range(30)]
    whole = Halving(1, 16)
    stopped = [whole.stopped_at(number, run) for number, run in enumerate(runs)]
    again = Halving(1, 16)
    for number, run in enumerate(runs[:17]):
        again.take(number, run[: stopped[number] or 16])
    assert [again.stopped_at(17 + i, run) for i, run in enumerate(runs[17:])] == stopped[17:]


def test_about_half_of_random_runs_end_at_the_first_rung():
    accuracies = np.random.default_rng(1).random(2000)
    halving = Halving(1, 8)
    stopped = [halving.stopped_at(i, records(value)) for i, value in enumerate(accuracies)]
    assert math.isclose(stopped.count(1) / 2000, 0.5, abs_tol=0.04)
