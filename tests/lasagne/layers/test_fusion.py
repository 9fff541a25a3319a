"""What a network computes at once has the numbers of its layers, one after another."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import nonlinearities
from lasagne.layers import (
    ConcatLayer,
    Conv1DLayer,
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    Layer,
    MaxPool1DLayer,
    MaxPool2DLayer,
    Network,
    Pool2DLayer,
    get_all_layers,
    get_all_params,
    get_output,
)
from lasagne.layers.fusion import Block


def blocks(network: Network) -> list[Block]:
    return [step.compute for step in network._steps if isinstance(step.compute, Block)]


def both_ways(layer: Layer, *shapes: tuple[int, ...]) -> list[list[torch.Tensor]]:
    """Return output and gradients, of a network and layer by layer, in float64."""
    network = Network(layer).double()
    params = get_all_params(layer, trainable=True)
    results = []
    for compute in (
        lambda x: network(*x),
        lambda x: get_output(layer, dict(zip(network.input_layers, x, strict=True))),
    ):
        generator = torch.Generator().manual_seed(5)
        x = [torch.randn(s, generator=generator).double().requires_grad_() for s in shapes]
        y = compute(x)
        y = torch.cat([one.flatten(1) for one in y], 1) if isinstance(y, list) else y
        grads = torch.autograd.grad(y.sin().sum(), [*x, *params])
        results.append([y.detach(), *grads])
    return results


def check(layer: Layer, *shapes: tuple[int, ...], expected_blocks: int) -> None:
    assert len(blocks(Network(layer))) == expected_blocks
    for ours, expected in zip(*both_ways(layer, *shapes), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_parallel_convolutions_of_two_sizes():
    incoming = InputLayer((None, 2, 8, 30))
    convolutions = [Conv2DLayer(incoming, 3, (1, width)) for width in (4, 7, 4, 7, 9)]
    pools = [MaxPool2DLayer(one, (4, one.output_shape[3])) for one in convolutions]
    check(DenseLayer(ConcatLayer(pools), 3), (5, 2, 8, 30), expected_blocks=3)


def test_what_shows_inside_is_not_skipped():
    """A convolution that is itself wanted, or feeds two layers, keeps its own value."""
    incoming = InputLayer((None, 1, 6, 6))
    first, second = (Conv2DLayer(incoming, 2, 3, pad="same") for _ in range(2))
    pooled = MaxPool2DLayer(first, 2)
    check([pooled, first], (2, 1, 6, 6), expected_blocks=0)
    check([pooled, DenseLayer(first, 1)], (2, 1, 6, 6), expected_blocks=0)
    check([first, second], (2, 1, 6, 6), expected_blocks=1)
    check([pooled, MaxPool2DLayer(second, 3)], (2, 1, 6, 6), expected_blocks=2)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_pair_of_convolutions(data: st.DataObject):
    """Whatever two layers have in common or not, the numbers stay."""
    incoming = InputLayer((None, 4, 9, 8))
    leaky = nonlinearities.LeakyRectify(-0.5)

    def draw_layer() -> Layer:
        layer = Conv2DLayer(
            incoming,
            data.draw(st.sampled_from([2, 4])),
            data.draw(st.sampled_from([1, 3])),
            stride=data.draw(st.sampled_from([1, 2])),
            pad=data.draw(st.sampled_from([1, "same"])),
            untie_biases=data.draw(st.booleans()),
            b=data.draw(st.sampled_from([None, 0.3])) and data.draw(st.just(_noise)),
            nonlinearity=data.draw(
                st.sampled_from(
                    [
                        nonlinearities.rectify,
                        nonlinearities.tanh,
                        nonlinearities.very_leaky_rectify,
                        leaky,
                        None,
                        _by_channel,
                    ]
                )
            ),
            flip_filters=data.draw(st.booleans()),
            num_groups=data.draw(st.sampled_from([1, 2])),
        )
        pool = data.draw(st.sampled_from([None, "max", "average_inc_pad"]))
        return layer if pool is None else Pool2DLayer(layer, 2, stride=1, mode=pool)

    outputs = [draw_layer() for _ in range(data.draw(st.integers(1, 3)))]
    for ours, expected in zip(*both_ways(outputs, (2, 4, 9, 8)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def _noise(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).numpy()


def _by_channel(x):
    return x - x.mean(dim=1, keepdim=True)


def test_one_tensor_for_several_inputs():
    """MIRdl's nets have an input layer each, and get the same patches."""
    convolutions = [Conv1DLayer(InputLayer((None, 2, 9)), 3, 4) for _ in range(3)]
    layer = ConcatLayer([MaxPool1DLayer(one, 2) for one in convolutions])
    network, x = Network(layer), torch.randn(5, 2, 9)
    assert [len(network._steps), len(network._steps_for_one_input)] == [3 + 3 + 1, 3 + 1 + 1]
    torch.testing.assert_close(network(x), get_output(layer, x))
    xs = [torch.randn(5, 2, 9) for _ in range(3)]
    expected = get_output(layer, dict(zip(network.input_layers, xs, strict=True)))
    torch.testing.assert_close(network(*xs), expected)


def test_rectifier_after_pooling_has_equal_gradients_also_where_nothing_is_positive():
    incoming = InputLayer((None, 1, 4, 4))
    layer = MaxPool2DLayer(Conv2DLayer(incoming, 1, 1, W=[[[[1.0]]]]), 2)
    x = torch.tensor([[-1.0, -2, 3, 3], [-3, -4, 1, 2], [0, 0, -1, 5], [0, 0, 2, 5]])
    grads = []
    for compute in (Network(layer), lambda x: get_output(layer, x)):
        value = x[None, None].clone().requires_grad_()
        grads.append(torch.autograd.grad(compute(value).sum(), value)[0])
    assert torch.equal(*grads)


def test_layers_with_hooks_are_computed_on_their_own():
    incoming = InputLayer((None, 1, 6, 6))
    convolutions = [Conv2DLayer(incoming, 2, 3) for _ in range(2)]
    pools = [MaxPool2DLayer(one, 2) for one in convolutions]
    network, x = Network(ConcatLayer(pools)), torch.randn(3, 1, 6, 6)
    expected = network(x)
    seen = []
    handle = convolutions[1].register_forward_hook(lambda *args: seen.append(args[2]))
    torch.testing.assert_close(network(x), expected)
    handle.remove()
    network(x)
    (value,) = seen
    torch.testing.assert_close(value, get_output(convolutions[1], x))


@pytest.mark.parametrize("change", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_compute_with_their_own_parameters(change):
    incoming = InputLayer((None, 1, 6, 6))
    layer = ConcatLayer([MaxPool2DLayer(Conv2DLayer(incoming, 2, 3), 2) for _ in range(2)])
    network, x = Network(layer), torch.randn(3, 1, 6, 6)
    twin = change(network)
    torch.testing.assert_close(twin(x), network(x))
    with torch.no_grad():
        for param in twin.parameters():
            param.zero_()
    assert not twin(x).any()
    assert network(x).any()
    assert len(get_all_layers(twin.output_layer)) == 6


def pair(**kwargs) -> tuple[Layer, list[Conv2DLayer]]:
    incoming = InputLayer((None, 2, 6, 6))
    convolutions = [Conv2DLayer(incoming, 3, 3, **kwargs) for _ in range(2)]
    return ConcatLayer([MaxPool2DLayer(one, 2) for one in convolutions]), convolutions


def test_a_convolution_of_ones_own_sees_its_own_filters():
    def scaled(x, w, b, **kwargs):
        return torch.nn.functional.conv2d(x, w.sign() * w.abs().mean(), b, **kwargs)

    layer, _ = pair(convolution=scaled)
    check(layer, (4, 2, 6, 6), expected_blocks=0)


def test_a_subclass_of_a_nonlinearity_may_do_anything():
    class Centred(nonlinearities.LeakyRectify):
        def __call__(self, x):
            return x - x.mean(dim=1, keepdim=True)

    layer, _ = pair(nonlinearity=Centred())
    check(layer, (4, 2, 6, 6), expected_blocks=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: setattr(conv, "nonlinearity", torch.tanh),
        lambda conv: setattr(conv, "flip_filters", False),
        lambda conv: setattr(conv, "stride", (1, 2)),
        lambda conv: conv.remove_param(conv.b),
    ],
)
@pytest.mark.parametrize("changed", [[0], [1], [0, 1]])
def test_layers_that_are_changed_later(change, changed):
    layer, convolutions = pair()
    network, x = Network([layer.input_layers[0], layer.input_layers[1]]), torch.randn(3, 2, 6, 6)
    for i in changed:
        change(convolutions[i])
    expected = get_output(network.output_layer, x)
    for ours, theirs in zip(network(x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_input_layers_of_ones_own_are_heard():
    class Doubled(InputLayer):
        def get_output_for(self, input, **kwargs):
            return 2 * input

    left, right = InputLayer((None, 2)), Doubled((None, 2))
    network, x = Network(ConcatLayer([left, right])), torch.ones(1, 2)
    assert network(x).tolist() == [[1, 1, 2, 2]]
    handle = left.register_forward_hook(lambda layer, args, output: output + 5)
    assert network(x).tolist() == [[6, 6, 2, 2]]
    handle.remove()
