"""Local response normalisation: the formula, gradients, half precision, errors."""

import numpy as np
import pytest
import torch

from lasagne.layers import LocalResponseNormalization2DLayer


@pytest.mark.parametrize("n", [1, 3, 5, 9])
@pytest.mark.parametrize("beta", [0.75, 0.5, 0.6])
def test_against_the_formula(n, beta):
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 4)) * 20
    expected = np.empty_like(x)
    for i in range(6):
        squares = x[:, max(0, i - n // 2) : i + n // 2 + 1] ** 2
        expected[:, i] = x[:, i] / (1.5 + 0.01 * squares.sum(axis=1)) ** beta
    layer = LocalResponseNormalization2DLayer(x.shape, alpha=0.01, k=1.5, beta=beta, n=n)
    np.testing.assert_allclose(layer(torch.from_numpy(x)), expected, rtol=1e-12)


def test_against_pytorch_which_divides_alpha():
    x = torch.randn(2, 7, 3, 4)
    expected = torch.nn.functional.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)
    torch.testing.assert_close(LocalResponseNormalization2DLayer(x.shape)(x), expected)


@pytest.mark.parametrize(("n", "beta"), [(5, 0.75), (3, 0.5), (7, 0.6)])
def test_gradients(n, beta):
    layer = LocalResponseNormalization2DLayer((2, 4, 2, 3), 0.3, 1, beta, n)
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


def test_half_precision_does_not_lose_the_squares():
    x = torch.randn(2, 5, 3, 4) * 30
    layer = LocalResponseNormalization2DLayer(x.shape)
    half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, layer(x.bfloat16().float()).bfloat16())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 4}, NotImplementedError, "'l': n must be odd, got 4"),
        ({"n": 0}, ValueError, "n must be an integer of at least 1, got 0"),
        ({"n": 2.5}, TypeError, "n must be an integer of at least 1, got 2.5"),
        ({"incoming": (2, 3)}, ValueError, r"\(batch, channels, height, width\), got \(2, 3\)"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        LocalResponseNormalization2DLayer(**{"incoming": (2, 3, 4, 5), "name": "l"} | arguments)
