"""torchvision's networks against its own outputs on the same weights (tests/golden/torchvision)."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

import lasagne
from architectures.registry import build
from architectures.state_dict import state_dict_values
from common.errors import CommandError
from lasagne.layers import (
    Layer,
    Network,
    SpatialPyramidPoolingLayer,
    get_all_layers,
    get_all_params,
    set_all_param_values,
)
from tests.golden.torchvision.weights import SIZES, WATCHED, parts, pictures, weights
from tests.paths import GOLDEN

NETWORKS = {
    "alexnet": "TorchvisionAlexNet",
    "vgg16": "TorchvisionVgg16",
    "vgg19": "TorchvisionVgg19",
    "resnet18": "TorchvisionResNet18",
    "resnet50": "TorchvisionResNet50",
}


class Zeros(np.random.RandomState):
    """Start values that take no time to draw, for networks whose weights are read."""

    def normal(self, *args, size):
        return np.zeros(size, dtype=np.float32)

    uniform = normal


@pytest.fixture
def zeros() -> Iterator[None]:
    before = lasagne.random.get_rng()
    lasagne.random.set_rng(Zeros())
    yield
    lasagne.random.set_rng(before)


@pytest.fixture
def seeded() -> Iterator[None]:
    before = lasagne.random.get_rng()
    lasagne.random.set_rng(np.random.RandomState(0))
    yield
    lasagne.random.set_rng(before)


def state_of(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    state = {key: torch.from_numpy(value) for key, value in weights(shapes).items()}
    return state | {key: torch.tensor(7) for key in shapes if key.endswith("batches_tracked")}


def by_name(output: Layer) -> dict[str, Layer]:
    return {layer.name: layer for layer in get_all_layers(output) if layer.name}


def assert_near(ours: torch.Tensor, stored: np.ndarray, tolerance: float = 1e-5) -> None:
    scale = math.sqrt(stored[1])  # the root of the mean square
    assert np.abs(parts(ours.detach().numpy()) - stored)[[0, *range(2, 16)]].max() < (
        tolerance * max(scale, np.abs(stored[2:]).max())
    )


CASES = [pytest.param(name, marks=[pytest.mark.slow] * ("vgg" in name)) for name in NETWORKS]


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_torchvisions(name, zeros):
    with np.load(GOLDEN / "torchvision" / f"{name}.npz") as golden:
        state = state_of(json.loads(str(golden["spec"]))["shapes"])
        for size, shape in SIZES.items():
            output = build(NETWORKS[name], shape[1:], 1000, {})
            set_all_param_values(output, state_dict_values(output, state))
            layers = by_name(output)
            watched = [layers[one] for one in WATCHED[name].values()]
            with torch.no_grad():
                network = Network([output, *watched])
                found, *inside = network(pictures(shape), deterministic=True)
            logits = torch.from_numpy(golden[f"{size} logits"])
            expected = logits.log_softmax(1)
            torch.testing.assert_close(found.log(), expected, rtol=0, atol=3e-5 * logits.std())
            for module, value in zip(WATCHED[name], inside, strict=True):
                assert_near(value, golden[f"{size} {module}"])
            del network, output, layers, watched


def test_a_residual_network_trains_as_torchvisions(zeros):
    """Outputs by the batch's statistics, gradients, and running means after the pass."""
    with np.load(GOLDEN / "torchvision" / "resnet18.npz") as golden:
        state = state_of(json.loads(str(golden["spec"]))["shapes"])
        output = build("TorchvisionResNet18", (3, 64, 64), 1000, {})
        set_all_param_values(output, state_dict_values(output, state))
        found = Network(output).double()(pictures((4, 3, 64, 64)).astype(np.float64))
        logits = torch.from_numpy(golden["training logits"]).double()
        torch.testing.assert_close(found.log(), logits.log_softmax(1), rtol=0, atol=1e-6)
        lasagne.objectives.categorical_crossentropy(found, torch.arange(4)).mean().backward()
        layers = by_name(output)
        gradients = {
            "conv1.weight": layers["conv1"].W.grad,
            "bn1.bias": layers["bn1"].beta.grad,
            "layer3.0.downsample.0.weight": layers["layer3_0_downsample_0"].W.grad,
            "fc.weight": layers["fc"].W.grad.t(),
        }
        for key, gradient in gradients.items():
            assert_near(gradient, golden[f"gradient {key}"], 1e-9)
        assert_near(layers["bn1"].mean, golden["bn1.running_mean"], 1e-9)
        assert_near(layers["layer4_1_bn2"].mean, golden["layer4.1.bn2.running_mean"], 1e-9)
        before = state["bn1.running_var"].double()
        assert not torch.allclose(layers["bn1"].inv_std, (before + 1e-5).rsqrt())


def test_evaluation_leaves_a_residual_network_as_it_is(seeded):
    network = Network(build("TorchvisionResNet18", (3, 32, 32), 10, {}))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x = pictures((2, 3, 32, 32))
    alone = network(x[:1], deterministic=True)
    torch.testing.assert_close(network(x, deterministic=True)[:1], alone)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["TorchvisionAlexNet", "TorchvisionVgg16"])
def test_dropout_is_for_training_alone(name, seeded):
    network = Network(build(name, (3, 64, 64), 10, {"num_units": 32}))
    x = pictures((1, 3, 64, 64))
    assert torch.equal(network(x, deterministic=True), network(x, deterministic=True))
    assert not torch.equal(network(x), network(x))


@pytest.mark.parametrize("name", NETWORKS.values())
def test_layers_keep_their_names_in_a_state_dict(name, seeded):
    params = {} if "Res" in name else {"num_units": 4}
    output = build(name, (1, 65, 97), 3, params)
    layers = by_name(output)
    keys = {key.partition(".")[0] for key in Network(output).state_dict()}
    assert keys == {key for key, layer in layers.items() if layer.params}
    assert len(layers) == len(get_all_layers(output))


def test_maps_are_averaged_only_where_their_size_differs(zeros):
    def averages(name, side):
        layers = get_all_layers(build(name, (3, side, side), 2, {"num_units": 2}))
        return sum(isinstance(layer, SpatialPyramidPoolingLayer) for layer in layers)

    assert [averages("TorchvisionAlexNet", side) for side in (200, 224, 256)] == [1, 0, 1]
    assert [averages("TorchvisionVgg16", side) for side in (200, 224, 256)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("TorchvisionAlexNet", r"The layer features_12 \(MaxPool2DLayer\) does not fit .* larger"),
        ("TorchvisionVgg19", r"The layer features_36 \(MaxPool2DLayer\) does not fit .* larger"),
    ],
)
def test_pictures_too_small_name_the_layer(name, sentence, zeros):
    with pytest.raises(CommandError, match=sentence):
        build(name, (3, 31, 31), 10, {})


def test_a_residual_network_takes_pictures_of_any_size(zeros):
    assert Network(build("TorchvisionResNet50", (3, 1, 1), 2, {}))(
        pictures((1, 3, 1, 1)), deterministic=True
    ).shape == (1, 2)


def assert_starts_like(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Of the same standard deviation, and bounded or not."""
    spread = abs(ours).max() / ours.std()
    assert ours.numel() == theirs.numel() > 1000
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.06)
    assert (spread < 1.8) == (abs(theirs).max() / theirs.std() < 1.8)


def test_start_values_are_torchvisions(seeded):
    """By PyTorch's modules and its initialisers, as torchvision's constructors call them."""
    torch.manual_seed(0)
    layers = by_name(build("TorchvisionAlexNet", (3, 64, 64), 10, {"num_units": 1024}))
    conv, linear = nn.Conv2d(64, 192, 5), nn.Linear(1024, 1024)
    assert_starts_like(layers["features_3"].W, conv.weight)
    assert_starts_like(layers["classifier_4"].W, linear.weight)
    assert_starts_like(layers["classifier_4"].b, linear.bias)

    layers = by_name(build("TorchvisionVgg16", (3, 64, 64), 10, {"num_units": 128}))
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    conv = nn.Conv2d(64, 128, 3)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    assert_starts_like(layers["features_5"].W, conv.weight)
    assert layers["classifier_3"].W.std().item() == pytest.approx(0.01, rel=0.03)
    assert not any(layers[name].b.any() for name in ("features_5", "classifier_3", "classifier_6"))

    output = build("TorchvisionResNet18", (3, 64, 64), 10, {})
    layers = by_name(output)
    assert_starts_like(layers["layer2_0_conv1"].W, conv.weight)
    assert_starts_like(layers["fc"].W, nn.Linear(512, 10).weight)
    assert sum(param.numel() for param in get_all_params(output, trainable=True)) == 11_181_642
