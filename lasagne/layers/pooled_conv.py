"""Convolutions along time that are pooled over all of it, without the values in between.

A max pool over all frames keeps one of hundreds of values, so that none has to stay: they are
computed a cache full at a time, and of each pool's the largest and its position are kept. The
gradient needs the one window of the input at that position, where a convolution's own would go
through all of them.

The largest values are found by matrix products. Windows that begin at `shifts` frames next to each
other are together a slice of ``length + shifts - 1`` frames, and their products with a filter are
the slice's with a Toeplitz matrix, which has the filter in every column, each time a frame further
down. Slices are views of the input. The zeros in the matrix cost less than narrow products would.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["is_plain_call", "max_correlation"]

_COLUMNS = 128  # of the Toeplitz matrix, about; in 96 to 256 times hardly differ
_BYTES_AT_ONCE = {"cpu": 2**22}  # within the cores' caches; all in between is in memory otherwise
_BYTES_ELSEWHERE = 2**28


def is_plain_call(device: torch.device) -> bool:
    """Tell whether values are computed there, which nobody compiles, traces or transforms."""
    if device.type == "meta":
        return False
    transformed: bool = torch._C._are_functorch_transforms_active()
    return not (transformed or torch.compiler.is_compiling() or torch.jit.is_tracing())


def max_correlation(input: Tensor, filters: Tensor, bands: int) -> Tensor:
    """Return each filter's largest correlation with the input, for groups of bands.

    It is ``max_pool2d(conv2d(input, filters), (bands, frames - length + 1))``, in the type that
    autocast wants of conv2d. Where several values are the largest, one of them, not always the
    first, gets the gradient. An infinite value in the input may make the largest ones NaN.

    Parameters
    ----------
    input : Tensor, shape (batch, 1, height, frames)
        The batch may be empty.
    filters : Tensor, shape (num_filters, 1, 1, length)
        Of at most `frames`.
    bands : int
        Rows in a group, at most `height`; rows that are left over at the end are ignored.

    Returns
    -------
    Tensor, shape (batch, num_filters, height // bands, 1)
    """
    device = input.device.type
    short = torch.is_autocast_enabled(device) and filters.dtype != torch.float64
    dtype = torch.get_autocast_dtype(device) if short else None
    batch, groups = len(input), input.shape[2] // bands
    rows = input[:, 0, : groups * bands].reshape(batch * groups * bands, input.shape[3])
    with torch.autocast(device, enabled=False):
        values = _MaxCorrelation.apply(rows, filters[:, 0, 0], bands, dtype)
    return values.view(len(filters), batch, groups, 1).transpose(0, 1)


class _MaxCorrelation(torch.autograd.Function):
    """Maps rows (n, frames) and filters (num_filters, length) to values (num_filters, n // bands).

    What is saved is the arguments as they came and the positions: copies in a short type would be
    kept once for each length of filters.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, filters: Tensor, bands: int, dtype: torch.dtype | None
    ) -> Tensor:
        values, best = _largest(_cast(rows, dtype).contiguous(), _cast(filters, dtype), bands)
        ctx.save_for_backward(rows, filters, best)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        rows, filters, best = ctx.saved_tensors
        rows_grad = filters_grad = None
        length, frames = filters.shape[1], rows.shape[1]
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                at = best.unsqueeze(2) + torch.arange(length, device=best.device)
                shares = grad.unsqueeze(2) * filters.to(grad.dtype).unsqueeze(1)
                zeros = rows.new_zeros(rows.numel(), dtype=shares.dtype)
                summed = zeros.index_add(0, at.flatten(), shares.flatten())
                rows_grad = summed.view(rows.shape).to(rows.dtype)
            if ctx.needs_input_grad[1]:
                windows = rows.to(grad.dtype).unfold(1, length, 1)[best // frames, best % frames]
                filters_grad = torch.bmm(grad.unsqueeze(1), windows).squeeze(1).to(filters.dtype)
        return rows_grad, filters_grad, None, None


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor if dtype is None else tensor.to(dtype)


def _largest(rows: Tensor, filters: Tensor, bands: int) -> tuple[Tensor, Tensor]:
    """Return the largest values and where in `rows`, flattened, their windows begin.

    Parameters
    ----------
    rows : Tensor, shape (n, frames)
        Contiguous; `n` is a multiple of `bands`.
    filters : Tensor, shape (num_filters, length)
        Of the same type.

    Returns
    -------
    values : Tensor, shape (num_filters, n // bands)
    best : Tensor of int64, of the same shape
    """
    (count, frames), (num_filters, length) = rows.shape, filters.shape
    positions = frames - length + 1
    slices, step, shifts = _slices(positions, length, max(1, _COLUMNS // num_filters))
    toeplitz = _toeplitz(filters, shifts)
    size = slices * toeplitz.shape[1] * bands * rows.element_size()
    at_once = max(1, _BYTES_AT_ONCE.get(rows.device.type, _BYTES_ELSEWHERE) // size) * bands
    values = rows.new_empty(num_filters, count // bands)
    best = torch.empty_like(values, dtype=torch.int64)
    for start in range(0, count, at_once):
        part = rows[start : start + at_once]
        sliced = part.as_strided((slices, len(part), len(toeplitz)), (step, frames, 1))
        products = torch.bmm(sliced, toeplitz.expand(slices, -1, -1))
        # an image of as many channels as the matrix has columns, channels last
        image = products.unsqueeze(0).permute(0, 3, 1, 2)
        largest, where = functional.max_pool2d(image, (slices, bands), return_indices=True)
        of_shifts, shift = largest.view(shifts, num_filters, -1).max(0)
        where = where.view(shifts, num_filters, -1).gather(0, shift.unsqueeze(0)).squeeze(0)
        own = slice(start // bands, (start + len(part)) // bands)
        values[:, own] = of_shifts
        row = start + where % len(part)
        best[:, own] = row * frames + where // len(part) * step + shift
    return values, best


def _slices(positions: int, length: int, shifts: int) -> tuple[int, int, int]:
    """Return how many slices cover all positions, the frames between them, and the shifts in each.

    Shifts are about as many as wanted, or up to twice. Slices overlap where that is not a divisor;
    of all numbers of slices the one is taken that makes the fewest products.
    """

    def covering(slices: int) -> tuple[int, int, int]:
        step = positions // slices
        return slices, step, positions - (slices - 1) * step

    most = max(1, positions // shifts)
    candidates = map(covering, range(-(-most // 2), most + 1))
    return min(candidates, key=lambda found: found[0] * found[2] * (length + found[2] - 1))


def _toeplitz(filters: Tensor, shifts: int) -> Tensor:
    """Return a matrix of shape (length + shifts - 1, shifts * num_filters).

    Column ``s * num_filters + f`` has filter `f` from row `s` on, and zeros elsewhere.
    """
    num_filters, length = filters.shape
    size = length + shifts - 1
    # Each row of `size` values starts one value earlier in a period of size + 1.
    periods = functional.pad(filters, (0, shifts)).repeat(1, shifts)[:, : shifts * size]
    return periods.view(num_filters, shifts, size).permute(2, 1, 0).reshape(size, -1)
