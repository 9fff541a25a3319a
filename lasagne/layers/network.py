"""A graph of layers as one PyTorch module."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lasagne.layers.base import Layer
from lasagne.layers.fusion import is_watched
from lasagne.layers.helper import accepted_kwargs, describe_unused, get_all_layers
from lasagne.layers.input import InputLayer
from lasagne.layers.plan import Step, plan_steps, sources_of, with_one_input
from lasagne.nonlinearities import forget_preactivation

__all__ = ["Network"]


class Network(nn.Module):
    """One module of all layers below and including the given ones.

    It computes what :func:`lasagne.layers.get_output` computes, and owns the layers, so that
    ``to``, ``state_dict``, ``DistributedDataParallel`` and ``torch.compile`` see all of them. Where
    several layers can be computed at once, it does so (:mod:`lasagne.layers.fusion`), unless they
    have hooks. Keys
    of its state dict are ``<layer>.<parameter>``, as in ``conv1.W``: the layer's name where it has
    one that no other layer has, else its class and its position, as in ``DenseLayer3.b``.

    Parameters
    ----------
    output_layer : Layer or sequence of Layer
        The output layer, or several.

    Attributes
    ----------
    output_layer : Layer or list of Layer
        As given.
    input_layers : tuple of InputLayer
        In the order in which :meth:`forward` takes their inputs, that of
        :func:`lasagne.layers.get_all_layers`.

    Raises
    ------
    ValueError
        If a layer was made from a shape in place of an :class:`InputLayer`.
    TypeError
        If `output_layer` is anything else.

    Examples
    --------
    >>> import torch
    >>> from lasagne.layers import DenseLayer, InputLayer, Network
    >>> network = Network(DenseLayer(InputLayer((None, 4)), num_units=2, name="hidden"))
    >>> sorted(network.state_dict())
    ['hidden.W', 'hidden.b']
    >>> network(torch.zeros(3, 4), deterministic=True).shape
    torch.Size([3, 2])
    """

    def __init__(self, output_layer: Layer | Sequence[Layer]) -> None:
        super().__init__()
        outputs = [output_layer] if isinstance(output_layer, Layer) else output_layer
        if not isinstance(outputs, list | tuple) or not all(isinstance(o, Layer) for o in outputs):
            raise TypeError(f"a network is made of a layer or a list of layers, got {outputs!r}")
        layers = get_all_layers(output_layer)
        sources = sources_of(layers)
        self._outputs: int | list[int]
        if isinstance(output_layer, Layer):
            self._outputs, kept = len(layers) - 1, [len(layers) - 1]
        else:
            self._outputs = kept = [layers.index(layer) for layer in output_layer]
        self._steps = plan_steps(layers, sources, kept)
        self._steps_for_one_input = plan_steps(layers, with_one_input(layers, sources), kept)
        self._accepted = accepted_kwargs(layers)
        self._layers = tuple(layers)
        self.input_layers = tuple(layer for layer in layers if isinstance(layer, InputLayer))
        for name, layer in zip(self._names(), layers, strict=True):
            self.add_module(name, layer)

    def _check_double(self) -> None:
        """Raise TypeError if the parameters are not float64, as an input is."""
        param = next(self.parameters(), None)
        if param is not None and param.dtype != torch.float64:
            raise TypeError(
                f"an input is float64, but the network's parameters are {param.dtype}: "
                "give x.float(), or make the network double()"
            )

    def _names(self) -> list[str]:
        """Return a name for each layer: its own where that can be one, else class and position."""
        counts = Counter(layer.name for layer in self._layers)
        own = [
            layer.name
            if layer.name
            and counts[layer.name] == 1
            and "." not in layer.name
            and not hasattr(self, layer.name)
            else None
            for layer in self._layers
        ]
        names: list[str] = []
        for i, (layer, name) in enumerate(zip(self._layers, own, strict=True)):
            generated = f"{type(layer).__name__}{i}"
            while generated in own:
                generated += "_"
            names.append(name or generated)
        return names

    @property
    def output_layer(self) -> Layer | list[Layer]:
        """The output layer, or a list of them if the network was made of several."""
        if isinstance(self._outputs, int):
            return self._layers[self._outputs]
        return [self._layers[i] for i in self._outputs]

    def forward(self, *inputs: Tensor, **kwargs: Any) -> Any:
        """Compute the output.

        Parameters
        ----------
        *inputs : Tensor or array
            One for each of :attr:`input_layers`, or one for all of them.
        **kwargs
            Arguments for all layers, like ``deterministic=True``, which switches noise off.

        Returns
        -------
        Tensor or list of Tensor
            A list if the network was made of a sequence of output layers.

        Raises
        ------
        ValueError
            If the inputs' number or shapes are not the network's.
        TypeError
            If an argument is not known to any layer, or an input is float64 and the parameters
            are not.
        """
        if kwargs and (unused := describe_unused(kwargs, self._accepted)):
            raise TypeError(f"unexpected keyword arguments for the network's layers: {unused}")
        steps = self._steps
        if len(inputs) == 1:
            inputs = inputs * len(self.input_layers)
            if not any(is_watched(layer) for layer in self.input_layers):
                steps = self._steps_for_one_input
        if len(inputs) != len(self.input_layers):
            raise ValueError(
                f"the network has {len(self.input_layers)} input layers, got {len(inputs)} inputs"
            )
        inputs = tuple(torch.as_tensor(value) for value in inputs)
        if any(value.dtype == torch.float64 for value in inputs):
            self._check_double()
        values = _compute(steps, iter(inputs), kwargs)
        if isinstance(self._outputs, int):
            return values[self._outputs]
        return [values[i] for i in self._outputs]


def _compute(
    steps: Iterable[Step], inputs: Iterator[Tensor], kwargs: Mapping[str, Any]
) -> Mapping[int, Any]:
    """Return the values that are left when all steps are done."""
    values: dict[int, Any] = {}
    for compute, source, results, finished in steps:
        if isinstance(source, int):
            output = compute(values[source], **kwargs)
        elif source is None:
            output = compute(next(inputs))
        else:
            output = compute([values[i] for i in source], **kwargs)
        if isinstance(results, int):
            values[results] = output
        else:
            values.update(zip(results, output, strict=True))
        for i in finished:
            forget_preactivation(values.pop(i))
    return values
