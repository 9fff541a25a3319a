"""Pools over all frames against PyTorch's convolution and pooling, and where they are not used."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lasagne import nonlinearities
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    Layer,
    MaxPool2DLayer,
    Network,
    Pool2DLayer,
    get_output,
    pooled_conv,
)
from lasagne.layers.dnn import Conv2DDNNLayer
from lasagne.layers.pooled_conv import max_correlation


def plain(x: torch.Tensor, filters: torch.Tensor, bands: int) -> torch.Tensor:
    """Return what PyTorch makes of it, with all values in between."""
    frames = x.shape[3] - filters.shape[3] + 1
    return functional.max_pool2d(functional.conv2d(x, filters), (bands, frames))


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def check(x: torch.Tensor, filters: torch.Tensor, bands: int, tolerance: float = 1e-12) -> None:
    """Compare values and gradients."""
    results = []
    for compute in (max_correlation, plain):
        y = compute(x, filters, bands)
        results.append([y, *torch.autograd.grad(y.sin().sum(), [x, filters])])
    for ours, expected in zip(*results, strict=True):
        assert ours.dtype == expected.dtype
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 4),
    height=st.integers(1, 9),
    frames=st.integers(1, 70),
    num_filters=st.sampled_from([1, 2, 5, 40, 130]),
    data=st.data(),
)
def test_any_shapes(batch, height, frames, num_filters, data):
    length, bands = data.draw(st.integers(1, frames)), data.draw(st.integers(1, height))
    x, filters = draw(batch, 1, height, frames), draw(num_filters, 1, 1, length, seed=4)
    check(x, filters, bands)


@pytest.mark.parametrize("bytes_at_once", [1, 5_000, 50_000])
def test_a_part_at_a_time(bytes_at_once, monkeypatch):
    monkeypatch.setattr(pooled_conv, "_BYTES_AT_ONCE", {"cpu": bytes_at_once})
    check(draw(5, 1, 8, 30), draw(8, 1, 1, 6), 4)


def test_float32():
    x, filters = draw(3, 1, 8, 60, dtype=torch.float32), draw(8, 1, 1, 16, dtype=torch.float32)
    check(x, filters, 4, tolerance=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_input_that_is_not_contiguous(dtype):
    x = draw(60, 1, 8, 3, dtype=dtype).permute(3, 1, 2, 0)
    check(x, draw(8, 1, 1, 16, dtype=dtype), 3, tolerance=1e-5)


def test_derivatives_of_the_first_and_second_order():
    x, filters = draw(2, 1, 4, 9), draw(3, 1, 1, 4)
    arguments = x, filters, 2
    assert torch.autograd.gradcheck(max_correlation, arguments)
    assert torch.autograd.gradgradcheck(max_correlation, arguments)


def test_only_the_gradients_that_are_wanted():
    x, filters = draw(2, 1, 4, 9), draw(3, 1, 1, 4)
    for wanted, other in ((x, filters.detach()), (filters, x.detach())):
        arguments = (wanted, other) if wanted is x else (other, wanted)
        (ours,), (expected,) = (
            torch.autograd.grad(compute(*arguments, 2).sum(), [wanted])
            for compute in (max_correlation, plain)
        )
        torch.testing.assert_close(ours, expected)


def test_of_equal_values_one_gets_the_gradient():
    x = torch.ones(1, 1, 2, 12, dtype=torch.float64, requires_grad=True)
    filters = torch.ones(1, 1, 1, 3, dtype=torch.float64, requires_grad=True)
    y = max_correlation(x, filters, 2)
    y.backward()
    assert y.tolist() == [[[[3]]]]
    assert filters.grad.flatten().tolist() == [1, 1, 1]
    (touched,) = x.grad[0, 0].sum(0).nonzero(as_tuple=True)
    assert x.grad.sum() == 3
    assert touched.tolist() == list(range(touched[0], touched[0] + 3))


@pytest.mark.parametrize("compute", [max_correlation, plain])
def test_no_instances(compute):
    x, filters = draw(0, 1, 8, 30), draw(5, 1, 1, 6)
    y = compute(x, filters, 4)
    assert y.shape == (0, 5, 2, 1)
    grads = torch.autograd.grad(y.sum(), [x, filters])
    assert [grad.shape for grad in grads] == [x.shape, filters.shape]
    assert not grads[1].any()


def test_values_that_are_not_numbers_are_seen():
    x = draw(2, 1, 4, 20).detach()
    x[1, 0, 2, 7] = torch.nan
    y = max_correlation(x, draw(3, 1, 1, 5), 2)
    assert y.isnan()[:, 0, :, 0].tolist() == [[False, False], [False, True]]


def test_autocast():
    x, filters = draw(4, 1, 8, 60, dtype=torch.float32), draw(8, 1, 1, 16, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = max_correlation(x, filters, 4), plain(x, filters, 4)
        grads = torch.autograd.grad(y.float().sum(), [x, filters])
    assert y.dtype == expected.dtype == torch.bfloat16
    assert [grad.dtype for grad in grads] == [torch.float32] * 2
    torch.testing.assert_close(y, expected)
    exact = torch.autograd.grad(plain(x, filters, 4).sum(), [x, filters])
    for ours, other in zip(grads, exact, strict=True):
        assert functional.cosine_similarity(ours.flatten(), other.flatten(), 0) > 0.98
    with torch.autocast("cpu", torch.bfloat16):
        assert max_correlation(x.double(), filters.double(), 4).dtype == torch.float64


def test_types_that_differ_are_refused_as_by_a_convolution():
    for compute in (max_correlation, plain):
        with pytest.raises(RuntimeError):
            compute(draw(1, 1, 2, 9), draw(1, 1, 1, 3, dtype=torch.float32), 2)


def test_what_is_kept_for_the_gradient_is_small():
    """No windows and no values in between; the input is there anyway."""
    x, filters = draw(3, 1, 40, 250, dtype=torch.float32), draw(8, 1, 1, 100, dtype=torch.float32)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = max_correlation(x, filters, 4)
    others = {x.untyped_storage().data_ptr(), filters.untyped_storage().data_ptr()}
    assert sum(size for key, size in kept.items() if key not in others) == 8 * y.numel()


def whole(conv: Layer, **kwargs) -> Layer:
    return MaxPool2DLayer(conv, (4, conv.output_shape[3]), **kwargs)


def temporal(pool=whole, kind=Conv2DLayer, **kwargs) -> Layer:
    """Return three convolutions of two lengths, each with a pool, by default over all frames."""
    incoming = InputLayer((None, 1, 8, 30))
    convs = [kind(incoming, 3, (1, length), **kwargs) for length in (4, 9, 4)]
    return DenseLayer(ConcatLayer([pool(conv) for conv in convs]), 2)


@pytest.fixture
def calls(monkeypatch):
    """Return a list that grows by the bands of every call of `max_correlation`."""
    seen = []

    def counted(x, filters, bands):
        seen.append(bands)
        return max_correlation(x, filters, bands)

    monkeypatch.setattr("lasagne.layers.fusion.max_correlation", counted)
    return seen


def compare_with_layers(layer: Layer, x: torch.Tensor) -> None:
    """Compare a network with its layers, one after another, in float64."""
    network = Network(layer).double()
    results = []
    for compute in (network, lambda x: get_output(layer, x)):
        x = x.detach().double().requires_grad_()
        y = compute(x)
        results.append([y, *torch.autograd.grad(y.sum(), [x, *network.parameters()])])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def biases(shape):
    return torch.linspace(-3, 1, shape[0]).numpy()


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"b": biases},
        {"b": None},
        {"nonlinearity": None},
        {"nonlinearity": nonlinearities.leaky_rectify},
        {"flip_filters": False},
        {"kind": Conv2DDNNLayer},
        {"pool": partial(whole, stride=(4, 1))},
    ],
)
def test_networks_use_it(kwargs, calls):
    compare_with_layers(temporal(**kwargs), draw(5, 1, 8, 30))
    assert calls == [4, 4]


def _narrower(conv):
    return MaxPool2DLayer(conv, (4, conv.output_shape[3] - 1))


def _mean(conv):
    return Pool2DLayer(conv, (4, conv.output_shape[3]), mode="average_inc_pad")


@pytest.mark.parametrize(
    "kwargs",
    [
        {"stride": (1, 2)},
        {"pad": (0, 1)},
        {"untie_biases": True},
        {"nonlinearity": nonlinearities.tanh},
        {"nonlinearity": nonlinearities.LeakyRectify(-0.5)},
        {"pool": partial(whole, stride=(2, 1))},
        {"pool": partial(whole, pad=(1, 0))},
        {"pool": partial(whole, ignore_border=False)},
        {"pool": _narrower},
        {"pool": _mean},
    ],
)
def test_networks_do_without_it(kwargs, calls):
    compare_with_layers(temporal(**kwargs), draw(5, 1, 8, 30))
    assert not calls


@pytest.mark.parametrize(
    ("shape", "size"), [((None, 2, 8, 30), (1, 4)), ((None, 1, 8, 30), (2, 4))]
)
def test_other_channels_and_filters_do_without_it(shape, size, calls):
    conv = Conv2DLayer(InputLayer(shape), 3, size)
    compare_with_layers(MaxPool2DLayer(conv, (4, 27)), draw(5, *shape[1:]))
    assert not calls


def test_the_frames_that_come_count(calls):
    """Where the width is not known beforehand, a batch may be wider than a pool."""
    layer = MaxPool2DLayer(Conv2DLayer(InputLayer((None, 1, None, None)), 3, (1, 4)), (4, 27))
    compare_with_layers(layer, draw(2, 1, 8, 31))
    assert not calls
    compare_with_layers(layer, draw(2, 1, 9, 30))
    assert calls == [4]


def test_layers_that_are_watched_do_without_it(calls):
    layer = temporal()
    network, x = Network(layer), draw(2, 1, 8, 30, dtype=torch.float32)
    expected, seen = network(x), []
    conv = layer.input_layer.input_layers[0].input_layer
    handle = conv.register_forward_hook(lambda *args: seen.append(args[2].shape))
    calls.clear()
    torch.testing.assert_close(network(x), expected)
    assert (calls, seen) == ([4], [(2, 3, 8, 27)])
    handle.remove()


def test_a_layer_below_gets_its_gradient(calls):
    below = Conv2DLayer(InputLayer((None, 3, 8, 32)), 1, (1, 3), nonlinearity=None)
    conv = Conv2DLayer(below, 4, (1, 6))
    compare_with_layers(MaxPool2DLayer(conv, (2, 25)), draw(3, 3, 8, 32))
    assert calls == [2]


def test_without_gradients():
    network, x = Network(temporal()), draw(2, 1, 8, 30, dtype=torch.float32)
    expected = network(x)
    with torch.inference_mode():
        assert torch.equal(network(x), expected)


def test_what_transforms_or_compiles_does_without_it(calls):
    network, x = Network(temporal()), draw(2, 1, 8, 30, dtype=torch.float32).detach()
    params = {name: param.detach() for name, param in network.named_parameters()}
    expected = torch.autograd.grad(network(x).sum(), list(network.parameters()))
    calls.clear()
    grads = torch.func.grad(lambda p: torch.func.functional_call(network, p, (x,)).sum())(params)
    for ours, other in zip(grads.values(), expected, strict=True):
        torch.testing.assert_close(ours, other)
    compiled = torch.compile(copy.deepcopy(network), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))
    assert calls == [4, 4]  # by the last call alone
    assert network.to("meta")(x.to("meta")).shape == (2, 2)
