"""Pooling over channels and over all positions, by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import FeaturePoolLayer, FeatureWTALayer, GlobalPoolLayer


@st.composite
def groups(draw):
    """Draw a shape, an axis, and a number that divides its size."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    pool_size = draw(st.integers(1, 4))
    shape[axis] *= pool_size
    return tuple(shape), axis, pool_size


@settings(deadline=None)
@given(groups())
def test_feature_pool_by_hand(case):
    shape, axis, pool_size = case
    x = torch.randn(shape)
    layer = FeaturePoolLayer(shape, pool_size, axis)
    parts = [part.amax(axis, keepdim=True) for part in x.split(pool_size, axis)]
    assert layer.output_shape == layer(x).shape
    assert torch.equal(layer(x), torch.cat(parts, axis))


@settings(deadline=None)
@given(groups())
def test_winner_takes_all_by_hand(case):
    shape, axis, pool_size = case
    x = torch.randn(shape)
    layer = FeatureWTALayer(shape, pool_size, axis)
    parts = [part * (part == part.amax(axis, keepdim=True)) for part in x.split(pool_size, axis)]
    assert layer.output_shape == layer(x).shape
    assert torch.equal(layer(x), torch.cat(parts, axis))


def test_the_first_of_several_winners_takes_all():
    x = torch.tensor([[1.0, 1, 0, 2], [-1, -1, -torch.inf, -torch.inf]])
    y = FeatureWTALayer(x.shape, 2)(x)
    assert y.tolist() == [[1, 0, 0, 2], [-1, 0, -torch.inf, 0]]


def test_gradients():
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(FeatureWTALayer(x.shape, 3), x)
    assert torch.autograd.gradcheck(FeaturePoolLayer(x.shape, 3), x)
    assert torch.autograd.gradcheck(GlobalPoolLayer(x.shape, torch.logsumexp), x)


@pytest.mark.parametrize("function", [torch.max, torch.amax, lambda x, axis: x.max(axis)[0]])
def test_functions_that_pool(function):
    """What returns the places beside the values, like torch.max, will do as well."""
    x = torch.randn(2, 6, 4, 5)
    assert torch.equal(FeaturePoolLayer(x.shape, 6, pool_function=function)(x)[:, 0], x.amax(1))
    assert torch.equal(GlobalPoolLayer(x.shape, pool_function=function)(x), x.amax((2, 3)))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (2, 3, 1, 2, 3)])
def test_global_pool_is_the_mean(shape):
    x = torch.randn(shape)
    layer = GlobalPoolLayer((None, 3, *[None] * (len(shape) - 2)))
    assert layer.output_shape == (None, 3)
    torch.testing.assert_close(layer(x), x.flatten(2).mean(2))


@pytest.mark.parametrize("cls", [FeaturePoolLayer, FeatureWTALayer])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pool_size": 0}, ValueError, "'f': pool_size must be an integer of at least 1, got 0"),
        ({"pool_size": 1.5}, TypeError, "pool_size must be an integer of at least 1, got 1.5"),
        ({"pool_size": 4}, ValueError, r"axis 1 has a multiple of 4 as its size, got \(None, 6\)"),
        ({"axis": 0}, ValueError, r"axis 0 has a multiple of 2 as its size, got \(None, 6\)"),
        ({"axis": 2}, ValueError, r"axis must be one of the input's shape \(None, 6\), got 2"),
        ({"axis": -3}, ValueError, "'f': axis must be an integer of at least -2, got -3"),
    ],
)
def test_errors(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls(**{"incoming": (None, 6), "pool_size": 2, "name": "f"} | arguments)


def test_errors_of_pool_functions_and_global_pooling():
    with pytest.raises(TypeError, match="'f': pool_function must be callable, got 'max'"):
        FeaturePoolLayer((None, 6), 2, pool_function="max", name="f")
    with pytest.raises(TypeError, match="'g': pool_function must be callable, got 'max'"):
        GlobalPoolLayer((None, 6, 3), "max", name="g")
    with pytest.raises(ValueError, match=r"'g' needs .* at least three axes .*, got \(None, 6\)"):
        GlobalPoolLayer((None, 6), name="g")
