"""Spatial transformers: layers that resample images where another network tells them to."""

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from lasagne.layers.base import Incoming, MergeLayer, Shape
from lasagne.utils import check_int

__all__ = ["TPSTransformerLayer", "TransformerLayer"]

_BORDER_MODES = ("nearest", "mirror", "wrap")


class _SpatialTransformer(MergeLayer):
    """Base class; subclasses implement :meth:`_positions`.

    Positions are (x, y), with -1 at the centre of the first and 1 at that of the last column or
    row of the input.
    """

    def __init__(
        self,
        incoming: Incoming,
        localization_network: Incoming,
        downsample_factor: float | Iterable[float],
        border_mode: str,
        num_parameters: int,
        **kwargs: Any,
    ) -> None:
        super().__init__([incoming, localization_network], **kwargs)
        input_shape, localization_shape = self.input_shapes
        if len(input_shape) != 4:
            raise ValueError(
                f"{self} needs an input of shape (batch, channels, height, width), "
                f"got {input_shape}"
            )
        if len(localization_shape) != 2 or localization_shape[1] != num_parameters:
            raise ValueError(
                f"{self} needs a localization_network with output of shape "
                f"(batch, {num_parameters}), got {localization_shape}"
            )
        if border_mode not in _BORDER_MODES:
            raise ValueError(
                f"{self}: border_mode must be 'nearest', 'mirror' or 'wrap', got {border_mode!r}"
            )
        self.border_mode = border_mode
        self.downsample_factor = self._check_factors(downsample_factor)
        if 0 in self.output_shape:
            raise ValueError(
                f"{self}: downsample_factor leaves nothing of an input of shape {input_shape}, "
                f"got {downsample_factor!r}"
            )

    def get_output_shape_for(self, input_shapes: Any) -> Shape:
        """Return the first input's shape, with height and width divided and rounded down."""
        batch, channels, *sizes = input_shapes[0]
        return (batch, channels, *self._sizes(sizes))

    def get_output_for(self, inputs: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the resampled images.

        Parameters
        ----------
        inputs : sequence of two Tensor
            Images and the transformations' parameters, one row for each image. Positions are
            computed in float32 at least, also under autocast.
        **kwargs
            Ignored.
        """
        input, parameters = inputs
        dtype = torch.promote_types(
            torch.promote_types(input.dtype, parameters.dtype), torch.float32
        )
        height, width = self._sizes(input.shape[2:])
        with torch.autocast(input.device.type, enabled=False):
            positions = self._positions(parameters.to(dtype), height, width)
            grid = positions.view(-1, 2, height, width).permute(0, 2, 3, 1)
            return _interpolate(input.to(dtype), grid, self.border_mode).to(input.dtype)

    def _check_factors(self, factor: Any) -> tuple[float, ...]:
        """Return `downsample_factor` as a pair."""
        factors = tuple(factor) if isinstance(factor, Iterable) else (factor, factor)
        expected = f"{self}: downsample_factor must be a positive number or a pair, got {factor!r}"
        if not all(isinstance(one, Real) for one in factors):
            raise TypeError(expected)
        if len(factors) != 2 or not all(0 < one < math.inf for one in factors):
            raise ValueError(expected)
        return factors

    def _sizes(self, sizes: Iterable[Any]) -> tuple[Any, ...]:
        """Return the output's height and width."""
        pairs = zip(sizes, self.downsample_factor, strict=True)
        return tuple(None if size is None else int(size // factor) for size, factor in pairs)

    def _positions(self, parameters: Tensor, height: int, width: int) -> Tensor:
        """Return where to look for each pixel of the output, of shape (batch, 2, pixels)."""
        raise NotImplementedError


class TransformerLayer(_SpatialTransformer):
    """Spatial transformer with an affine transformation for each image.

    The output's pixel at (x, y) is what the input has at ``theta (x, y, 1)``, interpolated
    bilinearly; both axes run from -1 to 1.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, channels, height, width).
    localization_network : Layer or tuple
        The layer that computes the transformations, of output shape (batch, 6): the rows of
        ``theta``, of shape (2, 3). (1, 0, 0, 0, 1, 0) is the identity.
    downsample_factor : float or pair of float, default 1
        What height and width are divided by; below 1 the output is larger than the input.
    border_mode : 'nearest', 'mirror' or 'wrap', default 'nearest'
        What lies outside the input: the closest pixel, its mirror image (in which the border is
        not repeated), or the input again.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `downsample_factor` is not made of numbers.
    ValueError
        If a shape or an argument is not as described, or the output would be empty.

    References
    ----------
    Max Jaderberg et al. (2015): Spatial transformer networks. https://arxiv.org/abs/1506.02025

    Examples
    --------
    >>> from lasagne import init
    >>> from lasagne.layers import DenseLayer, InputLayer, TransformerLayer
    >>> images = InputLayer((None, 3, 28, 28))
    >>> identity = [1, 0, 0, 0, 1, 0]
    >>> theta = DenseLayer(images, 6, W=init.Constant(0), b=identity, nonlinearity=None)
    >>> TransformerLayer(images, theta, downsample_factor=2).output_shape
    (None, 3, 14, 14)
    """

    def __init__(
        self,
        incoming: Incoming,
        localization_network: Incoming,
        downsample_factor: float | Iterable[float] = 1,
        border_mode: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming, localization_network, downsample_factor, border_mode, 6, **kwargs
        )

    def _positions(self, parameters: Tensor, height: int, width: int) -> Tensor:
        theta = parameters.view(-1, 2, 3)
        return theta[:, :, :2] @ _pixels(height, width, parameters) + theta[:, :, 2:]


class TPSTransformerLayer(_SpatialTransformer):
    """Spatial transformer with a thin plate spline for each image.

    Control points lie on a regular grid over the whole image. Every one looks for its pixel at an
    offset from its own position; pixels between them follow the smoothest surface through these.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, channels, height, width).
    localization_network : Layer or tuple
        The layer that computes the offsets, of output shape (batch, 2 * control_points): those
        along x, row by row, then those along y; both axes run from -1 to 1. Zeros are the
        identity.
    downsample_factor : float or pair of float, default 1
        What height and width are divided by; below 1 the output is larger than the input.
    control_points : int, default 16
        Number of control points, a square of at least 4.
    precompute_grid : 'auto' or bool, default 'auto'
        Whether what only depends on the input's height and width is computed once, in place of
        for every batch; 'auto' if these are known.
    border_mode : 'nearest', 'mirror' or 'wrap', default 'nearest'
        As for :class:`TransformerLayer`.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If `downsample_factor` is not made of numbers, or `control_points` is not an integer.
    ValueError
        If a shape or an argument is not as described, or the output would be empty.

    References
    ----------
    Fred L. Bookstein (1989): Principal warps: Thin-plate splines and the decomposition of
    deformations. IEEE Transactions on Pattern Analysis and Machine Intelligence 11.
    """

    _influence: Tensor | None

    def __init__(
        self,
        incoming: Incoming,
        localization_network: Incoming,
        downsample_factor: float | Iterable[float] = 1,
        control_points: int = 16,
        precompute_grid: bool | Literal["auto"] = "auto",
        border_mode: str = "nearest",
        **kwargs: Any,
    ) -> None:
        number = check_int(control_points, f"{type(self).__name__}: control_points", 4)
        if math.isqrt(number) ** 2 != number:
            raise ValueError(
                f"{type(self).__name__}: control_points must be a square, got {control_points}"
            )
        super().__init__(
            incoming, localization_network, downsample_factor, border_mode, 2 * number, **kwargs
        )
        self.control_points = number
        height, width = self.output_shape[2:]
        known = height is not None and width is not None
        if precompute_grid not in ("auto", True, False):
            raise ValueError(
                f"{self}: precompute_grid must be 'auto', True or False, got {precompute_grid!r}"
            )
        if precompute_grid is True and not known:
            raise ValueError(
                f"{self}: precompute_grid=True needs an input whose height and width are known, "
                f"got {self.input_shapes[0]}"
            )
        self.precompute_grid = known if precompute_grid == "auto" else bool(precompute_grid)
        influence = None
        if self.precompute_grid and height is not None and width is not None:
            influence = _influence_of_points(number, height, width, torch.device("cpu")).float()
        self.register_buffer("_influence", influence, persistent=False)

    def _positions(self, parameters: Tensor, height: int, width: int) -> Tensor:
        influence = self._influence
        if influence is None:
            influence = _influence_of_points(self.control_points, height, width, parameters.device)
        offsets = parameters.view(-1, 2, self.control_points) @ influence.to(parameters.dtype)
        return offsets + _pixels(height, width, parameters)


def _pixels(height: int, width: int, like: Tensor) -> Tensor:
    """Return the positions of the pixels of an image, of shape (2, height * width)."""
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    return torch.stack((x.repeat(height), y.repeat_interleave(width)))


def _influence_of_points(
    control_points: int, height: int, width: int, device: torch.device
) -> Tensor:
    """Return how far a control point's offset moves each pixel.

    Parameters
    ----------
    control_points : int
        Number of control points, a square.
    height, width : int
        The output's size.
    device : torch.device
        Where to compute.

    Returns
    -------
    Tensor of float64, shape (control_points, height * width)
        Each row is 1 where its point is, and 0 where the others are.
    """
    double = torch.zeros((), dtype=torch.float64, device=device)
    side = math.isqrt(control_points)
    points = _pixels(side, side, double)
    affine = torch.cat((torch.ones_like(points[:1]), points))
    system = torch.zeros(2 * (control_points + 3,), dtype=torch.float64, device=device)
    system[:3, 3:] = affine
    system[3:, :3] = affine.T
    system[3:, 3:] = _bending(points, points)
    pixels = _pixels(height, width, double)
    basis = torch.cat((torch.ones_like(pixels[:1]), pixels, _bending(points, pixels)))
    return torch.linalg.solve(system, basis)[3:]


def _bending(points: Tensor, positions: Tensor) -> Tensor:
    """Return r^2 log r^2 for the distances r between (2, n) points and (2, m) positions."""
    squares = (points[:, :, None] - positions[:, None, :]).square().sum(0)
    return torch.special.xlogy(squares, squares)


def _interpolate(images: Tensor, grid: Tensor, border_mode: str) -> Tensor:
    """Return what `images` have at the positions in `grid`, of shape (batch, height, width, 2)."""
    padding_mode = "reflection" if border_mode == "mirror" else "border"
    if border_mode == "wrap":
        sizes = grid.new_tensor(images.shape[:1:-1])
        columns_and_rows = torch.remainder((grid + 1) / 2 * (sizes - 1), sizes)
        grid = 2 * columns_and_rows / sizes - 1
        images = torch.nn.functional.pad(images, (0, 1, 0, 1), mode="circular")
    return torch.nn.functional.grid_sample(
        images, grid, padding_mode=padding_mode, align_corners=True
    )
