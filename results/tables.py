"""The network as a table: each layer's output shape, parameters and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.columns import aligned
from common.sizes import size_text
from lasagne.layers import Layer, count_params
from training.layer_names import layer_names
from training.memory import BYTES, MemoryEstimate


@dataclass(frozen=True)
class LayerRow:
    """One layer: `memory` is its output for one batch and its parameters, in bytes."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    memory: int


def layer_rows(output_layer: Layer, batch_size: int, precision: str) -> list[LayerRow]:
    """Describes every layer of a network, the input first.

    Memory counts the outputs in the precision that they are computed in and the parameters in
    float32 (float64 in float64).
    """
    size = BYTES[precision]
    weight = max(size, BYTES["float32"])
    rows = []
    for layer, name in layer_names(output_layer).items():
        shape = tuple(size or 0 for size in layer.output_shape[1:])
        parameters = sum(math.prod(param.shape) for param in layer.get_params())
        memory = batch_size * math.prod(shape) * size + parameters * weight
        rows.append(LayerRow(name, type(layer).__name__, shape, parameters, memory))
    return rows


def network_table(
    output_layer: Layer, batch_size: int, precision: str, estimate: MemoryEstimate | None = None
) -> str:
    """Returns the network as aligned lines of text, with a line of totals.

    Below it says what a training takes in all, where an estimate is given.
    """
    rows = layer_rows(output_layer, batch_size, precision)
    cells = [("layer", "kind", "output", "parameters", "memory")]
    cells += [
        (
            row.name,
            row.kind,
            shape_text(row.output_shape),
            f"{row.parameters:,}",
            size_text(row.memory),
        )
        for row in rows
    ]
    total = count_params(output_layer)
    cells.append(("total", "", "", f"{total:,}", size_text(sum(row.memory for row in rows))))
    lines = aligned(cells, left=range(3))
    rule = "-" * max(map(len, lines))
    below = [str(estimate)] if estimate else []
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *below])


def loss_text(loss: float) -> str:
    """Writes a loss as in 0.1234; one that explodes, from 100,000 on, as in 1.23e+05."""
    return f"{loss:.4f}" if loss < 1e5 else f"{loss:.2e}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Writes a shape as in 3 × 224 × 224."""
    return " × ".join(map(str, shape))
