"""Update rules: functions that make the optimizer of a list of parameters.

As in Lasagne, a rule is called with a loss or gradients, the parameters and a learning rate. In
place of Theano's dictionary of updates it returns a :class:`torch.optim.Optimizer`, whose
``step()`` applies the rule to the gradients that ``backward()`` left in ``param.grad``:

>>> import torch
>>> from lasagne.updates import nesterov_momentum
>>> w = torch.nn.Parameter(torch.ones(1))
>>> optimizer = nesterov_momentum(None, [w], learning_rate=0.5, momentum=0.5)
>>> (w ** 2).sum().backward()
>>> optimizer.step()
>>> w.item()
-0.5

The first argument of every rule, `loss_or_grads`, is None (gradients come later, as above), a
scalar tensor (its gradients are computed at once) or a list of one gradient for each parameter
(it is put into ``param.grad``). The numbers are Lasagne's, also where the learning rate
(``optimizer.param_groups[i]["lr"]``) changes between steps.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lasagne import optimizers
from lasagne.applied_momentum import apply_momentum, apply_nesterov_momentum
from lasagne.constraints import norm_constraint, total_norm_constraint

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "amsgrad",
    "apply_momentum",
    "apply_nesterov_momentum",
    "get_or_compute_grads",
    "momentum",
    "nesterov_momentum",
    "norm_constraint",
    "rmsprop",
    "sgd",
    "total_norm_constraint",
]

LossOrGrads = Tensor | Sequence[Tensor] | None
Params = Iterable[Tensor] | Iterable[dict[str, Any]]


def get_or_compute_grads(
    loss_or_grads: Tensor | Sequence[Tensor], params: Iterable[Tensor]
) -> list[Tensor]:
    """Return the gradients of a loss, or check those given.

    Parameters
    ----------
    loss_or_grads : Tensor or sequence of Tensor
        A scalar loss, or one gradient for each parameter.
    params : iterable of Tensor
        The parameters.

    Returns
    -------
    list of Tensor
        One for each parameter; zeros where the loss does not depend on it.

    Raises
    ------
    ValueError
        If a loss is not a scalar, there are too many or too few gradients, or one does not have
        its parameter's shape.
    """
    params = list(params)
    if isinstance(loss_or_grads, Tensor):
        if loss_or_grads.ndim:
            raise ValueError(f"the loss must be a scalar, got shape {tuple(loss_or_grads.shape)}")
        return list(torch.autograd.grad(loss_or_grads, params, materialize_grads=True))
    grads = list(loss_or_grads)
    if len(grads) != len(params):
        raise ValueError(
            f"loss_or_grads must have one gradient for each of the {len(params)} parameters, "
            f"got {len(grads)}"
        )
    for i, (grad, param) in enumerate(zip(grads, params, strict=True)):
        if grad.shape != param.shape:
            raise ValueError(
                f"gradient {i} must have its parameter's shape {tuple(param.shape)}, "
                f"got {tuple(grad.shape)}"
            )
    return grads


def sgd(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: float
) -> optimizers.LasagneOptimizer:
    """Stochastic gradient descent: ``p <- p - lr * g``.

    Parameters
    ----------
    loss_or_grads : None, Tensor or sequence of Tensor
        See :mod:`lasagne.updates`.
    params : iterable of Tensor or dict
        Parameters, or groups of them as for any :class:`torch.optim.Optimizer`.
    learning_rate : float
        The rate `lr`.

    Returns
    -------
    lasagne.optimizers.Sgd

    Raises
    ------
    ValueError
        If the learning rate is negative, or as :func:`get_or_compute_grads`.
    """
    return _with_grads(optimizers.Sgd(params, learning_rate), loss_or_grads)


def momentum(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: float, momentum: float = 0.9
) -> optimizers.LasagneOptimizer:
    """Gradient descent with momentum: ``v <- mu * v - lr * g``; ``p <- p + v``.

    Parameters
    ----------
    loss_or_grads, params, learning_rate
        As for :func:`sgd`.
    momentum : float, default 0.9
        What is left of the velocity after a step, `mu`.

    Returns
    -------
    lasagne.optimizers.Momentum

    Raises
    ------
    ValueError
        As :func:`sgd`, and if the momentum is negative.
    """
    optimizer = optimizers.Momentum(params, learning_rate, momentum=momentum)
    return _with_grads(optimizer, loss_or_grads)


def nesterov_momentum(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: float, momentum: float = 0.9
) -> optimizers.LasagneOptimizer:
    """Gradient descent with Nesterov momentum, in the form without a look-ahead gradient.

    ``v <- mu * v - lr * g``; ``p <- p + mu * v - lr * g``. (See
    https://github.com/lisa-lab/pylearn2/pull/136#issuecomment-10381617 for why that is the same.)

    Parameters
    ----------
    loss_or_grads, params, learning_rate
        As for :func:`sgd`.
    momentum : float, default 0.9
        What is left of the velocity after a step, `mu`.

    Returns
    -------
    lasagne.optimizers.NesterovMomentum

    Raises
    ------
    ValueError
        As :func:`sgd`, and if the momentum is negative.
    """
    optimizer = optimizers.NesterovMomentum(params, learning_rate, momentum=momentum)
    return _with_grads(optimizer, loss_or_grads)


def adagrad(
    loss_or_grads: LossOrGrads, params: Params, learning_rate: float = 1.0, epsilon: float = 1e-6
) -> optimizers.LasagneOptimizer:
    """AdaGrad: ``a <- a + g ** 2``; ``p <- p - lr * g / sqrt(a + epsilon)``.

    Parameters
    ----------
    loss_or_grads, params, learning_rate
        As for :func:`sgd`; the rate is 1 by default.
    epsilon : float, default 1e-6
        Keeps the divisor from zero.

    Returns
    -------
    lasagne.optimizers.Adagrad

    Raises
    ------
    ValueError
        As :func:`sgd`, and if epsilon is negative.

    References
    ----------
    Duchi, Hazan and Singer (2011): Adaptive subgradient methods for online learning and stochastic
    optimization. JMLR 12.
    """
    optimizer = optimizers.Adagrad(params, learning_rate, epsilon=epsilon)
    return _with_grads(optimizer, loss_or_grads)


def rmsprop(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: float = 1.0,
    rho: float = 0.9,
    epsilon: float = 1e-6,
) -> optimizers.LasagneOptimizer:
    """RMSProp: ``a <- rho * a + (1 - rho) * g ** 2``; ``p <- p - lr * g / sqrt(a + epsilon)``.

    Parameters
    ----------
    loss_or_grads, params, learning_rate
        As for :func:`sgd`; the rate is 1 by default.
    rho : float, default 0.9
        What is left of the average after a step.
    epsilon : float, default 1e-6
        Keeps the divisor from zero.

    Returns
    -------
    lasagne.optimizers.RMSprop

    Raises
    ------
    ValueError
        As :func:`sgd`, and if a number is negative.

    References
    ----------
    Tieleman and Hinton (2012): Neural networks for machine learning, lecture 6.5. Coursera.
    """
    optimizer = optimizers.RMSprop(params, learning_rate, rho=rho, epsilon=epsilon)
    return _with_grads(optimizer, loss_or_grads)


def adadelta(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: float = 1.0,
    rho: float = 0.95,
    epsilon: float = 1e-6,
) -> optimizers.LasagneOptimizer:
    """ADADELTA: the step is ``g * sqrt(d + epsilon) / sqrt(a + epsilon)``.

    The running averages are `a` of the squared gradients, this one's included, and `d` of the
    squared steps before this one; then ``p <- p - lr * step``.

    Parameters
    ----------
    loss_or_grads, params, learning_rate
        As for :func:`sgd`; the rate is 1 by default.
    rho : float, default 0.95
        What is left of the averages after a step.
    epsilon : float, default 1e-6
        Keeps the divisor, and the first steps, from zero.

    Returns
    -------
    lasagne.optimizers.Adadelta

    Raises
    ------
    ValueError
        As :func:`sgd`, and if a number is negative.

    References
    ----------
    Zeiler (2012): ADADELTA: An adaptive learning rate method. https://arxiv.org/abs/1212.5701
    """
    optimizer = optimizers.Adadelta(params, learning_rate, rho=rho, epsilon=epsilon)
    return _with_grads(optimizer, loss_or_grads)


def adam(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> optimizers.LasagneOptimizer:
    """Adam: ``p <- p - lr * sqrt(1 - beta2 ** t) / (1 - beta1 ** t) * m / (sqrt(v) + epsilon)``.

    The running averages are `m` of the gradients and `v` of their squares, and `t` is the number of
    the step. PyTorch's Adam corrects the bias of v before it adds epsilon; that is "epsilon hat" in
    section 2 of the paper.

    Parameters
    ----------
    loss_or_grads, params, learning_rate
        As for :func:`sgd`; the rate is 0.001 by default.
    beta1 : float, default 0.9
        What is left of `m` after a step, less than 1.
    beta2 : float, default 0.999
        What is left of `v` after a step, less than 1.
    epsilon : float, default 1e-8
        Keeps the divisor from zero.

    Returns
    -------
    lasagne.optimizers.Adam

    Raises
    ------
    ValueError
        As :func:`sgd`, if a number is negative, or a beta is not less than 1.

    References
    ----------
    Kingma and Ba (2014): Adam: A method for stochastic optimization.
    https://arxiv.org/abs/1412.6980
    """
    numbers = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    return _with_grads(optimizers.Adam(params, learning_rate, **numbers), loss_or_grads)


def adamax(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: float = 0.002,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> optimizers.LasagneOptimizer:
    """Adamax: ``p <- p - lr / (1 - beta1 ** t) * m / (u + epsilon)``.

    `m` is the running average of the gradients, ``u <- max(beta2 * u, abs(g))``, and `t` is the
    number of the step.

    Parameters
    ----------
    loss_or_grads, params, learning_rate, beta1, beta2, epsilon
        As for :func:`adam`; the rate is 0.002 by default.

    Returns
    -------
    lasagne.optimizers.Adamax

    Raises
    ------
    ValueError
        As :func:`adam`.

    References
    ----------
    Kingma and Ba (2014), section 7.1: https://arxiv.org/abs/1412.6980
    """
    numbers = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    return _with_grads(optimizers.Adamax(params, learning_rate, **numbers), loss_or_grads)


def amsgrad(
    loss_or_grads: LossOrGrads,
    params: Params,
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> optimizers.LasagneOptimizer:
    """AMSGrad: :func:`adam` with the largest `v` so far in place of `v`.

    Parameters
    ----------
    loss_or_grads, params, learning_rate, beta1, beta2, epsilon
        As for :func:`adam`.

    Returns
    -------
    lasagne.optimizers.Amsgrad

    Raises
    ------
    ValueError
        As :func:`adam`.

    References
    ----------
    Reddi, Kale and Kumar (2018): On the convergence of Adam and beyond.
    https://openreview.net/forum?id=ryQu7f-RZ
    """
    numbers = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon}
    return _with_grads(optimizers.Amsgrad(params, learning_rate, **numbers), loss_or_grads)


def _with_grads(
    optimizer: optimizers.LasagneOptimizer, loss_or_grads: LossOrGrads
) -> optimizers.LasagneOptimizer:
    """Return the optimizer, with gradients in its parameters if some were given."""
    if loss_or_grads is not None:
        params = [param for group in optimizer.param_groups for param in group["params"]]
        for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
            param.grad = grad
    return optimizer
