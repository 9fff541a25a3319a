"""The update rules as PyTorch optimizers; :mod:`lasagne.updates` has the functions to make them.

Parameter groups hold the learning rate as ``lr``, so that PyTorch's schedulers, ``state_dict`` and
resuming work. A parameter whose ``grad`` is None is left alone; one whose gradient is zero moves on
by its momentum. Two more entries of a group say what differs for its parameters:
``rate_multiplier`` (1 by default) multiplies its learning rate, and ``weight_decay`` (0) times the
parameter is added to the gradient. With the tags of layers, theano_alexnet's rule is:

>>> from lasagne.layers import DenseLayer, InputLayer, get_all_params
>>> from lasagne.updates import momentum
>>> network = DenseLayer(InputLayer((None, 4)), num_units=2)
>>> weights = get_all_params(network, trainable=True, regularizable=True)
>>> biases = get_all_params(network, trainable=True, regularizable=False)
>>> groups = [
...     {"params": weights, "weight_decay": 0.0005},
...     {"params": biases, "rate_multiplier": 2},
... ]
>>> optimizer = momentum(None, groups, learning_rate=0.01)

One pass over memory does it where PyTorch has a fused kernel that yields the same
numbers; elsewhere it is a few operations on all tensors at once.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer, adagrad, adam, sgd

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Amsgrad",
    "LasagneOptimizer",
    "Momentum",
    "NesterovMomentum",
    "RMSprop",
    "Sgd",
]

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
            If a number in it is negative.
        """
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


class Sgd(LasagneOptimizer):
    """Stochastic gradient descent, see :func:`lasagne.updates.sgd`."""

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` in place, one step on."""
        _sgd(params, grads, [None] * len(params), _rate(group), group["weight_decay"])


class Momentum(LasagneOptimizer):
    """Gradient descent with momentum, see :func:`lasagne.updates.momentum`.

    Lasagne's velocity contains the learning rate, PyTorch's buffer does not: velocity is
    ``-buffer * group["buffer_lr"]``, and the buffers are rescaled when the rate changes.
    """

    buffers = ("momentum_buffer",)
    nesterov = False

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        lr, decay = _rate(group), group["weight_decay"]
        buffer_lr = group.setdefault("buffer_lr", lr)
        if lr == 0:
            # No rate would turn the buffers into velocities: keep theirs, and add nothing to them.
            lr, decay = buffer_lr, 0
            grads = [torch.zeros_like(grad) for grad in grads]
        elif lr != buffer_lr:
            torch._foreach_mul_(self._all_buffers(group), buffer_lr / lr)
            group["buffer_lr"] = lr
        (momenta,) = buffers
        _sgd(params, grads, momenta, lr, decay, group["momentum"], self.nesterov)

    def _all_buffers(self, group: Group) -> list[Tensor]:
        """Return the buffers of all parameters, also of those without a gradient now."""
        name = self.buffers[0]
        states = (self.state[param] for param in group["params"] if param in self.state)
        return [state[name] for state in states if name in state]


class NesterovMomentum(Momentum):
    """Gradient descent with Nesterov momentum, see :func:`lasagne.updates.nesterov_momentum`."""

    nesterov = True


class Adagrad(LasagneOptimizer):
    """AdaGrad, see :func:`lasagne.updates.adagrad`.

    The sums start at epsilon, which puts it under the square root, as in Lasagne.
    """

    buffers = ("sum",)

    def initial_value(self, name: str, group: Group) -> float:
        """Return epsilon."""
        epsilon: float = group["epsilon"]
        return epsilon

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        (sums,) = buffers
        fused = _have_fused_kernel(params)
        adagrad.adagrad(
            params,
            grads,
            sums,
            _step_counts(params, 0),
            fused=fused,
            foreach=not fused,
            lr=_rate(group),
            lr_decay=0,
            weight_decay=group["weight_decay"],
            eps=0,
            maximize=False,
        )


class RMSprop(LasagneOptimizer):
    """RMSProp, see :func:`lasagne.updates.rmsprop`."""

    buffers = ("square_average",)

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        (averages,) = buffers
        grads = _decayed(grads, params, group)
        _average_squares(averages, grads, group["rho"])
        divisors = torch._foreach_add(averages, group["epsilon"])
        torch._foreach_sqrt_(divisors)
        torch._foreach_addcdiv_(params, grads, divisors, value=-_rate(group))


class Adadelta(LasagneOptimizer):
    """ADADELTA, see :func:`lasagne.updates.adadelta`."""

    buffers = ("square_average", "step_average")

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        averages, step_averages = buffers
        grads = _decayed(grads, params, group)
        _average_squares(averages, grads, group["rho"])
        divisors = torch._foreach_add(averages, group["epsilon"])
        torch._foreach_sqrt_(divisors)
        steps = torch._foreach_add(step_averages, group["epsilon"])
        torch._foreach_sqrt_(steps)
        torch._foreach_div_(steps, divisors)
        torch._foreach_mul_(steps, grads)
        torch._foreach_add_(params, steps, alpha=-_rate(group))
        _average_squares(step_averages, steps, group["rho"])


class Adam(LasagneOptimizer):
    """Adam, see :func:`lasagne.updates.adam`.

    The bias corrections are part of the rate, as in Lasagne, which keeps epsilon out of them; the
    kernel's own are switched off by an infinite count of steps.
    """

    buffers: ClassVar[tuple[str, ...]] = ("average", "square_average")

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        t = group["t"] = group.get("t", 0) + 1
        rate = _rate(group) * math.sqrt(1 - group["beta2"] ** t) / (1 - group["beta1"] ** t)
        averages, squares, *maxima = buffers
        fused = _have_fused_kernel(params)
        adam.adam(
            params,
            grads,
            averages,
            squares,
            maxima[0] if maxima else [],
            _step_counts(params, math.inf),
            fused=fused,
            foreach=not fused,
            amsgrad=bool(maxima),
            beta1=group["beta1"],
            beta2=group["beta2"],
            lr=rate,
            weight_decay=group["weight_decay"],
            eps=group["epsilon"],
            maximize=False,
        )


class Amsgrad(Adam):
    """AMSGrad, see :func:`lasagne.updates.amsgrad`."""

    buffers = ("average", "square_average", "square_maximum")


class Adamax(LasagneOptimizer):
    """Adamax, see :func:`lasagne.updates.adamax`."""

    buffers = ("average", "maximum")

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        t = group["t"] = group.get("t", 0) + 1
        averages, maxima = buffers
        grads = _decayed(grads, params, group)
        torch._foreach_lerp_(averages, grads, 1 - group["beta1"])
        torch._foreach_mul_(maxima, group["beta2"])
        torch._foreach_maximum_(maxima, torch._foreach_abs(grads))
        divisors = torch._foreach_add(maxima, group["epsilon"])
        rate = _rate(group) / (1 - group["beta1"] ** t)
        torch._foreach_addcdiv_(params, averages, divisors, value=-rate)


def _rate(group: Group) -> float:
    """Return the learning rate of a group's parameters."""
    rate: float = group["lr"] * group["rate_multiplier"]
    return rate


def _decayed(grads: list[Tensor], params: list[Tensor], group: Group) -> list[Tensor]:
    """Return the gradients with weight decay added, for rules without a kernel that does it."""
    if not group["weight_decay"]:
        return grads
    return list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))


def _average_squares(averages: list[Tensor], values: TensorList, rho: float) -> None:
    """Let each average be ``rho`` of itself and ``1 - rho`` of the value's square."""
    torch._foreach_mul_(averages, rho)
    torch._foreach_addcmul_(averages, values, values, 1 - rho)


def _sgd(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Any],
    lr: float,
    weight_decay: float,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Call PyTorch's gradient descent."""
    fused = _have_fused_kernel(params)
    sgd.sgd(
        params,
        grads,
        buffers,
        fused=fused,
        foreach=not fused,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        dampening=0,
        weight_decay=weight_decay,
        maximize=False,
    )


def _have_fused_kernel(params: list[Tensor]) -> bool:
    """Tell whether PyTorch has fused kernels for the parameters; elsewhere it works on lists."""
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in params)


def _step_counts(params: list[Tensor], count: float) -> list[Tensor]:
    """Return a count of steps for each parameter, as PyTorch wants; one tensor for a device."""
    devices = {param.device for param in params}
    counts = {d: torch.full((), count, dtype=torch.float32, device=d) for d in devices}
    return [counts[param.device] for param in params]


def _laid_out_as(param: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor` in the memory layout of `param`, which the fused kernels take for granted."""
    if tensor.stride() == param.stride():
        return tensor
    return torch.empty_like(param, dtype=tensor.dtype).copy_(tensor)
