"""Nonlinearities, biases and scales as layers: what is shared, what is learned, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import (
    BiasLayer,
    InputLayer,
    Network,
    NonlinearityLayer,
    ScaleLayer,
    get_all_params,
    get_output,
    standardize,
)

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def test_nonlinearity_layer():
    x = torch.tensor([[-1.0, 2.0]])
    assert NonlinearityLayer(x.shape)(x).tolist() == [[0, 2]]
    assert NonlinearityLayer(x.shape, None)(x) is x
    with pytest.raises(TypeError, match="nonlinearity must be callable or None, got 'relu'"):
        NonlinearityLayer(x.shape, "relu")


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.data())
def test_any_axes_can_be_shared(shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)).map(tuple))
    given_axes = tuple(data.draw(st.sampled_from([axis, axis - len(shape)])) for axis in axes)
    unknown = tuple(None if i in axes else size for i, size in enumerate(shape))
    kept = tuple(size for i, size in enumerate(shape) if i not in axes)
    broadcast = [1 if i in axes else size for i, size in enumerate(shape)]
    x, value = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    value = np.resize(value, kept)
    for layer, expected in (
        (BiasLayer(unknown, value, given_axes), x + value.reshape(broadcast)),
        (ScaleLayer(unknown, value, given_axes), x * value.reshape(broadcast)),
    ):
        assert layer.shared_axes == axes
        assert layer.output_shape == unknown
        assert np.array_equal(layer(torch.from_numpy(x)).detach(), expected)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("auto", (3,)), (0, (3, 4, 5)), (-1, (2, 3, 4)), ((0, 2), (3, 5)), ([], (2, 3, 4, 5))],
)
def test_shape_of_what_is_shared(axes, shape):
    assert BiasLayer((2, 3, 4, 5), shared_axes=axes).b.shape == shape
    assert ScaleLayer((2, 3, 4, 5), shared_axes=axes).scales.shape == shape


def test_no_biases():
    x = torch.randn(2, 3)
    layer = BiasLayer((None, None), b=None)
    assert layer(x) is x
    assert (layer.b, layer.get_params()) == (None, [])


@pytest.mark.parametrize("make", [BiasLayer, ScaleLayer])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shared_axes": 2}, r"'s': shared_axes must be 'auto' or axes of .* \(None, 3\), got 2"),
        ({"shared_axes": "all"}, "shared_axes must be 'auto' or axes of .*, got 'all'"),
        (
            {"shared_axes": 1},
            r"'s' needs an input whose sizes are known along all axes but shared_axes=\(1,\), got "
            r"\(None, 3\)",
        ),
    ],
)
def test_errors(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make((None, 3), name="s", **arguments)


@pytest.mark.parametrize("as_given", [np.asarray, torch.as_tensor, list])
def test_standardize(as_given):
    x = np.random.default_rng(0).normal(3, 5, size=(50, 4)).astype(np.float32)
    layer = standardize(InputLayer((None, 4)), as_given(x.mean(0)), as_given(x.std(0)))
    y = get_output(layer, x).numpy()
    np.testing.assert_allclose(y, (x - x.mean(0)) / x.std(0), rtol=1e-4, atol=1e-6)
    assert get_all_params(layer, trainable=True) == []
    assert [param.requires_grad for param in get_all_params(layer)] == [False, False]
    assert [key.partition(".")[2] for key in Network(layer).state_dict()] == ["b", "scales"]


def test_standardize_leaves_its_arguments_alone():
    offset, scale = np.ones(4, np.float32), torch.full((4,), 2.0)
    layer = standardize((None, 4), offset, scale)
    layer.scales.zero_()
    layer.input_layer.b.zero_()
    assert offset.tolist() == [1] * 4
    assert scale.tolist() == [2] * 4


def test_standardize_by_position():
    offset = np.arange(6.0).reshape(2, 3)
    layer = standardize(InputLayer((None, 2, 3)), offset, np.full((2, 3), 2.0), shared_axes=0)
    x = torch.ones(5, 2, 3)
    assert torch.equal(get_output(layer, x), (x - torch.tensor(offset).float()) / 2)
