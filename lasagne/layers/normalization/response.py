"""Local response normalisation."""

from typing import Any

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, Layer
from lasagne.layers.checks import check_spatial_axes
from lasagne.utils import check_int

__all__ = ["LocalResponseNormalization2DLayer"]


class LocalResponseNormalization2DLayer(Layer):
    """Divide by a power of the neighbouring channels' energy.

    It computes ``x[i] / (k + alpha * sum_j x[j]^2) ^ beta``, where j runs over the `n` channels
    centred on i. (PyTorch and Caffe divide `alpha` by `n`; here it is used as it is.) Half
    precision input is normalised in float32.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, channels, height, width).
    alpha : float, default 1e-4
        The factor of the squares.
    k : float, default 2
        What is added to them.
    beta : float, default 0.75
        The exponent.
    n : int, default 5
        How many channels count, an odd number.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    NotImplementedError
        If `n` is even.
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is not positive, or the input does not have four axes.

    References
    ----------
    Alex Krizhevsky et al. (2012): ImageNet classification with deep convolutional neural networks.
    """

    def __init__(
        self,
        incoming: Incoming,
        alpha: float = 1e-4,
        k: float = 2,
        beta: float = 0.75,
        n: int = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        check_spatial_axes(self, 2)
        self.n = check_int(n, f"{self}: n")
        if self.n % 2 == 0:
            raise NotImplementedError(f"{self}: n must be odd, got {n}")
        self.alpha = alpha
        self.k = k
        self.beta = beta

    def get_output_for(self, input: Tensor, **kwargs: Any) -> Tensor:
        """Return the layer's output for a tensor of the input's shape."""
        output: Tensor = _Normalize.apply(input, self.alpha, self.k, self.beta, self.n)
        return output


class _Normalize(torch.autograd.Function):
    """The layer's function, with a gradient that needs the input only.

    Autograd's own keeps four maps in place of one, and takes nearly twice as long.
    """

    @staticmethod
    def forward(input: Tensor, alpha: float, k: float, beta: float, n: int) -> Tensor:
        """Return the normalised input."""
        x = _at_least_float32(input)
        return (x * _power(_scale(x, alpha, k, n), beta)).to(input.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the input and the constants."""
        input, *ctx.constants = inputs
        ctx.save_for_backward(input)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient with respect to the input, by operations that can be derived too."""
        (input,) = ctx.saved_tensors
        alpha, k, beta, n = ctx.constants
        x = _at_least_float32(input)
        scale = _scale(x, alpha, k, n)
        direct = gradients[0] * _power(scale, beta)
        by_neighbours = _sum_over_channels((direct * x).div_(scale), n).mul_(x)
        gradient = torch.sub(direct, by_neighbours, alpha=2 * alpha * beta)
        return gradient.to(input.dtype), None, None, None, None


def _at_least_float32(x: Tensor) -> Tensor:
    """Return `x`, half precision as float32."""
    return x.float() if x.dtype.itemsize < 4 else x


def _scale(x: Tensor, alpha: float, k: float, n: int) -> Tensor:
    """Return ``k + alpha * sum_j x[j]^2``."""
    return _sum_over_channels(x * x, n).mul_(alpha).add_(k)


def _sum_over_channels(x: Tensor, n: int) -> Tensor:
    """Return the sums over windows of `n` channels, cut off at the first and the last."""
    sums = x.clone()
    for distance in range(1, min(n // 2, x.shape[1] - 1) + 1):
        sums[:, distance:] += x[:, :-distance]
        sums[:, :-distance] += x[:, distance:]
    return sums


def _power(scale: Tensor, beta: float) -> Tensor:
    """Return ``scale ** -beta``; square roots are several times faster than powers."""
    if beta == 0.75:
        return (scale * scale.sqrt()).rsqrt_()
    return scale.rsqrt() if beta == 0.5 else scale.pow(-beta)
