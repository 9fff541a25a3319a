"""Initialisers: callables that draw a parameter's first value.

An initialiser maps a shape to a float32 array drawn from :func:`lasagne.random.get_rng`:

>>> from lasagne.init import Constant
>>> Constant(0.5)((2, 3))
array([[0.5, 0.5, 0.5],
       [0.5, 0.5, 0.5]], dtype=float32)
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lasagne.random import get_rng
from lasagne.utils import floatX

__all__ = [
    "Constant",
    "Glorot",
    "GlorotNormal",
    "GlorotUniform",
    "He",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Normal",
    "Orthogonal",
    "Sparse",
    "Uniform",
]

Gain = float | Literal["relu"]


class Initializer:
    """Base class: subclasses implement :meth:`sample`."""

    def __call__(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return ``sample(shape)``."""
        return self.sample(shape)

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape."""
        raise NotImplementedError


class Normal(Initializer):
    """Draw from the normal distribution.

    Parameters
    ----------
    std : float, default 0.01
        Standard deviation.
    mean : float, default 0
        Mean.
    """

    def __init__(self, std: float = 0.01, mean: float = 0.0) -> None:
        self.std = std
        self.mean = mean

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape."""
        return floatX(get_rng().normal(self.mean, self.std, size=tuple(shape)))


class Uniform(Initializer):
    """Draw from the uniform distribution.

    Parameters
    ----------
    range : float or (float, float), default 0.01
        A float ``r`` stands for the interval (-r, r). Not used where `std` is given.
    std : float, optional
        Standard deviation: the interval is then `mean` ± sqrt(3) `std`.
    mean : float, default 0
        Mean, used together with `std` only.
    """

    def __init__(
        self,
        range: float | tuple[float, float] = 0.01,
        std: float | None = None,
        mean: float = 0.0,
    ) -> None:
        if std is not None:
            self.range = (mean - math.sqrt(3) * std, mean + math.sqrt(3) * std)
        elif isinstance(range, Sequence):
            low, high = range
            self.range = (low, high)
        else:
            self.range = (-range, range)

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape."""
        return floatX(get_rng().uniform(*self.range, size=tuple(shape)))


class Glorot(Initializer):
    """Scale a distribution by the number of inputs and outputs of a unit.

    The standard deviation is ``gain * sqrt(2 / ((n1 + n2) * prod(shape[2:])))`` with
    ``n1, n2 = shape[:2]``.

    Parameters
    ----------
    initializer : type
        The distribution, :class:`Normal` or :class:`Uniform`.
    gain : float or 'relu', default 1
        A factor; 'relu' is sqrt(2), the choice for rectifiers.
    c01b : bool, default False
        Whether shapes are (channels, height, width, filters), in cuda-convnet's order.

    References
    ----------
    Xavier Glorot and Yoshua Bengio (2010): Understanding the difficulty of training deep
    feedforward neural networks. AISTATS.
    """

    def __init__(
        self, initializer: Callable[..., Initializer], gain: Gain = 1.0, c01b: bool = False
    ) -> None:
        self.initializer = initializer
        self.gain = _as_factor(gain)
        self.c01b = c01b

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape, which has at least two axes."""
        _check_axes(shape, self.c01b)
        if self.c01b:
            fans, receptive_field = shape[0] + shape[3], shape[1] * shape[2]
        else:
            fans, receptive_field = shape[0] + shape[1], math.prod(shape[2:])
        return self.initializer(std=self.gain * math.sqrt(2 / (fans * receptive_field)))(shape)


class GlorotNormal(Glorot):
    """:class:`Glorot` with the normal distribution; same `gain` and `c01b`."""

    def __init__(self, gain: Gain = 1.0, c01b: bool = False) -> None:
        super().__init__(Normal, gain, c01b)


class GlorotUniform(Glorot):
    """:class:`Glorot` with the uniform distribution; same `gain` and `c01b`."""

    def __init__(self, gain: Gain = 1.0, c01b: bool = False) -> None:
        super().__init__(Uniform, gain, c01b)


class He(Initializer):
    """Scale a distribution by the number of inputs of a unit.

    The standard deviation is ``gain * sqrt(1 / fan_in)``, where ``fan_in`` is ``shape[0]`` of a
    matrix and ``prod(shape[1:])`` of a stack of filters.

    Parameters
    ----------
    initializer : type
        The distribution, :class:`Normal` or :class:`Uniform`.
    gain : float or 'relu', default 1
        A factor; 'relu' is sqrt(2), the choice for rectifiers.
    c01b : bool, default False
        Whether shapes are (channels, height, width, filters), in cuda-convnet's order.

    References
    ----------
    Kaiming He et al. (2015): Delving deep into rectifiers: Surpassing human-level performance on
    ImageNet classification. https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self, initializer: Callable[..., Initializer], gain: Gain = 1.0, c01b: bool = False
    ) -> None:
        self.initializer = initializer
        self.gain = _as_factor(gain)
        self.c01b = c01b

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape, which has at least two axes."""
        _check_axes(shape, self.c01b)
        if self.c01b:
            fan_in = math.prod(shape[:3])
        else:
            fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        return self.initializer(std=self.gain * math.sqrt(1 / fan_in))(shape)


class HeNormal(He):
    """:class:`He` with the normal distribution; same `gain` and `c01b`."""

    def __init__(self, gain: Gain = 1.0, c01b: bool = False) -> None:
        super().__init__(Normal, gain, c01b)


class HeUniform(He):
    """:class:`He` with the uniform distribution; same `gain` and `c01b`."""

    def __init__(self, gain: Gain = 1.0, c01b: bool = False) -> None:
        super().__init__(Uniform, gain, c01b)


class Constant(Initializer):
    """Fill with one value.

    Parameters
    ----------
    val : float, default 0
        The value.
    """

    def __init__(self, val: float = 0.0) -> None:
        self.val = val

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape."""
        return np.full(tuple(shape), self.val, dtype=np.float32)


class Sparse(Initializer):
    """Draw a fixed share of each column's weights from the normal distribution; the rest is 0.

    Parameters
    ----------
    sparsity : float, default 0.1
        The share of each column that is not zero, in [0, 1], rounded down to whole weights.
    std : float, default 0.01
        Standard deviation.

    Raises
    ------
    ValueError
        If `sparsity` is not in [0, 1].

    References
    ----------
    James Martens (2010): Deep learning via Hessian-free optimization. ICML.
    """

    def __init__(self, sparsity: float = 0.1, std: float = 0.01) -> None:
        if not 0 <= sparsity <= 1:
            raise ValueError(f"sparsity must be in [0, 1], got {sparsity!r}")
        self.sparsity = sparsity
        self.std = std

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 matrix of the given shape, RuntimeError if that has not two axes."""
        if len(shape) != 2:
            raise RuntimeError(f"the shape must have 2 axes, got {tuple(shape)}")
        rng = get_rng()
        count = int(self.sparsity * shape[0])
        rows = rng.uniform(size=tuple(shape)).argsort(axis=0)[:count]
        weights = np.zeros(tuple(shape), dtype=np.float32)
        np.put_along_axis(weights, rows, floatX(rng.normal(0, self.std, rows.shape)), axis=0)
        return weights


class Orthogonal(Initializer):
    """Draw a matrix whose rows, or columns if they are fewer, are orthogonal and of equal length.

    A shape with more than two axes is taken as a matrix of ``shape[0]`` rows.

    Parameters
    ----------
    gain : float or 'relu', default 1
        The length of a row or column; 'relu' is sqrt(2).

    References
    ----------
    Andrew M. Saxe, James L. McClelland and Surya Ganguli (2013): Exact solutions to the nonlinear
    dynamics of learning in deep linear neural networks. https://arxiv.org/abs/1312.6120
    """

    def __init__(self, gain: Gain = 1.0) -> None:
        self.gain = _as_factor(gain)

    def sample(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Return a float32 array of the given shape, which has at least two axes."""
        _check_axes(shape, c01b=False)
        flat = (shape[0], math.prod(shape[1:]))
        left, _, right = np.linalg.svd(get_rng().normal(0.0, 1.0, flat), full_matrices=False)
        matrix = left if left.shape == flat else right
        return floatX(self.gain * matrix.reshape(shape))


def _as_factor(gain: Gain) -> float:
    """Return `gain` as a number."""
    if gain == "relu":
        return math.sqrt(2)
    if isinstance(gain, str):
        raise ValueError(f"gain must be a number or 'relu', got {gain!r}")
    return float(gain)


def _check_axes(shape: Sequence[int], c01b: bool) -> None:
    """Raise RuntimeError if fans cannot be told from `shape`."""
    if c01b and len(shape) != 4:
        raise RuntimeError(f"with c01b=True the shape must have 4 axes, got {tuple(shape)}")
    if len(shape) < 2:
        raise RuntimeError(f"the shape must have at least 2 axes, got {tuple(shape)}")
