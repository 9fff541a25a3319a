"""Where in a network numbers stop to be finite, once a loss has become NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from lasagne.layers import InputLayer, Layer, MergeLayer, Network
from training.layer_names import described, layer_names
from training.loss import instance_losses
from training.unchanged import unchanged

Outputs = dict[Layer, Tensor]


class _Found(Exception):
    """Ends a forward pass at the first layer whose activations are not finite."""


def first_not_finite(
    network: Network,
    inputs: Tensor | Sequence[Tensor],
    labels: Tensor,
    smoothing: float = 0.0,
) -> str | None:
    """Names what is not finite first: parameters, then activations, loss and gradients of a batch.

    The batch is computed as in training, under the autocast that it is called in; the network, its
    gradients and the random generators stay as they were. Call it before the update, as that
    spreads a NaN over all parameters below.

    Parameters
    ----------
    network : Network
        Of one output layer.
    inputs : Tensor, or one for each of its input layers
        The batch, of as many instances as are computed at once.
    labels : Tensor of int64, shape (batch,)
    smoothing : float
        See `training.loss.instance_losses`.

    Returns
    -------
    str or None
        A part of a sentence: "the parameter b of layer 'conv1'", "the activations of DenseLayer3";
        None where all numbers are finite.
    """
    output = network.output_layer
    assert isinstance(output, Layer)
    names = {layer: described(layer, name) for layer, name in layer_names(output).items()}
    if found := _in_parameters(names):
        return found
    outputs: Outputs = {}
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    with unchanged(network), torch.enable_grad():
        try:
            with _checked_layers(outputs, names):
                probabilities = network.forward(*given)
        except _Found as found:
            return str(found)
        loss = instance_losses(probabilities, labels, smoothing).mean()
        if not _is_finite(loss):
            return f"the loss, though the activations of {names[output]} are finite"
        if loss.requires_grad:
            with torch.autocast(loss.device.type, enabled=False):
                return _in_gradients(loss, outputs, names)
    return None


def _in_parameters(names: Mapping[Layer, str]) -> str | None:
    """Names the first parameter; of several layers, also the last, which the NaN came down from."""
    found = [
        (key, place)
        for layer, place in names.items()
        for key, param in chain(layer.named_parameters(), layer.named_buffers())
        if not _is_finite(param)
    ]
    if not found:
        return None
    (key, first), last = found[0], found[-1][1]
    count = len({place for _, place in found})
    more = f" and those of {count - 1} more layers, up to {last}" if count > 2 else ""
    more = f" and those of {last}" if count == 2 else more
    return f"the parameter {key} of {first}{more}"


@contextmanager
def _checked_layers(outputs: Outputs, names: Mapping[Layer, str]) -> Iterator[None]:
    """Collects every layer's output as it is computed, each on its own where they have hooks.

    Raises _Found with the place of the first that is not finite.
    """

    def check(layer: Any, _: Any, output: Tensor) -> None:
        if not _is_finite(output):
            what = "the values of the batch at" if isinstance(layer, InputLayer) else ""
            raise _Found(f"{what or 'the activations of'} {names[layer]}")
        outputs[layer] = output

    handles = [layer.register_forward_hook(check) for layer in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _in_gradients(loss: Tensor, outputs: Outputs, names: Mapping[Layer, str]) -> str | None:
    """Goes down from the output: the gradient that reaches a layer, then its parameters' own."""
    wanted: list[tuple[str, Tensor]] = []
    above: dict[Layer, list[str]] = {}
    for layer in reversed([*names]):
        reached, givers = outputs.get(layer), above.get(layer, [])
        if reached is not None and reached.requires_grad:
            giver = " and ".join(givers) or "the loss"
            hands = "hands" if len(givers) < 2 else "hand"
            wanted.append((f"the gradient that {giver} {hands} down to {names[layer]}", reached))
        wanted += [
            (f"the gradient of {key} of {names[layer]}", param)
            for key, param in layer.named_parameters()
            if param.requires_grad
        ]
        for below in layer.input_layers if isinstance(layer, MergeLayer) else [layer.input_layer]:
            if below is not None:
                above.setdefault(below, []).insert(0, names[layer])
    tensors = [tensor for _, tensor in wanted]
    gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
    for (place, _), gradient in zip(wanted, gradients, strict=True):
        if gradient is not None and not _is_finite(gradient):
            return place
    return None


def _is_finite(value: Any) -> bool:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return True
    return bool(value.isfinite().all())
