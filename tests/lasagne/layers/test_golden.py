"""All layers against Lasagne's numbers: shapes, parameters and tags, outputs, gradients."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lasagne import layers, nonlinearities
from tests.lasagne.golden import cases, error, load

#: Theano approximates these at large arguments.
APPROXIMATED = ("nonlin_sigmoid", "nonlin_softplus")


def build(spec: dict[str, Any]) -> layers.Layer:
    """Make the layer that a specification describes, on top of an input layer."""
    kwargs = dict(spec["kwargs"])
    for key, value in kwargs.items():
        if isinstance(value, list):
            kwargs[key] = tuple(value)
        elif key == "nonlinearity" and isinstance(value, str):
            kwargs[key] = getattr(nonlinearities, value)
        elif isinstance(value, dict):
            kwargs[key] = getattr(nonlinearities, value["class"])(**value["kwargs"])
    incoming = layers.InputLayer(tuple(spec["inputs"][0]["shape"]))
    return getattr(layers, spec["layer"])(incoming, **kwargs)


@pytest.mark.parametrize(
    ("dtype", "tolerance", "gradient_tolerance"),
    [(torch.float32, 1e-5, 2e-5), (torch.float64, 1e-9, 1e-9)],
)
@pytest.mark.parametrize("path", cases("layers"))
def test_golden(path: Path, dtype: torch.dtype, tolerance: float, gradient_tolerance: float):
    if path.stem in APPROXIMATED:
        tolerance = gradient_tolerance = max(tolerance, 1e-8)
    spec, stored = load(path)
    layer = build(spec)
    assert layer.output_shape == tuple(stored["output_shape"])
    assert list(layer._tags) == list(stored["param_names"])
    params = layers.get_all_params(layer)
    for tag in ("trainable", "regularizable"):
        assert [tag in layer.params[param] for param in params] == list(stored[f"param_{tag}"])
    layers.set_all_param_values(layer, [stored[f"p{i}"] for i in range(len(params))])
    layer.to(dtype)

    x = torch.tensor(stored["x0"], dtype=dtype, requires_grad=True)
    y = layers.get_output(layer, x, deterministic=spec.get("deterministic", False))
    assert error(y, stored["y"]) < tolerance
    (y * torch.tensor(stored["c"])).sum().backward()
    assert error(x.grad, stored["gx0"]) < gradient_tolerance
    for i, param in enumerate(params):
        assert error(param.grad, stored[f"gp{i}"]) < gradient_tolerance
