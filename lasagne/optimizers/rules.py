"""The rules, one class each."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import adagrad, adam, sgd

from lasagne.optimizers.base import Group, LasagneOptimizer, TensorList, decayed, rate_of
from lasagne.utils import is_dense

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Amsgrad",
    "Momentum",
    "NesterovMomentum",
    "RMSprop",
    "Sgd",
]


class Sgd(LasagneOptimizer):
    """Stochastic gradient descent, see :func:`lasagne.updates.sgd`."""

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` in place, one step on."""
        _sgd(params, grads, buffers, rate_of(group), group["weight_decay"])


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
        lr, decay = rate_of(group), group["weight_decay"]
        buffer_lr = group.setdefault("buffer_lr", lr)
        if lr == 0:
            # No rate would turn the buffers into velocities: keep theirs, and add nothing to them.
            lr, decay = buffer_lr, 0
            grads = [torch.zeros_like(grad) for grad in grads]
        elif lr != buffer_lr:
            torch._foreach_mul_(self._all_buffers(group), buffer_lr / lr)
            group["buffer_lr"] = lr
        _sgd(params, grads, buffers, lr, decay, group["momentum"], self.nesterov)

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
        fused, (params, grads, sums) = _for_kernel(params, grads, *buffers)
        adagrad.adagrad(
            params,
            grads,
            sums,
            _step_counts(params, 0),
            fused=fused,
            foreach=not fused,
            lr=rate_of(group),
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
        grads = decayed(grads, params, group)
        _average_squares(averages, grads, group["rho"])
        divisors = torch._foreach_add(averages, group["epsilon"])
        torch._foreach_sqrt_(divisors)
        torch._foreach_addcdiv_(params, grads, divisors, value=-rate_of(group))


class Adadelta(LasagneOptimizer):
    """ADADELTA, see :func:`lasagne.updates.adadelta`."""

    buffers = ("square_average", "step_average")

    def update(
        self, group: Group, params: list[Tensor], grads: list[Tensor], *buffers: list[Tensor]
    ) -> None:
        """Update `params` and `buffers` in place, one step on."""
        averages, step_averages = buffers
        grads = decayed(grads, params, group)
        _average_squares(averages, grads, group["rho"])
        divisors = torch._foreach_add(averages, group["epsilon"])
        torch._foreach_sqrt_(divisors)
        steps = torch._foreach_add(step_averages, group["epsilon"])
        torch._foreach_sqrt_(steps)
        torch._foreach_div_(steps, divisors)
        torch._foreach_mul_(steps, grads)
        torch._foreach_add_(params, steps, alpha=-rate_of(group))
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
        rate = rate_of(group) * math.sqrt(1 - group["beta2"] ** t) / (1 - group["beta1"] ** t)
        fused, (params, grads, averages, squares, *maxima) = _for_kernel(params, grads, *buffers)
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
        grads = decayed(grads, params, group)
        torch._foreach_lerp_(averages, grads, 1 - group["beta1"])
        torch._foreach_mul_(maxima, group["beta2"])
        torch._foreach_maximum_(maxima, torch._foreach_abs(grads))
        divisors = torch._foreach_add(maxima, group["epsilon"])
        rate = rate_of(group) / (1 - group["beta1"] ** t)
        torch._foreach_addcdiv_(params, averages, divisors, value=-rate)


def _average_squares(averages: list[Tensor], values: TensorList, rho: float) -> None:
    """Let each average be ``rho`` of itself and ``1 - rho`` of the value's square."""
    torch._foreach_mul_(averages, rho)
    torch._foreach_addcmul_(averages, values, values, 1 - rho)


def _sgd(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: Sequence[list[Tensor]],
    lr: float,
    weight_decay: float,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Call PyTorch's gradient descent."""
    fused, (params, grads, *momenta) = _for_kernel(params, grads, *buffers)
    sgd.sgd(
        params,
        grads,
        list(momenta[0]) if momenta else [None] * len(params),
        fused=fused,
        foreach=not fused,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        dampening=0,
        weight_decay=weight_decay,
        maximize=False,
    )


def _for_kernel(params: list[Tensor], *others: list[Tensor]) -> tuple[bool, list[list[Tensor]]]:
    """Tell whether PyTorch has fused kernels for the parameters; return what to call it with.

    The fused kernels get flat views of the memory, as they copy what is not in order, like the
    transposed weights of a dense layer.
    """
    if not _have_fused_kernel(params):
        return False, [params, *others]
    return True, [[_flat(tensor) for tensor in tensors] for tensors in (params, *others)]


def _have_fused_kernel(params: list[Tensor]) -> bool:
    """Tell whether PyTorch has fused kernels for the parameters; elsewhere it works on lists."""
    kinds = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in params)
    return kinds and all(is_dense(p) for p in params)


def _flat(tensor: Tensor) -> Tensor:
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _step_counts(params: list[Tensor], count: float) -> list[Tensor]:
    """Return a count of steps for each parameter, as PyTorch wants; one tensor for a device."""
    devices = {param.device for param in params}
    counts = {d: torch.full((), count, dtype=torch.float32, device=d) for d in devices}
    return [counts[param.device] for param in params]
