"""Activation functions, applied elementwise (but for :func:`softmax`)."""

from typing import Any

import torch
from torch import Tensor

__all__ = [
    "SELU",
    "LeakyRectify",
    "ScaledTanH",
    "ScaledTanh",
    "elu",
    "identity",
    "leaky_rectify",
    "linear",
    "rectify",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
    "very_leaky_rectify",
]


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)).

    The pre-activation stays with the result, for :func:`lasagne.objectives.binary_crossentropy`,
    as :func:`softmax` says.
    """
    return _remembering(torch.sigmoid(x), "log_odds", x)


def softmax(x: Tensor) -> Tensor:
    """Return each row's exponentials, divided by their sum.

    The pre-activation stays with the result, as its attribute ``logits``: from there
    :func:`lasagne.objectives.categorical_crossentropy` computes a loss that is finite even where a
    probability underflows to 0. (Theano had the same fusion among its graph optimisations.) Any
    operation on the result gives a tensor without the attribute, or, in place, makes it invalid.

    Parameters
    ----------
    x : Tensor, shape (batch, classes)
        Pre-activation.

    Returns
    -------
    Tensor, shape (batch, classes)
        Probabilities, with the attribute ``logits``.

    Raises
    ------
    ValueError
        If `x` does not have two axes.
    """
    if x.ndim != 2:
        raise ValueError(f"softmax needs an input of shape (batch, classes), got {tuple(x.shape)}")
    return _remembering(torch.softmax(x, dim=1), "logits", x)


def preactivation(probabilities: Tensor, name: str) -> Tensor | None:
    """Return what :func:`softmax` ('logits') or :func:`sigmoid` ('log_odds') was applied to.

    None if `probabilities` come from anything else, or have been changed since.
    """
    x, version = getattr(probabilities, f"_{name}", (None, None))
    return x if x is not None and version == _version(probabilities) else None


def forget_preactivation(value: Any) -> None:
    """Let go of the memory that a result of :func:`softmax` or :func:`sigmoid` keeps."""
    for name in ("logits", "log_odds"):
        if hasattr(value, name):
            delattr(value, name)
            delattr(value, f"_{name}")


def _remembering(result: Tensor, name: str, x: Tensor) -> Tensor:
    """Return `result` with its pre-activation."""
    setattr(result, name, x)
    setattr(result, f"_{name}", (x, _version(result)))
    return result


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; inference and traced ones do not count."""
    if torch.compiler.is_compiling() or tensor.is_inference():
        return 0
    return tensor._version


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return torch.tanh(x)


class ScaledTanH:
    """Scaled hyperbolic tangent, ``scale_out * tanh(scale_in * x)``.

    Parameters
    ----------
    scale_in : float, default 1
        Factor of the input; LeCun et al. recommend 2/3.
    scale_out : float, default 1
        Factor of the output; LeCun et al. recommend 1.7159.

    References
    ----------
    Yann LeCun et al. (1998): Efficient BackProp.
    """

    def __init__(self, scale_in: float = 1, scale_out: float = 1) -> None:
        self.scale_in = scale_in
        self.scale_out = scale_out

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the function to `x`."""
        return torch.tanh(x * self.scale_in) * self.scale_out


ScaledTanh = ScaledTanH


def rectify(x: Tensor) -> Tensor:
    """Return max(x, 0); the gradient at exactly 0 is 0 (Theano's: 0.5)."""
    return torch.relu(x)


class LeakyRectify:
    """Leaky rectifier: x where it is positive, else ``leakiness * x``.

    Parameters
    ----------
    leakiness : float, default 0.01
        Slope for negative input; 0 is :func:`rectify`, 1 is :func:`linear`.

    References
    ----------
    Maas et al. (2013): Rectifier nonlinearities improve neural network acoustic models.
    """

    def __init__(self, leakiness: float = 0.01) -> None:
        self.leakiness = leakiness

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the function to `x`."""
        return torch.nn.functional.leaky_relu(x, self.leakiness)


#: :class:`LeakyRectify` with a leakiness of 0.01.
leaky_rectify = LeakyRectify()

#: :class:`LeakyRectify` with a leakiness of 1/3.
very_leaky_rectify = LeakyRectify(1 / 3)


def elu(x: Tensor) -> Tensor:
    """Return x where it is positive, else exp(x) - 1 (Clevert et al., arXiv:1511.07289)."""
    return torch.nn.functional.elu(x)


class SELU:
    """Scaled exponential linear unit, ``scale * (x if x > 0 else scale_neg * (exp(x) - 1))``.

    Parameters
    ----------
    scale : float, default 1
        Factor of the output (the paper's lambda).
    scale_neg : float, default 1
        Additional factor of the negative part (the paper's alpha).

    References
    ----------
    Günter Klambauer et al. (2017): Self-normalizing neural networks.
    https://arxiv.org/abs/1706.02515
    """

    def __init__(self, scale: float = 1, scale_neg: float = 1) -> None:
        self.scale = scale
        self.scale_neg = scale_neg

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the function to `x`."""
        return self.scale * torch.nn.functional.elu(x, alpha=self.scale_neg)


#: :class:`SELU` with the paper's constants, for which activations keep mean 0 and variance 1.
selu = SELU(scale=1.0507009873554804934193349852946, scale_neg=1.6732632423543772848170429916717)


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x))."""
    return torch.nn.functional.softplus(x)


def linear(x: Tensor) -> Tensor:
    """Return `x` itself."""
    return x


identity = linear
