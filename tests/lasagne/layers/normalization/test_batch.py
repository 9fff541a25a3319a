"""Batch normalisation: the formula, running averages, copies, half precision, errors."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import (
    BatchNormLayer,
    DenseLayer,
    InputLayer,
    Network,
    batch_norm,
    get_all_param_values,
    get_output,
)

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def normalized(x, axes, epsilon):
    """Return `x` with mean 0 and deviation 1 over `axes`, mean, and inverse deviation."""
    mean = x.mean(axis=axes, keepdims=True)
    inv_std = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    return (x - mean) * inv_std, mean, inv_std


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.data())
def test_any_axes_against_the_formula(shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1).map(tuple))
    unknown = tuple(None if i in axes else size for i, size in enumerate(shape))
    random = np.random.default_rng(0)
    sizes = [1 if i in axes else size for i, size in enumerate(shape)]
    x, gamma, beta = (random.normal(size=s) for s in (shape, sizes, sizes))
    kept = [size for i, size in enumerate(shape) if i not in axes]
    layer = BatchNormLayer(unknown, axes=axes, alpha=1).double()
    with torch.no_grad():
        layer.gamma.copy_(torch.from_numpy(gamma.reshape(kept)))
        layer.beta.copy_(torch.from_numpy(beta.reshape(kept)))
    y, mean, inv_std = normalized(x, axes, 1e-4)
    output = layer(torch.from_numpy(x))
    assert layer.output_shape == unknown
    np.testing.assert_allclose(output.detach(), y * gamma + beta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.mean, mean.reshape(kept), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.inv_std, inv_std.reshape(kept), rtol=1e-9)
    deterministic = layer(torch.from_numpy(x), deterministic=True)
    torch.testing.assert_close(deterministic, output, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "affine", [{}, {"gamma": None}, {"beta": None}, {"gamma": None, "beta": None}]
)
@pytest.mark.parametrize("use", [False, True])
def test_gradients(affine, use):
    layer = BatchNormLayer((4, 3, 2), axes=(0, 2), **affine).double()
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name in ("gamma", "beta") if getattr(layer, name) is not None]

    def output(x, *values):
        params = dict(zip(names, values, strict=True))
        kwargs = {"deterministic": use}
        return torch.func.functional_call(layer, params, (x,), kwargs)

    inputs = (x, *(getattr(layer, name) for name in names))
    assert torch.autograd.gradcheck(output, inputs)
    assert torch.autograd.gradgradcheck(output, inputs)


def test_running_averages_approach_the_batch_by_alpha():
    layer = BatchNormLayer((None, 2), alpha=0.25)
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    layer(x)
    assert layer.mean.tolist() == [0.5, 5.0]
    expected = 0.75 + 0.25 / np.sqrt(np.array([1, 100]) + 1e-4)
    np.testing.assert_allclose(layer.inv_std, expected, rtol=1e-6)
    assert not layer.mean.requires_grad


@pytest.mark.parametrize(
    ("kwargs", "uses", "updates"),
    [
        ({}, False, True),
        ({"deterministic": True}, True, False),
        ({"batch_norm_use_averages": True}, True, True),
        ({"batch_norm_update_averages": False}, False, False),
        ({"deterministic": True, "batch_norm_use_averages": False}, False, False),
        ({"deterministic": True, "batch_norm_update_averages": True}, True, True),
    ],
)
def test_using_and_updating_the_averages(kwargs, uses, updates):
    layer = BatchNormLayer(InputLayer((None, 3)))
    x = torch.randn(8, 3) * 4 + 5
    y = get_output(layer, x, **kwargs)
    torch.testing.assert_close(y.mean(0), x.mean(0) if uses else torch.zeros(3))
    assert torch.equal(layer.mean, torch.zeros(3)) == (not updates)
    assert torch.equal(layer.inv_std, torch.ones(3)) == (not updates)


def test_update_between_a_deterministic_pass_and_its_backward():
    layer = BatchNormLayer((None, 3))
    x = torch.randn(8, 3, requires_grad=True)
    by_averages = layer(x, deterministic=True)
    layer(x)
    by_averages.sum().backward()
    torch.testing.assert_close(x.grad, torch.ones(8, 3))
    torch.testing.assert_close(layer.gamma.grad, x.detach().sum(0))


def test_one_instance():
    layer = BatchNormLayer((None, 2), beta=[3.0, 4.0], alpha=1)
    assert layer(torch.tensor([[5.0, 6.0]])).tolist() == [[3, 4]]
    assert layer.mean.tolist() == [5, 6]
    torch.testing.assert_close(layer.inv_std, torch.full((2,), 100.0))


def test_channels_last():
    x = torch.randn(3, 4, 5, 6)
    layer, twin = BatchNormLayer(x.shape), BatchNormLayer(x.shape)
    y = layer(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, twin(x))
    torch.testing.assert_close(layer.inv_std, twin.inv_std)


@pytest.mark.parametrize("affine", [{}, {"gamma": None, "beta": None}])
@pytest.mark.parametrize("axes", ["auto", (0, 1)])
def test_bfloat16_autocast_keeps_statistics_in_float32(affine, axes):
    x = torch.randn(16, 8, 5) + 3
    layer, twin = (BatchNormLayer(x.shape, axes=axes, alpha=1, **affine) for _ in range(2))
    twin(x.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16())
        z = layer(x.bfloat16(), deterministic=True)
    assert y.dtype == z.dtype == torch.bfloat16
    assert layer.mean.dtype == torch.float32
    torch.testing.assert_close(layer.mean, twin.mean)
    torch.testing.assert_close(layer.inv_std, twin.inv_std)


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_averages_of_their_own(change):
    network = Network(batch_norm(DenseLayer(InputLayer((None, 4)), 3, name="hidden")))
    x = torch.randn(6, 4)
    network(x)
    twin = change(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert list(before) == [
        "hidden.W",
        *(f"hidden_bn.{name}" for name in ("beta", "gamma", "mean", "inv_std")),
    ]
    torch.testing.assert_close(twin(x, deterministic=True), network(x, deterministic=True))
    twin(x + 1)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    network.load_state_dict(twin.state_dict())
    torch.testing.assert_close(twin(x, deterministic=True), network(x, deterministic=True))
    tags = [twin.output_layer.input_layer.get_params(trainable=t) for t in (True, False)]
    bn = twin.output_layer.input_layer
    assert tags == [[bn.beta, bn.gamma], [bn.mean, bn.inv_std]]


def test_parameters_are_in_lasagnes_order():
    layer = BatchNormLayer((None, 2), beta=[1, 2], gamma=[3, 4], mean=[5, 6], inv_std=[7, 8])
    assert np.array(get_all_param_values(layer)).tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    x = torch.tensor([[6.0, 7.0]])
    y = layer(x, deterministic=True)
    torch.testing.assert_close(y, torch.tensor([[1 + 3 * 7.0, 2 + 4 * 8.0]]))


def test_compiles_without_a_break():
    torch._dynamo.reset()
    layer = BatchNormLayer((None, 3, 4))
    twin = copy.deepcopy(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(5, 3, 4)
    torch.testing.assert_close(compiled(x), twin(x))
    torch.testing.assert_close(layer.mean, twin.mean)
    torch.testing.assert_close(compiled(x, deterministic=True), twin(x, deterministic=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axes": ()}, r"'b' needs at least one axis to normalise over, got axes=\(\)"),
        ({"axes": (0, 3)}, r"must be 'auto' or axes of .* \(None, 3, 4\), got \(0, 3\)"),
        ({"axes": "spatial"}, "axes must be 'auto' or axes of .*, got 'spatial'"),
        ({"axes": 1.0}, "axes must be 'auto' or axes of .*, got 1.0"),
        ({"axes": 1}, r"known along all axes but axes=\(1,\), got \(None, 3, 4\)"),
        ({"beta": np.zeros(4)}, r"'beta' must have shape \(3,\), got \(4,\)"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchNormLayer(**{"incoming": (None, 3, 4), "name": "b"} | arguments)
