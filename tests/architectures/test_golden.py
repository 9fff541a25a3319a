"""Every architecture against the original's own numbers (tests/golden/networks)."""

import pytest
import torch

from architectures.registry import build
from lasagne.updates import nesterov_momentum
from tests.lasagne.golden_network import GoldenNetwork

#: Each with the parameters that make it the original.
ARCHITECTURES = {
    "SingleLayerMlp": {},
    "LasagneMnistExample": {},
    "ConvNet": {},
    "LasagneMnistConvExample": {"max_pools": False},
    "AlexNet": {},
    "VggNet": {},
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=ARCHITECTURES)
def case(request, dtype):
    found = GoldenNetwork(request.param)
    spec = found.spec
    params = spec["kwargs"] | ARCHITECTURES[request.param]
    shape = tuple(spec["input_shape"][1:])
    found.set(build(request.param, shape, spec["num_classes"], params), dtype)
    return found


def test_layers_and_shapes(case):
    case.check_layers_and_shapes()


def test_outputs_loss_and_gradients(case):
    case.check_outputs_loss_and_gradients()


def test_three_update_steps(case):
    case.check_three_steps(nesterov_momentum(None, case.params, 0.01, 0.9), "nesterov")
