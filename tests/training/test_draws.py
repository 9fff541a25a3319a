import itertools

import numpy as np
import torch

from training.draws import Draws

NUM_BATCHES = 4


def drawn(draws: Draws, batch: int) -> tuple[list[float], list[float]]:
    """What a batch's crops and its network draw."""
    crops = torch.Generator()
    draws.seed_batch(batch, crops)
    return torch.rand(3, generator=crops).tolist(), torch.rand(3).tolist()


def test_a_batch_draws_the_same_whatever_was_drawn_before():
    draws = Draws(3, 2, NUM_BATCHES)
    forwards = [drawn(draws, batch) for batch in range(NUM_BATCHES)]
    backwards = [drawn(Draws(3, 2, NUM_BATCHES), batch) for batch in reversed(range(NUM_BATCHES))]
    assert forwards == backwards[::-1]
    orders = [draws.order().permutation(50) for _ in range(2)]
    assert np.array_equal(*orders)


def test_seeds_epochs_and_batches_all_draw_something_else():
    found = []
    for seed, epoch in itertools.product((0, 1, 2**40), (1, 2)):
        draws = Draws(seed, epoch, NUM_BATCHES)
        found += [values for batch in range(NUM_BATCHES) for values in drawn(draws, batch)]
        found.append(draws.order().random(3).tolist())
    assert len({tuple(values) for values in found}) == len(found) == 6 * 9


def test_processes_draw_the_same_crops_and_order_but_another_dropout():
    first, second = Draws(0, 1, NUM_BATCHES), Draws(0, 1, NUM_BATCHES, rank=1)
    assert np.array_equal(first.order().permutation(50), second.order().permutation(50))
    for batch in range(NUM_BATCHES):
        (crops, network), (other_crops, other_network) = drawn(first, batch), drawn(second, batch)
        assert crops == other_crops
        assert network != other_network
