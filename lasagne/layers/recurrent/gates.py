"""Gates, and what the layers made of them share."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity, Shape
from lasagne.layers.recurrent.base import BaseRecurrentLayer, Initial, Step
from lasagne.utils import ParamSpec, check_int

__all__ = ["BaseGatedLayer", "Gate"]


class Gate:
    """The parameters and the nonlinearity of one gate, for :class:`LSTMLayer`, :class:`GRULayer`.

    Parameters
    ----------
    W_in : initialiser, array or Tensor, default Normal(0.1)
        Weights from the input, of shape (num_inputs, num_units).
    W_hid : initialiser, array or Tensor, default Normal(0.1)
        Weights from the previous output, of shape (num_units, num_units).
    W_cell : initialiser, array, Tensor or None, default Normal(0.1)
        Weights from the cells (peepholes), of shape (num_units,); None for a gate without.
    b : initialiser, array or Tensor, default Constant(0)
        Biases, of shape (num_units,).
    nonlinearity : callable or None, default sigmoid
        Applied to the sum; None is linear.

    Raises
    ------
    TypeError
        If `nonlinearity` cannot be called.

    Examples
    --------
    A forget gate that starts open:

    >>> from lasagne.init import Constant
    >>> from lasagne.layers import Gate, LSTMLayer
    >>> layer = LSTMLayer((None, 7, 3), num_units=5, forgetgate=Gate(b=Constant(1)))
    >>> layer.output_shape
    (None, 7, 5)
    """

    def __init__(
        self,
        W_in: ParamSpec = init.Normal(0.1),
        W_hid: ParamSpec = init.Normal(0.1),
        W_cell: ParamSpec | None = init.Normal(0.1),
        b: ParamSpec = init.Constant(0.0),
        nonlinearity: Nonlinearity | None = nonlinearities.sigmoid,
    ) -> None:
        if nonlinearity is not None and not callable(nonlinearity):
            raise TypeError(f"Gate: nonlinearity must be callable or None, got {nonlinearity!r}")
        self.W_in = W_in
        self.W_hid = W_hid
        self.W_cell = W_cell
        self.b = b
        self.nonlinearity = nonlinearities.identity if nonlinearity is None else nonlinearity


class BaseGatedLayer(BaseRecurrentLayer):
    """Base class of layers made of gates, which they name in :attr:`GATES`.

    All gates' products with the input, and those with the state, are one product each.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, time, and features), of
        which the features are flattened.
    num_units : int
        Number of units.
    initial : dict of str to (Layer, initialiser, array or Tensor)
        The initial states, by their names.
    **kwargs
        As for :class:`BaseRecurrentLayer`.

    Raises
    ------
    ValueError
        If the input has no features, or their number is not known; or for the reasons of
        :class:`BaseRecurrentLayer`.
    """

    #: The names of the gates, in the order in which their parameters are put side by side.
    GATES: ClassVar[tuple[str, ...]]

    def __init__(
        self, incoming: Incoming, num_units: int, initial: dict[str, Initial], **kwargs: Any
    ) -> None:
        super().__init__(incoming, initial, **kwargs)
        self.num_units = check_int(num_units, f"{self}: num_units")
        self._num_inputs = math.prod(self.check_features())

    def add_gate(self, gate: Gate, name: str) -> Nonlinearity:
        """Create a gate's parameters, but for the peephole, and return its nonlinearity.

        Raises
        ------
        TypeError
            If `gate` is not a :class:`Gate`.
        """
        if not isinstance(gate, Gate):
            raise TypeError(f"{self}: {name} must be a Gate, got {gate!r}")
        self.add_param(gate.W_in, (self._num_inputs, self.num_units), name=f"W_in_to_{name}")
        self.add_param(gate.W_hid, (self.num_units, self.num_units), name=f"W_hid_to_{name}")
        self.add_param(gate.b, (self.num_units,), name=f"b_{name}", regularizable=False)
        return gate.nonlinearity

    def stack(self, kind: str) -> Tensor:
        """Return all gates' parameters of a kind ('W_in_to', 'W_hid_to', 'b') side by side."""
        return torch.cat([getattr(self, f"{kind}_{gate}") for gate in self.GATES], dim=-1)

    def get_output_shape_for(self, input_shapes: Sequence[Shape]) -> Shape:
        """Return the batch size, the length unless only the end is returned, and `num_units`."""
        leading = 1 if self.only_return_final else 2
        return (*input_shapes[0][:leading], self.num_units)

    def get_sequence_and_step(self, input: Tensor, **kwargs: Any) -> tuple[Tensor, Step]:
        """Return the gates' products with the input, if they are precomputed, and the step."""
        W_in, W_hid, b = self.stack("W_in_to").t(), self.stack("W_hid_to"), self.stack("b")

        def project(x: Tensor) -> Tensor:
            return torch.nn.functional.linear(x, W_in, b)

        def step(entry: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            pending = nonlinearities.identity if self.precompute_input else project
            return self.step(entry, pending, W_hid, *states)

        input = input.flatten(2)
        return project(input) if self.precompute_input else input, step

    def step(
        self,
        entry: Tensor,
        project: Callable[[Tensor], Tensor],
        W_hid: Tensor,
        *states: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the states after one step.

        Parameters
        ----------
        entry : Tensor, shape (batch, features)
            The sequence's entry.
        project : callable
            What is still to be applied to `entry` for the gates' products with the input, side by
            side: shape (batch, gates * num_units).
        W_hid : Tensor, shape (num_units, gates * num_units)
            The gates' weights from the previous output, side by side.
        *states : Tensor, shape (batch, num_units)
            The states before.
        """
        raise NotImplementedError
