"""The rate policies against traces written out by hand from the original's rule."""

import pytest

from training.policies import AdaptiveRate, ConstantRate
from training.records import EpochRecord


def record(rate: float) -> EpochRecord:
    return EpochRecord(1, 1.0, 1.0, 0.5, rate, 1.0, 1.0)


def test_the_constant_rate_stays():
    policy = ConstantRate()
    for gained in (True, False, False, False, False, False):
        decision = policy.after_epoch(record(0.1), gained)
        assert (decision.rate, decision.restore_best, decision.stop) == (0.1, False, False)


def test_the_adaptive_rate_falls_after_more_than_three_epochs_without_a_gain():
    policy = AdaptiveRate()
    rate, rates, restored = 0.01, [], []
    gains = [
        True,
        False,
        False,
        False,
        True,
        False,
        False,
        False,
        False,
        False,
        False,
        False,
        False,
    ]
    for epoch, gained in enumerate(gains, start=1):
        decision = policy.after_epoch(record(rate), gained)
        rate = decision.rate
        rates.append(rate)
        restored += [epoch] if decision.restore_best else []
    assert restored == [9, 13]
    assert rates[:8] == [0.01] * 8
    assert rates[8:12] == pytest.approx([0.001] * 4)
    assert rates[12] == pytest.approx(0.0001)


def test_it_stops_below_the_lowest_rate():
    policy, rate, epochs = AdaptiveRate(), 0.01, 0
    while True:
        decision = policy.after_epoch(record(rate), False)
        rate, epochs = decision.rate, epochs + 1
        if decision.stop:
            break
    assert rate < 1e-10
    assert epochs == 4 * 9


def test_its_state_goes_through_a_snapshot():
    first, second = AdaptiveRate(), AdaptiveRate()
    for _ in range(3):
        first.after_epoch(record(0.1), False)
    second.state = dict(first.state)
    assert second.after_epoch(record(0.1), False).restore_best
