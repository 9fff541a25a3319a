"""What a network computes, step by step."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from lasagne.layers.base import Layer, MergeLayer
from lasagne.layers.fusion import Sources, find_blocks
from lasagne.layers.input import InputLayer

__all__ = ["Step", "plan_steps", "sources_of", "with_one_input"]


class Step(NamedTuple):
    """One layer, or several that are computed at once.

    Attributes
    ----------
    compute : callable
        Maps the input to the output.
    source : int, tuple of int or None
        Where the input lies: one value, a list of several, or the network's next input.
    results : int or tuple of int
        Where the output goes: one value, or several.
    finished : tuple of int
        The values that no later step needs, so that their memory can be freed.
    """

    compute: Callable[..., Any]
    source: int | tuple[int, ...] | None
    results: int | tuple[int, ...]
    finished: tuple[int, ...] = ()


def plan_steps(
    layers: Sequence[Layer], sources: Sources, outputs: Collection[int]
) -> tuple[Step, ...]:
    """Return the steps that compute a network.

    Parameters
    ----------
    layers : sequence of Layer
        In topological order; a layer's value is known by its index.
    sources : sequence
        Where each layer finds its input.
    outputs : collection of int
        The values wanted.

    Returns
    -------
    tuple of Step
    """
    blocks = find_blocks(layers, sources, outputs)
    inside = {i for block in blocks.values() for i in block.indices}
    steps = []
    for i, (layer, source) in enumerate(zip(layers, sources, strict=True)):
        if i in blocks:
            steps.append(Step(blocks[i], blocks[i].source, blocks[i].results))
        elif i not in inside:
            steps.append(Step(layer, source, i))
    last_use = {i: at for at, step in enumerate(steps) for i in _indices(step.source)}
    return tuple(
        step._replace(
            finished=tuple(i for i, last in last_use.items() if last == at and i not in outputs)
        )
        for at, step in enumerate(steps)
    )


def sources_of(layers: Sequence[Layer]) -> Sources:
    """Return where each layer finds its input.

    Raises
    ------
    ValueError
        If a layer was made from a shape in place of an :class:`InputLayer`.
    """
    index: dict[Layer | None, int] = {layer: i for i, layer in enumerate(layers)}
    return [_source(layer, index) for layer in layers]


def with_one_input(layers: Sequence[Layer], sources: Sources) -> Sources:
    """Return the sources for the case that all of a network's inputs are the same tensor."""
    inputs = [i for i, layer in enumerate(layers) if type(layer) is InputLayer]
    return [inputs[0] if source in inputs else source for source in sources]


def _source(layer: Layer, index: Mapping[Layer | None, int]) -> int | tuple[int, ...] | None:
    if isinstance(layer, InputLayer):
        return None
    try:
        if isinstance(layer, MergeLayer):
            return tuple(index[incoming] for incoming in layer.input_layers)
        return index[layer.input_layer]
    except KeyError:
        raise ValueError(
            f"{layer} was made from a shape: a network needs an InputLayer in its place"
        ) from None


def _indices(source: int | tuple[int, ...] | None) -> Sequence[int]:
    if source is None:
        return ()
    return (source,) if isinstance(source, int) else source
