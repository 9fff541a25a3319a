"""Recurrent layers whose step is made of other layers."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Layer, Nonlinearity, Shape, check_nonlinearity
from lasagne.layers.dense import DenseLayer
from lasagne.layers.helper import accepted_kwargs, get_all_layers
from lasagne.layers.input import InputLayer
from lasagne.layers.network import Network
from lasagne.layers.recurrent.base import (
    BaseRecurrentLayer,
    Initial,
    Step,
    compatible,
    grad_clip,
)
from lasagne.utils import ParamSpec, check_int

__all__ = ["CustomRecurrentLayer", "RecurrentLayer"]


class CustomRecurrentLayer(BaseRecurrentLayer):
    """A recurrent layer that computes its step with layers of any kind.

    The output at each time step is ``nonlinearity(input_to_hidden(x) + hidden_to_hidden(h))``,
    where ``h`` is the previous output. The layers of both networks belong to this layer: their
    parameters are among its own, called ``input_to_hidden.<parameter>`` in its state dict, or
    ``input_to_hidden_<i>.<parameter>`` for the i-th layer below the output layer.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, time, ...).
    input_to_hidden : Layer
        The output layer of a network with one :class:`InputLayer`, which is fed by the input. Its
        batches are of batch * time if `precompute_input` is true, else of single time steps.
    hidden_to_hidden : Layer
        The output layer of a network with one :class:`InputLayer`, which is fed by the previous
        output.
    nonlinearity : callable or None, default rectify
        Applied to the sum; None is linear.
    hid_init : Layer, initialiser, array or Tensor, default Constant(0)
        The output before the first step: a layer of the output's shape at one time step, or a
        parameter of this shape with a batch of 1.
    backwards : bool, default False
        Whether to read the sequence from its end.
    learn_init : bool, default False
        Whether `hid_init`, if it is not a layer, is trained.
    gradient_steps : int, default -1
        Over how many steps gradients are propagated back; -1 for all.
    grad_clipping : float, default 0
        If not 0, what the gradients of the nonlinearity's argument are clipped to.
    unroll_scan : bool, default False
        Without effect, but checked.
    precompute_input : bool, default True
        Whether to compute `input_to_hidden` for all time steps at once.
    mask_input : Layer or tuple, optional
        The mask, of shape (batch, time): where it is 0, the output stays as it is.
    only_return_final : bool, default False
        Whether to return the output of the last step read only.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If a network does not have exactly one input layer, the shapes of the networks do not go
        together, or for the reasons of :class:`BaseRecurrentLayer`, which says more on the
        options.

    Examples
    --------
    Convolutions along a sequence of pictures:

    >>> from lasagne.layers import Conv2DLayer, CustomRecurrentLayer, InputLayer
    >>> from_input = Conv2DLayer(InputLayer((None, 3, 16, 16)), 8, 3, pad="same")
    >>> from_hidden = Conv2DLayer(InputLayer(from_input.output_shape), 8, 3, pad="same", b=None)
    >>> pictures = InputLayer((None, None, 3, 16, 16))
    >>> CustomRecurrentLayer(pictures, from_input, from_hidden).output_shape
    (None, None, 8, 16, 16)
    """

    input_to_hidden: Layer
    hidden_to_hidden: Layer

    def __init__(
        self,
        incoming: Incoming,
        input_to_hidden: Layer,
        hidden_to_hidden: Layer,
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        hid_init: Initial = init.Constant(0.0),
        backwards: bool = False,
        learn_init: bool = False,
        gradient_steps: int = -1,
        grad_clipping: float = 0,
        unroll_scan: bool = False,
        precompute_input: bool = True,
        mask_input: Incoming | None = None,
        only_return_final: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            {"hid_init": hid_init},
            backwards=backwards,
            learn_init=learn_init,
            gradient_steps=gradient_steps,
            grad_clipping=grad_clipping,
            unroll_scan=unroll_scan,
            precompute_input=precompute_input,
            mask_input=mask_input,
            only_return_final=only_return_final,
            **kwargs,
        )
        self.nonlinearity = check_nonlinearity(nonlinearity, self)
        self._set_networks(input_to_hidden, hidden_to_hidden)
        self.hid_init = self.add_state("hid_init", hid_init, hidden_to_hidden.output_shape[1:])

    def _set_networks(self, input_to_hidden: Layer, hidden_to_hidden: Layer) -> None:
        """Make both networks this layer's own."""
        roles = {"input_to_hidden": input_to_hidden, "hidden_to_hidden": hidden_to_hidden}
        self._networks = tuple(self._own(role, layer) for role, layer in roles.items())
        self._accepted = [accepted_kwargs(get_all_layers(layer)) for layer in roles.values()]
        self._check_networks()

    def _own(self, role: str, output_layer: Layer) -> Network:
        """Register all layers below and including `output_layer`; return them as a network.

        The network itself stays unregistered, so that each parameter has one name only.
        """
        if not isinstance(output_layer, Layer):
            raise TypeError(f"{self}: {role} must be a layer, got {output_layer!r}")
        *below, output_layer = get_all_layers(output_layer)
        inputs = sum(isinstance(layer, InputLayer) for layer in (*below, output_layer))
        if inputs != 1:
            raise ValueError(f"{self}: {role} must have exactly one InputLayer, it has {inputs}")
        for i, layer in enumerate(below):
            self.add_module(f"{role}_{i}", layer)
        self.add_module(role, output_layer)
        return Network(output_layer)

    def _check_networks(self) -> None:
        """Raise ValueError if the networks' shapes do not go with each other or the input."""
        batch, length = self.input_shapes[0][:2]
        from_input = self.input_to_hidden.output_shape
        from_hidden = self.hidden_to_hidden.output_shape
        to_hidden = self._networks[1].input_layers[0].output_shape
        rows = None if batch is None or length is None else batch * length
        if self.precompute_input and not compatible(from_input[:1], (rows,)):
            raise ValueError(
                f"{self}: when precompute_input is true, input_to_hidden's batch must be None or "
                f"batch * time = {batch} * {length}, got an output of shape {from_input}"
            )
        if not self.precompute_input and not compatible(from_input[:1], from_hidden[:1]):
            raise ValueError(
                f"{self}: when precompute_input is false, the outputs of input_to_hidden and "
                f"hidden_to_hidden must have the same batch, got {from_input} and {from_hidden}"
            )
        if not compatible(from_input[1:], from_hidden[1:]):
            raise ValueError(
                f"{self}: the outputs of input_to_hidden and hidden_to_hidden must have the same "
                f"shape but for the batch, got {from_input} and {from_hidden}"
            )
        if not compatible(from_input[1:], to_hidden[1:]):
            raise ValueError(
                f"{self}: the output of input_to_hidden and the input of hidden_to_hidden must "
                f"have the same shape but for the batch, got {from_input} and {to_hidden}"
            )

    def _tagged(self) -> Iterator[tuple[Tensor, set[str]]]:
        """Return this layer's parameters and their tags, then those of both networks."""
        yield from super()._tagged()
        for layer in get_all_layers([self.input_to_hidden, self.hidden_to_hidden]):
            yield from layer._tagged()

    def get_output_shape_for(self, input_shapes: Sequence[Shape]) -> Shape:
        """Return batch size, length unless only the end is returned, and the networks' sizes."""
        leading = 1 if self.only_return_final else 2
        return (*input_shapes[0][:leading], *self.hidden_to_hidden.output_shape[1:])

    def get_sequence_and_step(self, input: Tensor, **kwargs: Any) -> tuple[Tensor, Step]:
        """Return `input_to_hidden`'s output, if it is precomputed, and the step."""
        input_kwargs, hidden_kwargs = (
            {name: value for name, value in kwargs.items() if name in accepted}
            for accepted in self._accepted
        )
        from_input = self._networks[0]

        def step(entry: Tensor, hid: Tensor) -> tuple[Tensor]:
            if not self.precompute_input:
                entry = from_input(entry, **input_kwargs)
            activation = self.add_hidden(entry, hid, **hidden_kwargs)
            return (self.nonlinearity(grad_clip(activation, self.grad_clipping)),)

        if self.precompute_input:
            rows = from_input(input.flatten(0, 1), **input_kwargs)
            return rows.unflatten(0, input.shape[:2]), step
        return input, step

    def add_hidden(self, input: Tensor, hid: Tensor, **kwargs: Any) -> Tensor:
        """Return the sum of `input_to_hidden`'s output and `hidden_to_hidden`'s for `hid`."""
        projected: Tensor = self._networks[1](hid, **kwargs)
        return input + projected


class RecurrentLayer(CustomRecurrentLayer):
    """A fully connected recurrent layer, ``nonlinearity(x W_in_to_hid + h W_hid_to_hid + b)``.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, time, and features). The
        features are flattened.
    num_units : int
        Number of units.
    W_in_to_hid : initialiser, array or Tensor, default Uniform()
        Weights from the input, of shape (num_inputs, num_units).
    W_hid_to_hid : initialiser, array or Tensor, default Uniform()
        Weights from the previous output, of shape (num_units, num_units).
    b : initialiser, array, Tensor or None, default Constant(0)
        Biases, of shape (num_units,); None for no biases.
    nonlinearity : callable or None, default rectify
        Applied to the sum; None is linear.
    hid_init : Layer, initialiser, array or Tensor, default Constant(0)
        The output before the first step: a layer of shape (batch, num_units), or a parameter of
        shape (1, num_units).
    backwards : bool, default False
        Whether to read the sequence from its end.
    learn_init : bool, default False
        Whether `hid_init`, if it is not a layer, is trained.
    gradient_steps : int, default -1
        Over how many steps gradients are propagated back; -1 for all.
    grad_clipping : float, default 0
        If not 0, what the gradients of the nonlinearity's argument are clipped to.
    unroll_scan : bool, default False
        Without effect, but checked.
    precompute_input : bool, default True
        Whether to multiply the inputs of all time steps at once.
    mask_input : Layer or tuple, optional
        The mask, of shape (batch, time): where it is 0, the output stays as it is.
    only_return_final : bool, default False
        Whether to return the output of the last step read only.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If the input has no features, or their number is not known; or for the reasons of
        :class:`BaseRecurrentLayer`, which says more on the options.
    """

    input_to_hidden: DenseLayer
    hidden_to_hidden: DenseLayer

    def __init__(
        self,
        incoming: Incoming,
        num_units: int,
        W_in_to_hid: ParamSpec = init.Uniform(),
        W_hid_to_hid: ParamSpec = init.Uniform(),
        b: ParamSpec | None = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.rectify,
        hid_init: Initial = init.Constant(0.0),
        backwards: bool = False,
        learn_init: bool = False,
        gradient_steps: int = -1,
        grad_clipping: float = 0,
        unroll_scan: bool = False,
        precompute_input: bool = True,
        mask_input: Incoming | None = None,
        only_return_final: bool = False,
        **kwargs: Any,
    ) -> None:
        BaseRecurrentLayer.__init__(
            self,
            incoming,
            {"hid_init": hid_init},
            backwards=backwards,
            learn_init=learn_init,
            gradient_steps=gradient_steps,
            grad_clipping=grad_clipping,
            unroll_scan=unroll_scan,
            precompute_input=precompute_input,
            mask_input=mask_input,
            only_return_final=only_return_final,
            **kwargs,
        )
        self.nonlinearity = check_nonlinearity(nonlinearity, self)
        self.num_units = check_int(num_units, f"{self}: num_units")
        features = self.check_features()
        prefix = f"{self.name}." if self.name else ""
        self._set_networks(
            DenseLayer(
                InputLayer((None, *features)),
                num_units,
                W=W_in_to_hid,
                b=b,
                nonlinearity=None,
                name=f"{prefix}input_to_hidden",
            ),
            DenseLayer(
                InputLayer((None, num_units)),
                num_units,
                W=W_hid_to_hid,
                b=None,
                nonlinearity=None,
                name=f"{prefix}hidden_to_hidden",
            ),
        )
        self.hid_init = self.add_state("hid_init", hid_init, (num_units,))

    @property
    def W_in_to_hid(self) -> Tensor:  # noqa: N802
        """The weights from the input."""
        return self.input_to_hidden.W

    @property
    def W_hid_to_hid(self) -> Tensor:  # noqa: N802
        """The weights from the previous output."""
        return self.hidden_to_hidden.W

    @property
    def b(self) -> Tensor | None:
        """The biases, if there are any."""
        return self.input_to_hidden.b

    def add_hidden(self, input: Tensor, hid: Tensor, **kwargs: Any) -> Tensor:
        """Return ``input + hid W_hid_to_hid``."""
        return torch.addmm(input, hid, self.W_hid_to_hid)
