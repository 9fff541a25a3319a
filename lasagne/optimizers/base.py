"""What all update rules have in common."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Group", "LasagneOptimizer", "TensorList", "decayed", "rate_of"]

Group = dict[str, Any]
TensorList = list[Tensor] | tuple[Tensor, ...]


class LasagneOptimizer(Optimizer):
    """Base class: subclasses name their buffers and implement :meth:`update`.

    Parameters
    ----------
    params : iterable of Tensor or dict
        Parameters, or groups of them as for any :class:`torch.optim.Optimizer`.
    lr : float
        Learning rate, not negative.
    **options : float
        The rule's other numbers, each in a group's entry of the same name.

    Raises
    ------
    ValueError
        If a number is negative, or a beta is not less than 1.
    """

    #: What a group has besides, where it is not given.
    group_defaults: ClassVar[Group] = {"rate_multiplier": 1.0, "weight_decay": 0.0}

    #: Names of the tensors of a parameter's shape that the rule keeps, which start at zero.
    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, params: Iterable[Tensor] | Iterable[Group], lr: float, **options: float
    ) -> None:
        for name, value in {"learning_rate": lr, **options}.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative, got {value!r}")
            if name.startswith("beta") and value >= 1:
                raise ValueError(f"{name} must be less than 1, got {value!r}")
        super().__init__(params, {"lr": lr, **options, **self.group_defaults})

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as :meth:`torch.optim.Optimizer.add_param_group`.

        Raises
        ------
        ValueError
            If a number in it is negative, or an entry is not known.
        """
        for name in param_group:
            if name not in ("params", *self.defaults):
                near = get_close_matches(name.replace("learning_rate", "lr"), self.defaults, n=1)
                known = f"did you mean '{near[0]}'?" if near else f"known: {list(self.defaults)}"
                raise ValueError(f"a group of parameters has no entry '{name}' ({known})")
        for name in ("lr", *self.group_defaults):
            if name in param_group and not param_group[name] >= 0:
                raise ValueError(
                    f"{name} of a group must not be negative, got {param_group[name]!r}"
                )
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state, which may be of a time when groups had fewer entries."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.group_defaults.items():
                group.setdefault(name, value)

    def __getitem__(self, param: Tensor, *_: Any) -> Any:
        """Raise TypeError: there is no dictionary of updates."""
        raise TypeError(
            "a rule returns an optimizer, not a dictionary of updates: call its step(), and change "
            "parameters after it, for instance in a function for register_step_post_hook()"
        )

    __setitem__ = __getitem__

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

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
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                grads = [_laid_out_as(param, param.grad) for param in params]
                self.update(group, params, grads, *self._buffers_of(group, params))
        return loss

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        raise NotImplementedError

    def initial_value(self, name: str, group: Group) -> float:
        """Return what the buffer of the given name starts at."""
        return 0.0

    def _buffers_of(self, group: Group, params: list[Tensor]) -> list[list[Tensor]]:
        """Return each buffer's tensors, created for parameters that do not have them yet."""
        result: list[list[Tensor]] = [[] for _ in self.buffers]
        for param in params:
            state = self.state[param]
            for name, tensors in zip(self.buffers, result, strict=True):
                if name not in state:
                    state[name] = torch.full_like(param, self.initial_value(name, group))
                state[name] = _laid_out_as(param, state[name])
                tensors.append(state[name])
        return result


def rate_of(group: Group) -> float:
    """Return the learning rate of a group's parameters."""
    rate: float = group["lr"] * group["rate_multiplier"]
    return rate


def decayed(grads: list[Tensor], params: list[Tensor], group: Group) -> list[Tensor]:
    """Return the gradients with weight decay added, for rules without a kernel that does it."""
    if not group["weight_decay"]:
        return grads
    return list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))


def _laid_out_as(param: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor` in the memory layout of `param`, which the fused kernels take for granted."""
    if tensor.stride() == param.stride():
        return tensor
    return torch.empty_like(param, dtype=tensor.dtype).copy_(tensor)
