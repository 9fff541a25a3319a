import time

import pytest
import torch

from training.clock import Clock
from training.distributed import ALONE
from training.epoch_progress import EpochProgress

CPU = torch.device("cpu")


def begun(progress: EpochProgress) -> tuple[EpochProgress, Clock]:
    clock = Clock(waiting=100.0, copying=100.0)  # of what was before
    progress.begin(clock, CPU)
    return progress, clock


def test_losses_and_times_add_up_however_often_they_are_settled():
    progress, clock = begun(EpochProgress())
    start = time.monotonic()
    for number in range(6):
        progress.add(torch.tensor(0.1, dtype=torch.float32) * 2**number)
        clock.waiting += 0.25
        clock.copying += 0.125
        if number in (1, 2, 5):
            progress.settle(ALONE)
    assert progress.loss == 63 * torch.tensor(0.1).double().item()
    assert (progress.waiting, progress.copying) == (1.5, 0.75)
    assert 0 < progress.seconds <= time.monotonic() - start


def test_it_goes_on_from_what_a_snapshot_has_kept():
    progress, clock = begun(EpochProgress())
    progress.add(torch.tensor(2.0))
    clock.waiting = 3.0
    progress.settle(ALONE)
    kept = progress.to_plain()
    assert kept.keys() == {"loss", "seconds", "waiting", "copying"}
    again, _ = begun(EpochProgress(**kept))
    time.sleep(0.01)
    again.add(torch.tensor(5.0))
    again.settle(ALONE)
    assert (again.loss, again.waiting, again.copying) == (7.0, 3.0, 0.0)
    assert again.seconds == pytest.approx(kept["seconds"] + 0.01, abs=5.0)
    assert again.seconds >= kept["seconds"] + 0.01


def test_small_losses_of_a_long_epoch_are_not_lost():
    """A float32 sum of these would stop at 2**24 of them."""
    progress, _ = begun(EpochProgress())
    progress.add(torch.tensor(2.0**24))
    for _ in range(10):
        progress.add(torch.tensor(1.0))
    progress.settle(ALONE)
    assert progress.loss == 2.0**24 + 10


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_is_seen_later_too(bad):
    progress, _ = begun(EpochProgress())
    progress.add(torch.tensor(1.0))
    assert progress.is_finite()
    progress.add(torch.tensor(bad))
    progress.add(torch.tensor(1.0))
    assert not progress.is_finite()


def test_the_others_part_is_taken_to_be_as_this_ones_where_they_can_not_be_asked():
    progress, _ = begun(EpochProgress(loss=1.0))
    progress.add(torch.tensor(2.0))
    progress.settle_alone(3)
    assert progress.loss == 7.0
