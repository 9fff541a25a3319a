"""Transposed convolutions are the transposes of convolutions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import init, nonlinearities
from lasagne.layers import (
    Conv2DLayer,
    Conv3DLayer,
    Deconv2DLayer,
    Deconv3DLayer,
    InputLayer,
    TransposedConv2DLayer,
    TransposedConv3DLayer,
)
from lasagne.layers.conv import conv_input_length

TRANSPOSED = {2: (TransposedConv2DLayer, Conv2DLayer), 3: (TransposedConv3DLayer, Conv3DLayer)}


@st.composite
def transposed_convolutions(draw):
    """Draw a convolution, and an input's shape with an output that is not empty."""
    n = draw(st.sampled_from([2, 3]))
    filters = draw(st.tuples(*[st.integers(1, 4)] * n))
    pads = [st.sampled_from(["valid", "full"]), st.integers(0, 4)]
    if all(size % 2 for size in filters):
        pads.append(st.just("same"))
    pad = draw(st.one_of(pads))
    sizes = draw(st.tuples(*[st.integers(1, 8)] * n))
    zeros = [{"valid": 0, "same": f // 2, "full": f - 1}.get(pad, pad) for f in filters]
    # A convolution's input must be as long as its filters.
    sizes = tuple(max(s, f - 2 * z) for s, f, z in zip(sizes, filters, zeros, strict=True))
    kwargs = {
        "filter_size": filters,
        "stride": draw(st.tuples(*[st.integers(1, 3)] * n)),
        "flip_filters": draw(st.booleans()),
    }
    return n, sizes, pad, kwargs


@settings(deadline=None, max_examples=150)
@given(transposed_convolutions(), st.booleans())
def test_transposes_the_convolution_with_the_same_arguments(case, known):
    """<conv(z), x> = <z, transposed(x)> for all z and x; one flips by default, one not."""
    n, sizes, pad, kwargs = case
    cls, conv_cls = TRANSPOSED[n]
    conv = conv_cls(
        (2, 3, *sizes), 4, pad=pad, W=init.Normal(1), b=None, nonlinearity=None, **kwargs
    ).double()
    kwargs["flip_filters"] = not kwargs["flip_filters"]
    shape = conv.output_shape
    incoming = InputLayer(shape if known else (*shape[:2], *[None] * n))
    layer = cls(
        incoming,
        3,
        crop=pad,
        W=conv.W,
        b=None,
        nonlinearity=None,
        output_size=sizes,
        num_groups=1,
        **kwargs,
    )
    x = torch.randn(shape, dtype=torch.float64)
    z = torch.randn(2, 3, *sizes, dtype=torch.float64)
    y = layer(x)
    assert y.shape == layer.output_shape == z.shape
    torch.testing.assert_close((conv(z) * x).sum(), (z * y).sum())
    lengths = zip(shape[2:], kwargs["filter_size"], kwargs["stride"], strict=True)
    if any(conv_input_length(*length, pad) < 1 for length in lengths):
        return
    smallest = cls(shape, 3, crop=pad, W=conv.W, b=None, nonlinearity=None, **kwargs)
    assert smallest(x).shape == smallest.output_shape
    whole = tuple(slice(None, size) for size in smallest.output_shape[2:])
    torch.testing.assert_close(smallest(x), y[:, :, *whole])


def test_shapes():
    layer = TransposedConv2DLayer((None, 8, None, 5), 3, (3, 4), stride=(1, 2))
    assert layer.output_shape == (None, 3, None, 12)
    assert layer.W.shape == (8, 3, 3, 4)
    assert layer.crop == (0, 0)
    assert layer(torch.zeros(1, 8, 4, 5)).shape == (1, 3, 6, 12)
    layer = TransposedConv2DLayer((None, 8, None, None), 3, 3, output_size=9, untie_biases=True)
    assert layer.output_shape == (None, 3, 9, 9)
    assert layer.b.shape == (3, 9, 9)
    assert TransposedConv3DLayer((1, 2, 3, 4, 5), 6, 3, crop="same").output_shape == (1, 6, 3, 4, 5)


def test_groups_have_no_effect():
    layer = TransposedConv2DLayer((1, 4, 3, 3), 6, 3, num_groups=2)
    assert layer.W.shape == (4, 6, 3, 3)
    assert layer(torch.zeros(1, 4, 3, 3)).shape == layer.output_shape


def test_aliases():
    assert Deconv2DLayer is TransposedConv2DLayer
    assert Deconv3DLayer is TransposedConv3DLayer


@pytest.mark.parametrize(
    ("cls", "shape"),
    [(TransposedConv2DLayer, (2, 2, 3, 2)), (TransposedConv3DLayer, (1, 2, 2, 2, 1))],
)
def test_gradients(cls, shape):
    layer = cls(shape, 2, 2, stride=2, nonlinearity=nonlinearities.tanh).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def output(x, w, b):
        return torch.func.functional_call(layer, {"W": w, "b": b}, (x,))

    assert torch.autograd.gradcheck(output, (x, layer.W, layer.b))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"output_size": 12},
            ValueError,
            r"'t': output_size .* \(9, 9\), .* \(2, 2\), got \(12, 12",
        ),
        ({"output_size": 8}, ValueError, r"output_size must be at least \(9, 9\)"),
        ({"output_size": (9, 9, 9)}, ValueError, r"'t': output_size must be .* tuple of 2"),
        ({"output_size": "9"}, TypeError, "output_size must be an integer .* got '9'"),
        ({"crop": 5}, ValueError, r"would be empty: .* \(None, 3, 4, 4\) .* sizes \(-1, -1\)"),
        ({"crop": -1}, ValueError, "crop must be an integer of at least 0 .* got -1"),
        ({"crop": "some"}, ValueError, "crop must be 'full', 'same', 'valid', .* got 'some'"),
        ({"crop": "same", "filter_size": 2}, ValueError, "crop='same' needs a filter_size that is"),
        ({"incoming": (1, 3, 4)}, ValueError, r"\(batch, channels, height, width\), got"),
    ],
)
def test_errors(arguments, error, message):
    given = {"incoming": (None, 3, 4, 4), "num_filters": 4, "filter_size": 3, "stride": 2}
    with pytest.raises(error, match=message):
        TransposedConv2DLayer(**given | {"name": "t"} | arguments)


def test_an_input_that_does_not_fit_the_output_size():
    layer = TransposedConv2DLayer((1, 1, None, None), 1, 3, stride=2, output_size=9)
    assert layer(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 9, 9)
    with pytest.raises(ValueError, match=r"output_size must be at least \(11, 9\)"):
        layer(torch.zeros(1, 1, 5, 4))
