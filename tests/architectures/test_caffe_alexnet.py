"""CaffeAlexNet against theano_alexnet's numbers, and without groups against plain PyTorch.

Its update rules are in tests/training/test_update_rule.py.
"""

import numpy as np
import pytest
import torch
from torch.nn import functional

import lasagne
from architectures.registry import build
from lasagne.layers import (
    Conv2DLayer,
    Layer,
    Network,
    count_params,
    get_all_layers,
    get_all_param_values,
    get_all_params,
    set_all_param_values,
)
from lasagne.weights import load_param_values
from tests.lasagne.golden_network import GoldenNetwork
from tests.lasagne.test_weights import write_theano_alexnet

SMALL = {"lc0_num_filters": 12, "lc1_num_filters": 32, "lc2_num_filters": 48}
SMALL |= {"lc3_num_filters": 48, "lc4_num_filters": 32, "ld0_num_units": 64, "ld1_num_units": 64}
"""An eighth of the filters, as in the golden file."""


def caffe_alex_net(golden: GoldenNetwork) -> Layer:
    shape = tuple(golden.spec["input_shape"][1:])
    return build("CaffeAlexNet", shape, golden.spec["num_classes"], SMALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_layers_outputs_loss_and_gradients_are_the_originals(dtype):
    golden = GoldenNetwork("theano_alexnet")
    golden.set(caffe_alex_net(golden), dtype)
    golden.check_layers_and_shapes()
    golden.check_outputs_loss_and_gradients()


def test_the_originals_files_fit(tmp_path):
    golden = GoldenNetwork("theano_alexnet")
    write_theano_alexnet(tmp_path, [golden.golden[f"p{i}"] for i in range(16)], epoch=65)
    network = caffe_alex_net(golden)
    set_all_param_values(network, load_param_values(tmp_path))
    outputs = Network(network)(golden.golden["x"][0], deterministic=True)
    np.testing.assert_allclose(
        outputs.detach().numpy(), golden.golden["softmax"], rtol=1e-5, atol=1e-6
    )


@pytest.fixture(scope="module")
def full_size():
    """The report's network: 227×227 crops, 1000 labels."""
    lasagne.random.set_rng(np.random.RandomState(0))
    return build("CaffeAlexNet", (3, 227, 227), 1000, {})


def test_the_reports_sizes(full_size):
    shapes = {layer.name: layer.output_shape[1:] for layer in get_all_layers(full_size)}
    assert shapes["lc0"] == (96, 55, 55)
    assert shapes["ln0"] == (96, 27, 27)
    assert shapes["ln1"] == (256, 13, 13)
    assert shapes["lm4"] == (256, 6, 6)
    assert list(shapes)[1:4] == ["lc0", "lm0", "ln0"]
    assert count_params(full_size) == 60_965_224


def test_the_codes_start_values(full_size):
    """Weight(std=0.01), FCLayer(std=0.005) and the biases of theano_alexnet's layers.py."""
    values = get_all_param_values(full_size)
    deviations = [0.01] * 5 + [0.005] * 2 + [0.01]
    for weights, deviation in zip(values[::2], deviations, strict=True):
        assert weights[:500].std() == pytest.approx(deviation, rel=0.02)
        assert abs(weights[:500].mean()) < 0.02 * deviation
    for biases, start in zip(values[1::2], (0, 0.1, 0, 0.1, 0, 0.1, 0.1, 0), strict=True):
        assert np.array_equal(biases, np.full_like(biases, start))


def plain(params: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The network without groups and of Caffe's orientation, in PyTorch's functions.

    PyTorch divides alpha by the size of the window.
    """
    pads, strides = (0, 2, 1, 1, 1), (4, 1, 1, 1, 1)
    for i, (pad, stride) in enumerate(zip(pads, strides, strict=True)):
        x = functional.conv2d(x, params[2 * i], params[2 * i + 1], stride, pad).relu()
        x = functional.max_pool2d(x, 3, 2) if i in (0, 1, 4) else x
        x = functional.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2) if i < 2 else x
    x = x.flatten(1)
    for i in (10, 12):
        x = (x @ params[i] + params[i + 1]).relu()
    return (x @ params[14] + params[15]).softmax(1)


def test_without_groups_and_flips_it_is_a_plain_network():
    lasagne.random.set_rng(np.random.RandomState(1))
    params = SMALL | {"groups": 1, "flip_filters": False, "ld0_W": "HeNormal", "ld1_W": "HeNormal"}
    params |= {f"lc{i}_W": "HeNormal" for i in range(5)}
    output = build("CaffeAlexNet", (3, 99, 99), 10, params)
    network = Network(output).double()
    x = 60 * torch.randn(2, 3, 99, 99, generator=torch.Generator().manual_seed(0)).double()
    outputs = network(x, deterministic=True)
    expected = plain(get_all_params(output), x)
    torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-12)
    assert outputs.std(0).max() > 1e-3


def test_the_groups_of_one_layer_and_fewer_layers():
    params = {"num_conv_layers": 4, "num_dense_layers": 1, "lc1_num_groups": 1} | SMALL
    params = {name: value for name, value in params.items() if name[:3] not in ("lc4", "ld1")}
    output = build("CaffeAlexNet", (3, 99, 99), 10, params | {"groups": 4})
    found = [one.num_groups for one in get_all_layers(output) if isinstance(one, Conv2DLayer)]
    assert found == [1, 1, 1, 4]
