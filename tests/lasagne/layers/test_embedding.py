"""Embeddings: shapes, gradients, errors; the numbers are in test_golden."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lasagne.layers import EmbeddingLayer, InputLayer, Network, get_output


@settings(deadline=None, max_examples=30)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    dtype=st.sampled_from([torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]),
)
def test_every_label_becomes_its_row(shape, sizes, dtype):
    layer = EmbeddingLayer(InputLayer(shape), *sizes)
    labels = torch.randint(sizes[0], shape, dtype=dtype)
    y = get_output(layer, labels)
    assert y.shape == layer.output_shape == (*shape, sizes[1])
    rows = [layer.W[label] for label in labels.flatten().tolist()]
    assert torch.equal(y.flatten(0, -2) if shape else y[None], torch.stack(rows))


def test_unknown_sizes():
    assert EmbeddingLayer((None, 3, None), 7, 2).output_shape == (None, 3, None, 2)


def test_negative_labels_count_from_the_end():
    layer = EmbeddingLayer((None,), 200, 2)
    y = layer(torch.tensor([-1, -128], dtype=torch.int8))
    assert torch.equal(y, layer.W[[199, 72]])


def test_a_repeated_labels_gradients_are_summed():
    layer = EmbeddingLayer((None,), 3, 2)
    layer(torch.tensor([2, 0, 2])).sum().backward()
    assert layer.W.grad.tolist() == [[1, 1], [0, 0], [2, 2]]
    assert layer.get_params(regularizable=True, trainable=True) == [layer.W]


def test_can_be_traced_as_one_graph():
    network, labels = (
        Network(EmbeddingLayer(InputLayer((None, 3)), 7, 2)),
        torch.tensor([[1, 6, -1]]),
    )
    traced = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.equal(traced(labels), network(labels))


@pytest.mark.parametrize("labels", [[0, 7], [-8, 3]])
def test_labels_out_of_range(labels):
    message = (
        "'e': labels must be less than input_size=7, and negative ones at least -7, "
        f"got {labels[0]} to {labels[1]}"
    )
    with pytest.raises(IndexError, match=message):
        EmbeddingLayer((None,), 7, 2, name="e")(torch.tensor(labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_must_be_integers(dtype):
    with pytest.raises(
        TypeError, match=f"'e' must be given labels of an integer type, got {dtype}"
    ):
        EmbeddingLayer((None,), 7, 2, name="e")(torch.zeros(3, dtype=dtype))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "'e': input_size must be an integer of at least 1, got 0"),
        ({"output_size": 2.0}, TypeError, "output_size must be an integer of at least 1, got 2.0"),
        ({"W": torch.zeros(2, 7)}, ValueError, r"'W' must have shape \(7, 2\), got \(2, 7\)"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        EmbeddingLayer(
            **{"incoming": (3,), "input_size": 7, "output_size": 2, "name": "e"} | arguments
        )
