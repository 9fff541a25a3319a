"""What a network's layers are called wherever a person reads of them."""

from __future__ import annotations

from lasagne.layers import Layer, get_all_layers


def layer_names(output_layer: Layer) -> dict[Layer, str]:
    """Returns the name of every layer, the input first: its own, or its kind and position."""
    return {
        layer: layer.name or f"{type(layer).__name__}{index}"
        for index, layer in enumerate(get_all_layers(output_layer))
    }


def described(layer: Layer, name: str) -> str:
    """Returns how to speak of a layer: layer 'conv1' by its own name, DenseLayer3 without one."""
    return f"layer '{name}'" if layer.name else name
