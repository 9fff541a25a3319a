"""Rectifiers with learned and random slopes: formulas, statistics, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import nonlinearities
from lasagne.layers import (
    DenseLayer,
    InputLayer,
    ParametricRectifierLayer,
    RandomizedRectifierLayer,
    get_output,
    prelu,
    rrelu,
)

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.data())
def test_learned_slopes_against_the_formula(shape, data):
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)).map(tuple))
    unknown = tuple(None if i in axes else size for i, size in enumerate(shape))
    broadcast = [1 if i in axes else size for i, size in enumerate(shape)]
    random = np.random.default_rng(0)
    x = random.normal(size=shape).astype(np.float32)
    alpha = random.normal(size=broadcast).astype(np.float32)
    kept = [size for i, size in enumerate(shape) if i not in axes]
    layer = ParametricRectifierLayer(unknown, alpha.reshape(kept), axes)
    assert layer.output_shape == unknown
    y = layer(torch.from_numpy(x)).detach()
    np.testing.assert_array_equal(y, np.where(x > 0, x, alpha * x))


@pytest.mark.parametrize("axes", ["auto", "all", 0, ()])
def test_learned_slopes_gradients(axes):
    layer = ParametricRectifierLayer((2, 3, 4), shared_axes=axes).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def output(x, alpha):
        return torch.func.functional_call(layer, {"alpha": alpha}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.alpha))
    assert torch.autograd.gradgradcheck(output, (x, layer.alpha))


@pytest.mark.parametrize("layer", [ParametricRectifierLayer, RandomizedRectifierLayer])
@pytest.mark.parametrize("axes", ["auto", 0])
def test_half_precision_stays_what_it_is(layer, axes):
    x = torch.randn(2, 3, 4, dtype=torch.bfloat16)
    assert layer(tuple(x.shape), shared_axes=axes)(x).dtype == torch.bfloat16


@pytest.mark.parametrize(("function", "slope"), [(prelu, 0.25), (rrelu, 0.55)])
def test_in_place_of_a_nonlinearity(function, slope):
    dense = DenseLayer(InputLayer((None, 4)), 3, nonlinearity=nonlinearities.tanh)
    layer = function(dense, shared_axes="all", name="p")
    assert layer.name == "p"
    assert dense.nonlinearity is nonlinearities.identity
    x = torch.randn(5, 4)
    expected = torch.nn.functional.leaky_relu(x @ dense.W + dense.b, slope)
    torch.testing.assert_close(get_output(layer, x, deterministic=True), expected)


@pytest.mark.parametrize("function", [prelu, rrelu])
def test_on_top_of_a_layer_without_nonlinearity(function):
    assert function(InputLayer((None, 4))).output_shape == (None, 4)
    assert function((2, 4)).output_shape == (2, 4)


class TestRandomSlopes:
    def test_they_are_uniform_in_the_range(self):
        x = -torch.ones(200, 300)
        slopes = -RandomizedRectifierLayer(x.shape, lower=0.2, upper=0.6, shared_axes=())(x)
        assert 0.2 <= slopes.min() < 0.21
        assert 0.59 < slopes.max() <= 0.6
        assert slopes.mean() == pytest.approx(0.4, abs=0.003)
        assert slopes.std() == pytest.approx(0.4 / 12**0.5, abs=0.003)

    @pytest.mark.parametrize(
        ("axes", "drawn"), [("auto", 3), ("all", 1), (1, 40), ((0, -1), 12), ((), 120)]
    )
    def test_shared_axes(self, axes, drawn):
        x = -torch.ones(2, 3, 4, 5)
        assert len(RandomizedRectifierLayer(x.shape, shared_axes=axes)(x).unique()) == drawn

    def test_positive_values_and_the_seed(self):
        x = torch.randn(20, 30)
        layer = RandomizedRectifierLayer(InputLayer((None, 30)))
        torch.manual_seed(1)
        y = get_output(layer, x)
        torch.manual_seed(1)
        assert torch.equal(get_output(layer, x), y)
        assert not torch.equal(get_output(layer, x), y)
        assert torch.equal(y[x > 0], x[x > 0])
        expected = torch.nn.functional.leaky_relu(x, 0.55)
        torch.testing.assert_close(get_output(layer, x, deterministic=True), expected)

    def test_gradient_is_the_slope_drawn(self):
        x = torch.randn(4, 5, requires_grad=True)
        y = RandomizedRectifierLayer(x.shape)(x)
        y.sum().backward()
        torch.testing.assert_close(x.grad, (y / x).detach())

    def test_bounds_may_be_tensors(self):
        x = -torch.ones(50, 60)
        lower, upper = torch.tensor(0.5), torch.tensor(0.7)
        slopes = -RandomizedRectifierLayer(x.shape, lower, upper)(x)
        assert 0.5 <= slopes.min() < slopes.max() <= 0.7

    def test_bounds_in_the_wrong_order(self):
        with pytest.raises(
            ValueError, match=r"'r': lower must not be larger than upper, got 0.5 and 0.4"
        ):
            RandomizedRectifierLayer((2, 3), 0.5, 0.4, name="r")


@pytest.mark.parametrize("layer", [ParametricRectifierLayer, RandomizedRectifierLayer])
def test_axis_that_does_not_exist(layer):
    with pytest.raises(
        ValueError, match=r"shared_axes must be 'auto', 'all' or axes of .* \(2, 3\), got \(0, 2\)"
    ):
        layer((2, 3), shared_axes=(0, 2))


def test_unknown_size_that_is_not_shared():
    with pytest.raises(ValueError, match=r"known along all axes but shared_axes=\(1,\), got"):
        ParametricRectifierLayer((None, 3), shared_axes=1)
