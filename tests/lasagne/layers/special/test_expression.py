"""Layers made of a function or of another layer's derivative."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import nonlinearities
from lasagne.layers import (
    BatchNormLayer,
    Conv1DLayer,
    Conv2DLayer,
    DenseLayer,
    ExpressionLayer,
    InputLayer,
    InverseLayer,
    LocalResponseNormalization2DLayer,
    MaxPool2DLayer,
    Network,
    NonlinearityLayer,
    Pool2DLayer,
    get_output,
)

FUNCTIONS = {
    "mean": lambda x: x.mean(-1),
    "sum over the batch": lambda x: x.sum(0),
    "flatten": lambda x: x.flatten(1),
    "all in one row": lambda x: x.reshape(1, -1),
    "rows of two": lambda x: x.reshape(-1, 2),
    "first": lambda x: x[:1],
    "new axis": lambda x: x[:, None],
    "transposed": lambda x: x.transpose(0, 1),
    "matrix": lambda x: torch.einsum("ij...,ik...->ijk", x, x),
    "scalar": torch.sum,
    "pooled": lambda x: x.unfold(-1, 2, 2).amax(-1),
}


class TestExpression:
    @settings(deadline=None, max_examples=80)
    @given(
        st.sampled_from(sorted(FUNCTIONS)),
        st.lists(st.integers(1, 3).map(lambda n: 2 * n), min_size=2, max_size=4).map(tuple),
        st.data(),
    )
    def test_shape_found_out_is_the_real_one(self, name, shape, data):
        unknown = data.draw(st.tuples(*(st.sampled_from([None, size]) for size in shape)))
        layer = ExpressionLayer(unknown, FUNCTIONS[name], output_shape="auto")
        real = layer(torch.zeros(shape)).shape
        assert len(layer.output_shape) == len(real)
        assert all(a in (None, b) for a, b in zip(layer.output_shape, real, strict=True))
        assert ExpressionLayer(shape, FUNCTIONS[name], "auto").output_shape == real

    @pytest.mark.parametrize(
        ("output_shape", "expected"),
        [
            (None, (None, 4, 6)),
            ((None, 24), (None, 24)),
            ([None, 24], (None, 24)),
            (lambda shape: (shape[0], shape[1] * shape[2]), (None, 24)),
            ("auto", (None, 24)),
        ],
    )
    def test_ways_to_say_the_shape(self, output_shape, expected):
        layer = ExpressionLayer((None, 4, 6), lambda x: x.flatten(1), output_shape)
        assert layer.output_shape == expected
        assert layer(torch.zeros(3, 4, 6)).shape == (3, 24)

    def test_function_is_not_tried_out_again(self):
        calls = []
        layer = ExpressionLayer((None, 4), lambda x: calls.append(x) or x, output_shape="auto")
        assert layer.output_shape == layer.output_shape == (None, 4)
        assert len(calls) == 2
        assert layer.get_output_shape_for((None, 5)) == (None, 5)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"function": 3}, TypeError, "'e': function must be callable, got 3"),
            (
                {"output_shape": "same"},
                TypeError,
                "output_shape must be None, 'auto', a tuple or a callable, got 'same'",
            ),
            ({"output_shape": 3}, TypeError, "output_shape must be .* got 3"),
        ],
    )
    def test_errors(self, arguments, error, message):
        with pytest.raises(error, match=message):
            ExpressionLayer(**{"incoming": (2, 3), "function": abs, "name": "e"} | arguments)

    def test_function_that_fails_on_zeros(self):
        layer = ExpressionLayer((None, 3), lambda x: x.view(7, -1), output_shape="auto")
        with pytest.raises(ValueError, match=r"accepts zeros of shape \(24, 3\), got RuntimeError"):
            _ = layer.output_shape

    def test_function_whose_number_of_axes_varies(self):
        layer = ExpressionLayer(
            (None, 3), lambda x: x if len(x) == 24 else x[0], output_shape="auto"
        )
        with pytest.raises(ValueError, match=r"shapes \(24, 3\) and \(3,\)"):
            _ = layer.output_shape


class TestInverse:
    """The transposed Jacobian: <inverse(y), x> = <y, layer(x)> for linear layers."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda layer: DenseLayer(layer, 7, b=None, nonlinearity=None),
            lambda layer: Conv2DLayer(layer, 4, 3, b=None, nonlinearity=None),
            lambda layer: Conv2DLayer(layer, 4, (2, 3), (2, 1), 1, b=None, nonlinearity=None),
            lambda layer: Conv2DLayer(
                layer, 4, 3, pad="same", flip_filters=False, b=None, nonlinearity=None
            ),
            lambda layer: Pool2DLayer(layer, 2, mode="average_inc_pad"),
        ],
    )
    def test_adjoint_of_linear_layers(self, make):
        layer = make(InputLayer((2, 3, 6, 8))).double()
        inverse = InverseLayer(layer.output_shape, layer)
        x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
        y = torch.randn(layer.output_shape, dtype=torch.float64)
        back = inverse([y, layer(x), x])
        assert back.shape == inverse.output_shape == x.shape
        torch.testing.assert_close((back * x).sum(), (y * layer(x)).sum())

    def test_dense_is_the_transposed_weights(self):
        layer = DenseLayer(InputLayer((None, 4)), 3, nonlinearity=None)
        x, y = torch.randn(5, 4), torch.randn(5, 3)
        torch.testing.assert_close(InverseLayer((None, 3), layer)([y, None, x]), y @ layer.W.T)

    def test_conv1d_is_pytorchs_transposed_convolution(self):
        layer = Conv1DLayer(
            (2, 3, 11), 4, 5, stride=2, pad=2, nonlinearity=None, flip_filters=False
        )
        x, y = torch.randn(2, 3, 11), torch.randn(2, 4, 6)
        expected = torch.nn.functional.conv_transpose1d(y, layer.W, stride=2, padding=2)
        torch.testing.assert_close(InverseLayer(y.shape, layer)([y, None, x]), expected)

    def test_max_pool_puts_values_back_where_the_maxima_were(self):
        layer = MaxPool2DLayer(InputLayer((2, 3, 6, 8)), 2)
        x, y = torch.randn(2, 3, 6, 8), torch.randn(2, 3, 3, 4)
        _, indices = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
        expected = torch.nn.functional.max_unpool2d(y, indices, 2)
        assert torch.equal(InverseLayer(y.shape, layer)([y, None, x]), expected)

    def test_derivative_of_a_nonlinearity(self):
        layer = NonlinearityLayer((2, 3), nonlinearities.tanh)
        x, y = torch.randn(2, 3), torch.randn(2, 3)
        expected = y * (1 - torch.tanh(x) ** 2)
        torch.testing.assert_close(InverseLayer((2, 3), layer)([y, None, x]), expected)

    @pytest.mark.parametrize(
        "make",
        [
            lambda layer: Conv2DLayer(layer, 2, 2, nonlinearity=nonlinearities.tanh),
            lambda layer: MaxPool2DLayer(layer, 2),
            lambda layer: DenseLayer(layer, 3, nonlinearity=nonlinearities.sigmoid),
            BatchNormLayer,
            lambda layer: LocalResponseNormalization2DLayer(layer, alpha=0.3),
        ],
    )
    def test_gradients_through_the_derivative(self, make):
        encoder = make(InputLayer((2, 2, 4, 4)))
        network = Network(InverseLayer(encoder, encoder)).double()
        x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
        names, values = zip(("x", x), *network.named_parameters(), strict=True)

        def output(x, *values):
            params = dict(zip(names[1:], values, strict=True))
            return torch.func.functional_call(network, params, (x,))

        assert torch.autograd.gradcheck(output, values)

    def test_an_autoencoder_owns_its_weights_once(self):
        conv = Conv2DLayer(InputLayer((None, 3, 8, 8)), 4, 3, name="conv")
        pool = MaxPool2DLayer(conv, 2)
        dense = DenseLayer(pool, 5, name="dense")
        layer = dense
        for encoder in (dense, pool, conv):
            layer = InverseLayer(layer, encoder)
        network = Network(layer)
        assert sorted(network.state_dict()) == ["conv.W", "conv.b", "dense.W", "dense.b"]
        assert layer.output_shape == (None, 3, 8, 8)
        x = torch.randn(2, 3, 8, 8)
        with torch.no_grad():
            without_gradients = network(x)
        y = network(x)
        assert y.shape == x.shape
        torch.testing.assert_close(y, without_gradients)
        y.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
        torch.testing.assert_close(copy.deepcopy(network)(x), y)

    def test_averages_are_not_updated_twice(self):
        layer = BatchNormLayer(InputLayer((None, 3)))
        x = torch.randn(6, 3) + 2
        get_output(InverseLayer(layer, layer), x)
        torch.testing.assert_close(layer.mean, 0.1 * x.mean(0))

    def test_arguments_reach_the_layer(self):
        layer = BatchNormLayer(InputLayer((None, 3)), inv_std=[2, 3, 4])
        x = torch.randn(6, 3)
        y = get_output(InverseLayer(layer, layer), x, deterministic=True)
        torch.testing.assert_close(y, x * torch.tensor([4.0, 9, 16]))

    def test_bfloat16_autocast(self):
        conv = Conv2DLayer(InputLayer((None, 3, 8, 8)), 4, 3, nonlinearity=None)
        network = Network(InverseLayer(conv, conv))
        x = torch.randn(2, 3, 8, 8)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
        torch.testing.assert_close(half.float(), network(x), atol=0.1, rtol=0.1)

    def test_compiles_without_a_break(self):
        torch._dynamo.reset()
        conv = Conv2DLayer(InputLayer((None, 3, 8, 8)), 4, 3)
        network = Network(InverseLayer(conv, conv))
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        x = torch.randn(2, 3, 8, 8)
        torch.testing.assert_close(compiled(x), network(x))

    def test_layer_that_cannot_be_inverted(self):
        merge = InverseLayer((2, 3), NonlinearityLayer((2, 3)))
        for layer in (merge, InputLayer((2, 3)), (2, 3)):
            with pytest.raises(TypeError, match="InverseLayer: layer must be a layer with one "):
                InverseLayer((2, 3), layer)

    @pytest.mark.parametrize("shape", [(2, 4), (2, 3, 1)])
    def test_input_of_another_shape(self, shape):
        layer = DenseLayer((2, 5), 3)
        with pytest.raises(ValueError, match=r"that DenseLayer returns, \(2, 3\), got \(2, "):
            InverseLayer(shape, layer)
