"""Momentum on top of another update rule; :mod:`lasagne.updates` has the functions too."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lasagne.optimizers.base import TensorList

__all__ = [
    "AppliedMomentum",
    "AppliedNesterovMomentum",
    "apply_momentum",
    "apply_nesterov_momentum",
]


class AppliedMomentum(Optimizer):
    """An optimizer whose steps gather momentum, see :func:`apply_momentum`.

    It has the groups and the state of the optimizer it was made of, so that schedulers and
    ``state_dict`` act on both.

    Parameters
    ----------
    base : torch.optim.Optimizer
        The optimizer whose steps are taken.
    params : iterable of Tensor, optional
        The parameters that gather momentum, by default all.
    momentum : float, default 0.9
        What is left of the velocity after a step.

    Raises
    ------
    TypeError
        If `base` is not an optimizer.
    ValueError
        If the momentum is negative, or one of `params` is not among the optimizer's.
    """

    def __init__(
        self, base: Optimizer, params: Iterable[Tensor] | None = None, momentum: float = 0.9
    ) -> None:
        if not isinstance(base, Optimizer):
            raise TypeError(
                f"momentum is applied to an optimizer, as lasagne.updates.sgd makes one, "
                f"got {type(base).__name__}"
            )
        if not momentum >= 0:
            raise ValueError(f"momentum must not be negative, got {momentum!r}")
        own = {param for group in base.param_groups for param in group["params"]}
        self._moved = None if params is None else set(params)
        if self._moved is not None and not self._moved <= own:
            raise ValueError("params must be among the parameters of the optimizer given")
        self.base: Optimizer | None = None
        self._level: int = getattr(base, "_level", 0) + 1
        super().__init__(base.param_groups, {self._name("applied_momentum"): momentum})
        self.base = base
        self.state = base.state

    def _name(self, name: str) -> str:
        """Return what to call an entry, as momentum may be applied several times."""
        return name if self._level == 1 else f"{name}_{self._level}"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, to the base optimizer as well."""
        if self.base is not None:
            self.base.add_param_group(param_group)
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle or copy."""
        own = {"base": self.base, "_moved": self._moved, "_level": self._level}
        return {**super().__getstate__(), **own}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of the base optimizer, and move on by the velocity.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients anew, and returns the loss.

        Returns
        -------
        object
            What `closure` returned; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        assert self.base is not None
        self.base.param_groups, self.base.state = self.param_groups, self.state
        moved = [
            (group[self._name("applied_momentum")], [p for p in group["params"] if self._moves(p)])
            for group in self.param_groups
        ]
        before = [[param.clone() for param in params] for _, params in moved]
        self.base.step()
        for (momentum, params), starts in zip(moved, before, strict=True):
            if params:
                steps = torch._foreach_sub(params, starts)
                self._move(params, steps, self._velocities(params), momentum)
        return loss

    def _moves(self, param: Tensor) -> bool:
        return param.grad is not None and (self._moved is None or param in self._moved)

    def _velocities(self, params: list[Tensor]) -> list[Tensor]:
        name = self._name("velocity")
        for param in params:
            self.state[param].setdefault(name, torch.zeros_like(param))
        return [self.state[param][name] for param in params]

    def _move(
        self, params: list[Tensor], steps: TensorList, velocities: list[Tensor], momentum: float
    ) -> None:
        """Let ``v <- mu * v + step``, and ``p <- p + v``; the step itself is taken already."""
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(params, velocities)
        torch._foreach_add_(velocities, steps)


class AppliedNesterovMomentum(AppliedMomentum):
    """An optimizer whose steps gather momentum, see :func:`apply_nesterov_momentum`."""

    def _move(
        self, params: list[Tensor], steps: TensorList, velocities: list[Tensor], momentum: float
    ) -> None:
        """Let ``v <- mu * v + step``, and ``p <- p + step + mu * v``; the step is taken already."""
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, steps)
        torch._foreach_add_(params, velocities, alpha=momentum)


def apply_momentum(
    updates: Optimizer, params: Iterable[Tensor] | None = None, momentum: float = 0.9
) -> AppliedMomentum:
    """Add momentum to a rule: ``v <- mu * v + step``; ``p <- p + v``, for the rule's own step.

    Parameters
    ----------
    updates : torch.optim.Optimizer
        The optimizer of a rule, in place of Theano's dictionary of updates.
    params : iterable of Tensor, optional
        The parameters that gather momentum, by default all.
    momentum : float, default 0.9
        What is left of the velocity after a step, `mu`.

    Returns
    -------
    lasagne.applied_momentum.AppliedMomentum

    Raises
    ------
    TypeError
        If `updates` is not an optimizer.
    ValueError
        If the momentum is negative, or one of `params` is not among the optimizer's.
    """
    return AppliedMomentum(updates, params, momentum)


def apply_nesterov_momentum(
    updates: Optimizer, params: Iterable[Tensor] | None = None, momentum: float = 0.9
) -> AppliedNesterovMomentum:
    """Add Nesterov momentum to a rule: ``v <- mu * v + step``; ``p <- p + step + mu * v``.

    Parameters
    ----------
    updates, params, momentum
        As for :func:`apply_momentum`.

    Returns
    -------
    lasagne.applied_momentum.AppliedNesterovMomentum

    Raises
    ------
    TypeError, ValueError
        As :func:`apply_momentum`.
    """
    return AppliedNesterovMomentum(updates, params, momentum)
