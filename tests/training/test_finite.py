import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne import init, nonlinearities
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    ElemwiseSumLayer,
    GaussianNoiseLayer,
    InputLayer,
    MaxPool2DLayer,
    Network,
    NonlinearityLayer,
    batch_norm,
)
from lasagne.objectives import categorical_crossentropy
from tests.paths import ROOT
from training.finite import first_not_finite

NUMBER = 6
LABELS = torch.arange(NUMBER) % 3
PICTURES = torch.rand(NUMBER, 2, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
ROWS = PICTURES.flatten(1)


def output(layer, name="output"):
    return DenseLayer(layer, 3, name=name, nonlinearity=nonlinearities.softmax)


def dense(layer, name, **options):
    return DenseLayer(layer, 5, name=name, **options)


def huge(layer):
    """Makes a layer overflow: sums of at least two such products are beyond float32."""
    layer.W.data.fill_(3e38)


def test_a_healthy_network_has_nothing_to_name():
    layer = dense(InputLayer((None, 128)), "hidden")
    assert first_not_finite(Network(output(layer)), ROWS, LABELS) is None


@settings(max_examples=25, deadline=None)
@given(depth=st.integers(1, 6), data=st.data())
def test_the_layer_that_overflows_is_named_wherever_it_is(depth, data):
    """A NaN spreads to all layers above; only the first of them made it."""
    at = data.draw(st.integers(0, depth - 1))
    named = data.draw(st.booleans())
    layer, layers = InputLayer((None, 128)), []
    for index in range(depth):
        W = init.Constant(0.25)
        layer = DenseLayer(layer, 4, W=W, name=f"ld{index}" if named else None)
        layers.append(layer)
    huge(layers[at])
    found = first_not_finite(Network(output(layer)), ROWS, LABELS)
    name = f"layer 'ld{at}'" if named else f"DenseLayer{at + 1}"
    assert found == f"the activations of {name}"


@pytest.mark.parametrize(
    ("function", "value"), [(torch.exp, 100.0), (torch.log, 0.0), (torch.reciprocal, 0.0)]
)
def test_functions_that_overflow(function, value):
    layer = dense(InputLayer((None, 128)), "before", W=init.Constant(0), b=init.Constant(value))
    layer = NonlinearityLayer(layer, function, name="function")
    found = first_not_finite(Network(output(dense(layer, "after"))), ROWS, LABELS)
    assert found == "the activations of layer 'function'"


def test_layers_that_are_computed_at_once_are_told_apart():
    incoming = InputLayer((None, 2, 8, 8))
    convolutions = [Conv2DLayer(incoming, 2, 3, name=f"conv{i}") for i in range(4)]
    pooled = [MaxPool2DLayer(one, 2, name=f"pool{i}") for i, one in enumerate(convolutions)]
    network = Network(output(ConcatLayer(pooled)))
    assert len(network._steps) == 4  # input, the block, concatenation, output
    huge(convolutions[2])
    assert first_not_finite(network, PICTURES, LABELS) == "the activations of layer 'conv2'"
    convolutions[2].W.data.fill_(0.1)
    assert first_not_finite(network, PICTURES, LABELS) is None
    convolutions[2].b.data[1] = torch.nan
    assert first_not_finite(network, PICTURES, LABELS) == "the parameter b of layer 'conv2'"


def test_several_inputs():
    left, right = (InputLayer((None, 128), name=name) for name in ("left", "right"))
    hidden = [dense(left, "of left"), dense(right, "of right")]
    network = Network(output(ConcatLayer(hidden)))
    bad = ROWS.clone()
    bad[2, 3] = torch.inf
    assert first_not_finite(network, [ROWS, ROWS], LABELS) is None
    found = first_not_finite(network, [ROWS, bad], LABELS)
    assert found == "the values of the batch at layer 'right'"
    huge(hidden[1])
    assert first_not_finite(network, [ROWS, 0 * ROWS], LABELS) is None
    found = first_not_finite(network, [0 * ROWS, ROWS], LABELS)
    assert found == "the activations of layer 'of right'"


def test_parameters_come_before_what_they_lead_to():
    first = batch_norm(dense(InputLayer((None, 128)), "first"))
    second = dense(first, "second")
    network = Network(output(dense(second, "third")))
    first.input_layer.inv_std.fill_(torch.inf)
    found = first_not_finite(network, ROWS, LABELS)
    assert found == "the parameter inv_std of layer 'first_bn'"
    second.b.data[0] = torch.nan
    found = first_not_finite(network, ROWS, LABELS)
    assert found == "the parameter inv_std of layer 'first_bn' and those of layer 'second'"
    first.input_layer.input_layer.W.data[:] = torch.nan
    found = first_not_finite(network, ROWS, LABELS)
    more = "and those of 2 more layers, up to layer 'second'"
    assert found == f"the parameter W of layer 'first' {more}"


def test_a_probability_of_zero_makes_the_loss_infinite():
    layer = dense(InputLayer((None, 128)), "hidden")
    layer = DenseLayer(layer, 3, W=init.Constant(0), name="output")
    network = Network(layer)
    assert categorical_crossentropy(network(ROWS), LABELS).isinf().all()
    found = first_not_finite(network, ROWS, LABELS)
    assert found == "the loss, though the activations of layer 'output' are finite"


def test_what_only_smoothing_makes_infinite():
    """The right label has probability 1, the others 0, which is expected of them at times."""
    first = torch.tensor([1.0, 0.0, 0.0])
    layer = NonlinearityLayer(DenseLayer(InputLayer((None, 128)), 3), lambda x: 0 * x + first)
    labels = torch.zeros_like(LABELS)
    assert first_not_finite(Network(layer), ROWS, labels) is None
    found = first_not_finite(Network(layer), ROWS, labels, 0.1)
    assert found == "the loss, though the activations of NonlinearityLayer2 are finite"


def test_the_gradient_of_a_root_at_zero():
    """Infinite times the finite gradient from above, then infinity times 0 for the weights."""
    below = dense(InputLayer((None, 128)), "below")
    root = dense(below, "root", W=init.Constant(0), nonlinearity=torch.sqrt)
    network = Network(output(root))
    found = first_not_finite(network, ROWS, LABELS)
    assert found == "the gradient of W of layer 'root'"
    categorical_crossentropy(network(ROWS), LABELS).mean().backward()
    assert not root.W.grad.isfinite().all()
    assert network.output_layer.W.grad.isfinite().all()


def test_a_layer_without_parameters_hands_down_a_bad_gradient():
    below = dense(InputLayer((None, 128)), "below", W=init.Constant(0))
    root = NonlinearityLayer(below, torch.sqrt)
    network = Network(output(dense(root, "above")))
    found = first_not_finite(network, ROWS, LABELS)
    assert found == "the gradient that NonlinearityLayer2 hands down to layer 'below'"
    other = ElemwiseSumLayer([NonlinearityLayer(below, torch.sqrt, name="root"), below])
    found = first_not_finite(Network(output(other)), ROWS, LABELS)
    # The sum's own gradient is finite: it is the root's, which comes first from above.
    names = "layer 'root' and ElemwiseSumLayer3"
    assert found == f"the gradient that {names} hand down to layer 'below'"


def test_the_gradient_of_a_tiny_probability():
    tiny = 1e-44  # its reciprocal is beyond float32
    layer = DenseLayer(
        InputLayer((None, 128)),
        3,
        W=init.Constant(0),
        b=init.Constant(tiny),
        nonlinearity=None,
        name="output",
    )
    found = first_not_finite(Network(layer), ROWS, LABELS)
    assert found == "the gradient that the loss hands down to layer 'output'"


def test_what_only_overflows_in_half_precision():
    layer = dense(InputLayer((None, 128)), "big", W=init.Constant(2000))
    network = Network(output(dense(layer, "top", W=init.Constant(1e-6))))
    assert first_not_finite(network, ROWS, LABELS) is None
    with torch.autocast("cpu", torch.float16):
        assert first_not_finite(network, ROWS, LABELS) == "the activations of layer 'big'"


def state(network):
    return {
        "values": {key: value.clone() for key, value in network.state_dict().items()},
        "gradients": {
            key: None if param.grad is None else param.grad.clone()
            for key, param in network.named_parameters()
        },
    }


@pytest.mark.parametrize("ending", ["finite", "activations", "loss", "gradients"])
@pytest.mark.parametrize("trained", [False, True])
def test_nothing_is_left_behind(ending, trained):
    layer = batch_norm(Conv2DLayer(InputLayer((None, 2, 8, 8)), 4, 3, name="conv"))
    layer = GaussianNoiseLayer(DropoutLayer(layer))
    layer = hidden = dense(layer, "hidden")
    if ending == "gradients":
        hidden.W.data.zero_()
        layer = NonlinearityLayer(layer, torch.sqrt)
    layer = output(layer)
    if ending == "loss":
        layer = NonlinearityLayer(layer, lambda x: 0 * x)
    network = Network(layer)
    if ending == "activations":
        huge(hidden)
    if trained:
        categorical_crossentropy(network(PICTURES), LABELS).mean().backward()
    before, random = copy.deepcopy(state(network)), torch.random.get_rng_state()
    found = first_not_finite(network, PICTURES, LABELS)
    assert (found is None) == (ending == "finite")
    assert {"activations": "activations", "loss": "loss", "gradients": "gradient"}.get(
        ending, ""
    ) in str(found)
    torch.testing.assert_close(state(network), before, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not any(module._forward_hooks for module in network.modules())
    with torch.no_grad():
        assert not network(PICTURES).requires_grad


def test_without_gradients_wanted_outside_they_are_still_looked_at():
    below = dense(InputLayer((None, 128)), "root", W=init.Constant(0), nonlinearity=torch.sqrt)
    with torch.no_grad():
        found = first_not_finite(Network(output(below)), ROWS, LABELS)
    assert found == "the gradient of W of layer 'root'"


ONE_OF_TWO = """
import sys, time
import torch
from torch import distributed
from lasagne.layers import DenseLayer, InputLayer, Network, batch_norm
from lasagne.nonlinearities import softmax
from tests.paths import ROOT
from training.finite import first_not_finite
rank = int(sys.argv[1])
distributed.init_process_group("gloo", f"file://{sys.argv[2]}", rank=rank, world_size=2)
layer = batch_norm(DenseLayer(InputLayer((None, 4)), 5, name="hidden"))
network = Network(DenseLayer(layer, 3, nonlinearity=softmax))
normalisation = layer.input_layer
normalisation.process_group = distributed.group.WORLD
if rank:
    normalisation.input_layer.W.data.fill_(3e38)
    print(first_not_finite(network, torch.ones(6, 4), torch.zeros(6, dtype=torch.int64)))
    assert normalisation.process_group is distributed.group.WORLD
distributed.barrier()
"""


def test_a_process_that_normalises_with_others_waits_for_none(tmp_path):
    store, options = str(tmp_path / "store"), {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    commands = [[sys.executable, "-c", ONE_OF_TWO, str(rank), store] for rank in range(2)]
    processes = [subprocess.Popen(command, **options) for command in commands]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert outputs == ["", "the activations of layer 'hidden'\n"]
    assert not any(process.returncode for process in processes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    layer = DropoutLayer(dense(InputLayer((None, 128)), "hidden"))
    network = Network(output(layer)).to("cuda")
    state = torch.cuda.get_rng_state()
    assert first_not_finite(network, ROWS.cuda(), LABELS.cuda()) is None
    assert torch.equal(torch.cuda.get_rng_state(), state)
    with torch.no_grad():
        network.output_layer.W[0, 0] = np.nan
    found = first_not_finite(network, ROWS.cuda(), LABELS.cuda())
    assert found == "the parameter W of layer 'output'"
