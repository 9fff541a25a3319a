"""Multi-layer perceptrons: dense layers only, for flat instances or pictures of any shape."""

from __future__ import annotations

from architectures.layers import dense, softmax_output
from common.errors import CommandError
from lasagne.layers import Layer

DEFAULT_UNITS = 512


def single_layer_mlp(
    incoming: Layer,
    num_classes: int,
    num_units: int = DEFAULT_UNITS,
    num_hidden_units: int | None = None,
) -> Layer:
    """One dense hidden layer of `num_units`, also called `num_hidden_units`."""
    units = _units(num_units, num_hidden_units)
    return softmax_output(dense(incoming, "ld0", num_units=units), num_classes)


def lasagne_mnist_example(
    incoming: Layer,
    num_classes: int,
    num_units: int = DEFAULT_UNITS,
    num_hidden_units: int | None = None,
) -> Layer:
    """Lasagne's MNIST example: two dense layers of `num_units`, each with dropout 0.5."""
    units = _units(num_units, num_hidden_units)
    hidden = dense(incoming, "ld0", dropout=0.5, num_units=units)
    return softmax_output(dense(hidden, "ld1", dropout=0.5, num_units=units), num_classes)


def _units(num_units: int, num_hidden_units: int | None) -> int:
    if num_hidden_units is None:
        return num_units
    if num_units != DEFAULT_UNITS:
        raise CommandError("num_units and num_hidden_units are one parameter; give one of them.")
    return num_hidden_units
