"""A matrix product and a convolution on a device: timed, and checked against float64."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.devices import Compute

TOLERANCE = {"bfloat16": 2e-2, "float16": 5e-3, "float32": 1e-4, "float64": 1e-10}
"""Relative error that a right result may have; TensorFloat-32 is no float32."""

TENSOR_RATES = {
    (7, 0): 1024,
    (7, 5): 1024,
    (8, 0): 2048,
    (8, 6): 512,
    (8, 9): 512,
    (9, 0): 4096,
    (10, 0): 8192,
    (12, 0): 512,
}
"""16-bit operations that a multiprocessor's matrix units do in a cycle, by compute capability.

From NVIDIA's architecture papers; the lower one where GPUs of a capability differ.
"""
PLAIN_RATE = 128
"""The same in float32 without matrix units: 64 multiply-adds, and twice that on newer GPUs."""
CLOCK = 1.5e9  # Hz, the order of magnitude of every GPU


@dataclass(frozen=True)
class Speed:
    """What was measured: operations in a second, and the relative error."""

    operations: float
    error: float


def product_speed(compute: Compute, seconds: float) -> Speed:
    """Times the product of two square matrices, of 4,096 rows on a GPU and 1,024 on a CPU.

    It is repeated for some seconds, at least once.
    """
    size = 4096 if compute.device.type == "cuda" else 1024
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator) for _ in range(2))
    a, b = (matrix.to(compute.device, compute.short_dtype) for matrix in (left, right))
    expected = a[:8].double().cpu() @ b.double().cpu()
    shortest, result = _timed(lambda: a @ b, compute.device, seconds)
    return Speed(2 * size**3 / shortest, _error(result[:8], expected))


def convolution_speed(compute: Compute, seconds: float) -> Speed:
    """Times a 3×3 convolution of 64 to 64 channels, 56×56; of 64 pictures on a GPU, 4 on a CPU.

    It is repeated for some seconds, at least once.
    """
    pictures = 64 if compute.device.type == "cuda" else 4
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(pictures, 64, 56, 56, generator=generator)
    w = torch.randn(64, 64, 3, 3, generator=generator)
    x, w = (array.to(compute.device, compute.short_dtype) for array in (x, w))
    x = x.contiguous(memory_format=torch.channels_last)
    columns = functional.unfold(x[:1].double().cpu(), 3, padding=1)
    expected = (w.double().cpu().flatten(1) @ columns).view(1, 64, 56, 56)
    convolve = functools.partial(functional.conv2d, x, w, padding=1)
    shortest, result = _timed(convolve, compute.device, seconds)
    operations = 2 * pictures * 64 * 64 * 9 * 56 * 56
    return Speed(operations / shortest, _error(result[:1], expected))


def expected_speed(compute: Compute) -> float | None:
    """Returns the operations in a second that a GPU's papers promise, roughly; None for a CPU."""
    if compute.device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(compute.device)
    capability = (properties.major, properties.minor)
    known = [rate for since, rate in sorted(TENSOR_RATES.items()) if since <= capability]
    in_16_bits = compute.precision in ("bfloat16", "float16")
    rate = known[-1] if in_16_bits and known else PLAIN_RATE
    if compute.precision == "float64":
        rate = 2  # of consumers' GPUs; others have more
    return float(properties.multi_processor_count * CLOCK * rate)


def _timed(
    compute_once: Callable[[], Tensor], device: torch.device, seconds: float
) -> tuple[float, Tensor]:
    """Returns the shortest time of several, after a warm-up, and a result."""

    def finished() -> Tensor:
        result = compute_once()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    result = finished()
    finished()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        finished()
        times.append(time.perf_counter() - start)
    return min(times), result


def _error(result: Tensor, expected: Tensor) -> float:
    difference = result.double().cpu() - expected
    return float(difference.norm() / expected.norm())
