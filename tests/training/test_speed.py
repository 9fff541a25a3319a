"""The timed product and convolution: right, and about as fast as the clock says."""

import time

import pytest
import torch

from training.devices import Compute
from training.speed import TOLERANCE, convolution_speed, expected_speed, product_speed

CPU = torch.device("cpu")


@pytest.mark.parametrize("measure", [product_speed, convolution_speed])
@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-5), ("float64", 1e-13)])
def test_the_result_is_right(measure, precision, error):
    assert measure(Compute(CPU, precision), 0.0).error < error


def test_bfloat16_is_less_exact():
    error = product_speed(Compute(CPU, "bfloat16"), 0.0).error
    assert TOLERANCE["float32"] < error < TOLERANCE["bfloat16"]


def test_tensorfloat_32_is_not_taken_for_float32():
    """It multiplies numbers of 10 bits after the first, in place of 23."""
    a, b = torch.randn(2, 1024, 1024, generator=torch.Generator().manual_seed(0))
    short = [(one.view(torch.int32) + (1 << 12) & ~((1 << 13) - 1)).view(torch.float32)
             for one in (a, b)]  # fmt: skip
    exact = a.double() @ b.double()
    error = (short[0].double() @ short[1].double() - exact).norm() / exact.norm()
    assert error > 2 * TOLERANCE["float32"]


def test_the_speed_of_a_product():
    """At least that of the slowest of some products here, at most far above any CPU's."""
    a = torch.randn(1024, 1024)
    start = time.perf_counter()
    for _ in range(3):
        a @ a
    slow = 2 * 1024**3 / (time.perf_counter() - start)
    assert slow / 3 < product_speed(Compute(CPU, "float32"), 0.3).operations < 1e15


def test_nothing_is_expected_of_a_cpu():
    assert expected_speed(Compute(CPU, "float32")) is None


def test_what_is_expected_of_gpus(monkeypatch):
    """NVIDIA's data sheets: dense 16-bit TFLOP/s, to within the order of magnitude."""
    sheets = [
        ((9, 0), 132, "bfloat16", 989),
        ((8, 0), 108, "bfloat16", 312),
        ((8, 9), 128, "bfloat16", 165),
        ((7, 5), 40, "float16", 65),
        ((7, 0), 80, "float16", 125),
        ((8, 0), 108, "float32", 19.5),
        ((10, 0), 148, "bfloat16", 2250),
    ]
    for (major, minor), count, precision, teraflops in sheets:
        properties = type(
            "Properties", (), {"major": major, "minor": minor, "multi_processor_count": count}
        )
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, p=properties: p)
        expected = expected_speed(Compute(torch.device("cuda"), precision))
        assert teraflops / 2 < expected / 1e12 < teraflops * 2
