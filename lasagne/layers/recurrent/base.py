"""What all recurrent layers share: their inputs, their options and the loop over time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, Layer, MergeLayer, Shape
from lasagne.utils import ParamSpec, check_int

__all__ = ["BaseRecurrentLayer", "Initial", "Step", "compatible", "grad_clip"]

#: What an initial state may be given as: a layer that computes it, or a parameter.
Initial = Layer | ParamSpec

#: A function from the input at one time step and the previous states to the new states.
Step = Callable[..., tuple[Tensor, ...]]


class BaseRecurrentLayer(MergeLayer):
    """Base class of layers that read a sequence step by step and keep a state.

    Subclasses name their states in :attr:`STATES` and create them with :meth:`add_state`; they
    implement :meth:`get_sequence_and_step`. The state last in :attr:`STATES` is the output.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, time, and features).
    initial : dict of str to (Layer, initialiser, array or Tensor)
        The initial states, by their names, in the order in which layers are to become inputs.
    backwards : bool
        Whether to read the sequence from its end. Outputs are in the input's order all the same.
    learn_init : bool
        Whether initial states that are not layers are trained.
    gradient_steps : int
        Over how many steps, counted from the last one read, gradients are propagated back: those
        read before contribute nothing to any gradient. -1 for all.
    grad_clipping : float
        If not 0, each entry of the pre-activations' gradients is clipped to within ± this at
        every step. Values are not affected.
    unroll_scan : bool
        Whether Lasagne unrolls the loop, which needs a known length. Here there is nothing but a
        loop; the argument is checked and has no other effect.
    precompute_input : bool
        Whether to multiply the inputs of all time steps at once, which is faster but keeps all
        the products in memory.
    mask_input : Layer, tuple or None
        The layer computing, or the shape of, the mask, (batch, time): where it is 0, the states
        stay as they are.
    only_return_final : bool
        Whether to return the output of the last step read only.
    **kwargs
        `name`, for :class:`Layer`.

    Attributes
    ----------
    mask_incoming_index, hid_init_incoming_index, cell_init_incoming_index : int
        Where among the inputs the mask and the initial states are; -1 for those that are not.
        Only :class:`LSTMLayer` has the last one.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If the input has no time axis, the mask's shape does not fit it, `gradient_steps` is
        neither -1 nor positive, `grad_clipping` is negative, or `unroll_scan` is true while
        `gradient_steps` is not -1 or the sequence's length is not known.
    """

    #: The names of the states.
    STATES: ClassVar[tuple[str, ...]] = ("hid_init",)

    mask_incoming_index: int

    def __init__(
        self,
        incoming: Incoming,
        initial: Mapping[str, Initial],
        *,
        backwards: bool,
        learn_init: bool,
        gradient_steps: int,
        grad_clipping: float,
        unroll_scan: bool,
        precompute_input: bool,
        mask_input: Incoming | None,
        only_return_final: bool,
        **kwargs: Any,
    ) -> None:
        sources = {} if mask_input is None else {"mask": mask_input}
        sources |= {name: spec for name, spec in initial.items() if isinstance(spec, Layer)}
        super().__init__([incoming, *sources.values()], **kwargs)
        positions = {name: i for i, name in enumerate(sources, start=1)}
        for name in ("mask", *self.STATES):
            setattr(self, f"{name}_incoming_index", positions.get(name, -1))
        self.backwards = backwards
        self.learn_init = learn_init
        self.gradient_steps = gradient_steps
        self.grad_clipping = grad_clipping
        self.unroll_scan = unroll_scan
        self.precompute_input = precompute_input
        self.only_return_final = only_return_final
        self._check_options()
        self._check_shapes()

    def _check_options(self) -> None:
        """Raise an error if an option is of no use, or the options do not go together."""
        if self.gradient_steps != -1:
            check_int(self.gradient_steps, f"{self}: gradient_steps, where not -1,")
        expected = f"{self}: grad_clipping must be a positive number, or 0 for none"
        if self.grad_clipping and not isinstance(self.grad_clipping, Real):
            raise TypeError(f"{expected}, got {self.grad_clipping!r}")
        if self.grad_clipping and self.grad_clipping < 0:
            raise ValueError(f"{expected}, got {self.grad_clipping}")
        if self.unroll_scan and self.gradient_steps != -1:
            raise ValueError(
                f"{self}: gradient_steps must be -1 when unroll_scan is true, "
                f"got {self.gradient_steps}"
            )

    def _check_shapes(self) -> None:
        """Raise ValueError if the input's or the mask's shape cannot be meant."""
        shape = self.input_shapes[0]
        if len(shape) < 2:
            raise ValueError(f"{self} needs an input of shape (batch, time, ...), got {shape}")
        if self.unroll_scan and shape[1] is None:
            raise ValueError(
                f"{self}: the sequence's length must be known when unroll_scan is true, "
                f"got an input of shape {shape}"
            )
        mask = self.input_shapes[self.mask_incoming_index] if self.mask_incoming_index > 0 else None
        if mask is not None and not compatible(mask, shape[:2]):
            raise ValueError(
                f"{self}: mask_input must have the shape (batch, time) = {shape[:2]}, got {mask}"
            )

    def check_features(self) -> tuple[int, ...]:
        """Return the sizes of the input's axes after time.

        Raises
        ------
        ValueError
            If there are none, or one is not known.
        """
        shape = self.input_shapes[0]
        sizes = tuple(size for size in shape[2:] if size is not None)
        if len(shape) < 3 or len(sizes) < len(shape) - 2:
            raise ValueError(
                f"{self} needs an input of shape (batch, time, features), with a known number of "
                f"features, got {shape}"
            )
        return sizes

    def add_state(self, name: str, spec: Initial, sizes: Shape) -> Layer | Tensor:
        """Return the initial state `name`, having created the parameter unless it is a layer.

        Parameters
        ----------
        name : str
            One of :attr:`STATES`.
        spec : Layer, initialiser, array or Tensor
            As given for it.
        sizes : tuple
            The state's shape without the batch.

        Raises
        ------
        ValueError
            If the shape is not the state's, or not known.
        """
        if isinstance(spec, Layer):
            shape = (self.input_shapes[0][0], *sizes)
            if not compatible(spec.output_shape, shape):
                raise ValueError(
                    f"{self}: {name} must be a layer of the state's shape {shape}, "
                    f"got {spec} of shape {spec.output_shape}"
                )
            return spec
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            raise ValueError(
                f"{self}: {name} must be a layer where the state's shape is not known beforehand, "
                f"got {spec!r} for a state of shape {(None, *sizes)}"
            )
        return self.add_param(
            spec, (1, *known), name=name, trainable=self.learn_init, regularizable=False
        )

    def get_sequence_and_step(self, input: Tensor, **kwargs: Any) -> tuple[Tensor, Step]:
        """Return what the loop needs.

        Parameters
        ----------
        input : Tensor, shape (batch, time, ...)
            The input.
        **kwargs
            The arguments of :func:`lasagne.layers.get_output`.

        Returns
        -------
        sequence : Tensor, shape (batch, time, ...)
            The input, or what could be computed of it for all time steps at once.
        step : callable
            Called for each time step with the sequence's entry and the states, in the order of
            :attr:`STATES`; it returns the new states.
        """
        raise NotImplementedError

    def get_output_for(  # type: ignore[override]
        self, inputs: Any, **kwargs: Any
    ) -> Tensor:
        """Return the output.

        Parameters
        ----------
        inputs : list of Tensor
            The input, the mask if there is one, and the initial states that are layers.
        **kwargs
            The arguments of :func:`lasagne.layers.get_output`.

        Returns
        -------
        Tensor, shape (batch, time, ...), or (batch, ...) with `only_return_final`

        Raises
        ------
        ValueError
            If there is no time step.
        """
        if not inputs[0].shape[1]:
            raise ValueError(
                f"{self} needs a time step at least, got an input of shape {tuple(inputs[0].shape)}"
            )
        states = self._initial_states(inputs)
        masks = self._masks(inputs, states[-1].ndim)
        sequence, step = self.get_sequence_and_step(inputs[0], **kwargs)
        entries = sequence.unbind(1)
        if self.backwards:
            entries, masks = entries[::-1], masks[::-1]
        outputs: list[Tensor] = []
        skipped = max(0, len(entries) - self.gradient_steps) if self.gradient_steps > 0 else 0
        if skipped:
            with torch.no_grad():
                states = self._loop(step, entries[:skipped], masks[:skipped], states, outputs)
        states = self._loop(step, entries[skipped:], masks[skipped:], states, outputs)
        if self.only_return_final:
            return states[-1]
        return torch.stack(outputs[::-1] if self.backwards else outputs, dim=1)

    def _initial_states(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the states before the first step, for the whole batch."""
        states = []
        for name in self.STATES:
            index = getattr(self, f"{name}_incoming_index")
            if index > 0:
                states.append(inputs[index])
            else:
                param = getattr(self, name)
                states.append(param.expand(inputs[0].shape[0], *param.shape[1:]))
        return tuple(states)

    def _masks(self, inputs: Sequence[Tensor], ndim: int) -> Sequence[Tensor | None]:
        """Return for each step which of the batch go on, shaped for states of `ndim` axes."""
        if self.mask_incoming_index < 0:
            return [None] * inputs[0].shape[1]
        mask = inputs[self.mask_incoming_index] != 0
        return mask.reshape(*mask.shape, *[1] * (ndim - 1)).unbind(1)

    def _loop(
        self,
        step: Step,
        entries: Iterable[Tensor],
        masks: Iterable[Tensor | None],
        states: tuple[Tensor, ...],
        outputs: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Return the states after all steps, and add each step's output to `outputs`."""
        for entry, mask in zip(entries, masks, strict=True):
            new = step(entry, *states)
            if mask is not None:
                new = tuple(
                    torch.where(mask, after, before)
                    for after, before in zip(new, states, strict=True)
                )
            states = new
            if not self.only_return_final:
                outputs.append(states[-1])
        return states


class _GradClip(torch.autograd.Function):
    """The identity, with a clipped gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, limit: float) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.limit = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].clamp(-ctx.limit, ctx.limit), None


def grad_clip(x: Tensor, limit: float) -> Tensor:
    """Return `x`, whose gradient will be clipped to [-limit, limit]; with 0 it will not."""
    return _GradClip.apply(x, limit) if limit else x


def compatible(shape: Shape, other: Shape) -> bool:
    """Return whether two shapes have as many axes and agree where both are known."""
    return len(shape) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(shape, other, strict=True)
    )
