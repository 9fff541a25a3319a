"""Every test starts from the same seeds."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lasagne.random import get_rng, set_rng


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    before = get_rng()
    set_rng(np.random.default_rng(1))
    torch.manual_seed(1)
    yield
    set_rng(before)
