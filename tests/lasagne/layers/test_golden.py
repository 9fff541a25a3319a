"""All layers against Lasagne's numbers: shapes, parameters and tags, outputs, gradients."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lasagne import layers, nonlinearities
from tests.lasagne.golden import cases, error, load

PRECISIONS = pytest.mark.parametrize(
    ("dtype", "tolerance", "gradient_tolerance"),
    [
        pytest.param(torch.float32, 1e-5, 2e-5, id="float32"),
        pytest.param(torch.float64, 1e-9, 1e-9, id="float64"),
    ],
)

#: Theano approximates these at large arguments, and squares LRN's input in float32.
STORED_ACCURACY = {"nonlin_sigmoid": 1e-8, "nonlin_softplus": 1e-8, "lrn": 1e-7}

FUNCTIONS = {"max": torch.amax, "mean": torch.mean, "maximum": torch.maximum, "mul": torch.mul}
WRITTEN_AS_LIST = {"coeffs", "cropping", "pool_dims"}


def stored_accuracy(path: Path) -> float:
    return max((v for k, v in STORED_ACCURACY.items() if path.stem.startswith(k)), default=0.0)


def argument(key: str, value: Any, inputs: list[layers.Layer]) -> Any:
    """Return the argument that a specification's `value` stands for."""
    if isinstance(value, list) and key == "shape":
        return tuple(value)
    if isinstance(value, list) and key not in WRITTEN_AS_LIST:
        return tuple(argument(key, item, inputs) for item in value)
    if key == "nonlinearity" and isinstance(value, str):
        return getattr(nonlinearities, value)
    if key in ("pool_function", "merge_function"):
        return FUNCTIONS[value]
    if not isinstance(value, dict):
        return value
    if "slice" in value:
        return slice(*value["slice"])
    if "input" in value:
        return inputs[value["input"]]
    if "gate" in value:
        return layers.Gate(**arguments(value["gate"], inputs))
    return getattr(nonlinearities, value["class"])(**value["kwargs"])


def arguments(kwargs: dict[str, Any], inputs: list[layers.Layer]) -> dict[str, Any]:
    return {key: argument(key, value, inputs) for key, value in kwargs.items()}


def build(spec: dict[str, Any]) -> tuple[layers.Layer, list[layers.Layer]]:
    """Make the layer that a specification describes, and the input layers below it."""
    inputs = [layers.InputLayer(tuple(given["shape"])) for given in spec["inputs"]]
    incoming: Any = inputs[0]
    args: list[Any] = []
    if spec["layer"] in ("ConcatLayer", "ElemwiseSumLayer", "ElemwiseMergeLayer"):
        incoming = inputs
    elif spec["layer"] == "TransformerLayer":
        args = [inputs[1]]
    kwargs = arguments(spec["kwargs"], inputs)
    layer = getattr(layers, spec["layer"])(incoming, *args, **kwargs)
    for wrapper in spec.get("then", []):
        layer = getattr(layers, wrapper["function"])(layer, **wrapper.get("kwargs", {}))
    return layer, inputs


class Case:
    """A golden file's layer, with its start values, in one precision."""

    def __init__(self, path: Path, dtype: torch.dtype, device: str = "cpu") -> None:
        spec, self.stored = load(path)
        self.layer, self.inputs = build(spec)
        self.deterministic = spec.get("deterministic", False)
        self.dtype, self.device = dtype, device
        params = layers.get_all_params(self.layer)
        layers.set_all_param_values(self.layer, [self.stored[f"p{i}"] for i in range(len(params))])
        self.network = layers.Network([self.layer, *self.inputs]).to(device, dtype)
        self.params = layers.get_all_params(self.layer)

    def x(self, key: str) -> torch.Tensor:
        values = torch.tensor(self.stored[key], device=self.device)
        if not values.is_floating_point():
            return values
        return values.to(self.dtype).requires_grad_()

    def output(self, x: list[torch.Tensor], **kwargs: Any) -> torch.Tensor:
        return layers.get_output(self.layer, dict(zip(self.inputs, x, strict=True)), **kwargs)

    def check_gradients(self, x: list[torch.Tensor], suffix: str, tolerance: float) -> None:
        for i, value in enumerate(x):
            key = f"gx{i}{suffix}"
            if key in self.stored and value.is_floating_point():
                grad = torch.zeros_like(value) if value.grad is None else value.grad
                assert error(grad, self.stored[key]) < tolerance, key
        for i, param in enumerate(self.params):
            key = f"gp{i}{suffix}"
            assert (key in self.stored) == param.requires_grad
            if param.requires_grad:
                grad = torch.zeros_like(param) if param.grad is None else param.grad
                assert error(grad, self.stored[key]) < tolerance, key
                param.grad = None


@PRECISIONS
@pytest.mark.parametrize("path", cases("layers"))
def test_golden(path: Path, dtype: torch.dtype, tolerance: float, gradient_tolerance: float):
    case = Case(path, dtype)
    stored = case.stored
    declared = tuple(-1 if size is None else size for size in case.layer.output_shape)
    assert declared == tuple(stored["output_shape"])
    assert parameter_names(case.layer) == list(stored["param_names"])
    for tag in ("trainable", "regularizable"):
        tagged = {id(p) for p in layers.get_all_params(case.layer, **{tag: True})}
        assert [id(p) in tagged for p in case.params] == list(stored[f"param_{tag}"])
    check_numbers(path, case, tolerance, gradient_tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_golden_on_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """All cases in one, with float32 products that are not rounded to 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    for parameter in cases("layers"):
        (path,) = parameter.values
        for dtype, tolerance, gradient_tolerance in [
            (torch.float32, 1e-5, 2e-5),
            (torch.float64, 1e-9, 1e-9),
        ]:
            check_numbers(path, Case(path, dtype, "cuda"), tolerance, gradient_tolerance)


def check_numbers(path: Path, case: "Case", tolerance: float, gradient_tolerance: float) -> None:
    """Compare output and gradients."""
    floor = stored_accuracy(path)
    x = [case.x(f"x{i}") for i in range(len(case.inputs))]
    y = case.output(x, deterministic=case.deterministic)
    assert error(y, case.stored["y"]) < max(tolerance, floor), path.stem
    (y * torch.tensor(case.stored["c"], device=case.device)).sum().backward()
    case.check_gradients(x, "", max(gradient_tolerance, floor))


def parameter_names(layer: layers.Layer) -> list[str]:
    """Return the names of all parameters, those of a layer inside another with that one's name."""
    names = {id(p): name for p, name in _named_parameters(layers.get_all_layers(layer))}
    return [names[id(p)] for p in layers.get_all_params(layer)]


def _named_parameters(all_layers: list[layers.Layer]) -> list[tuple[torch.Tensor, str]]:
    found = []
    for layer in all_layers:
        found += [(getattr(layer, name), name) for name in layer._tags]
        for role in ("input_to_hidden", "hidden_to_hidden"):
            if hasattr(layer, role):
                inside = layers.get_all_layers(getattr(layer, role))
                found += [(p, f"{role}.{name}") for p, name in _named_parameters(inside)]
    return found


@PRECISIONS
@pytest.mark.parametrize("path", cases("layers", "b*n*_*"))
def test_batch_normalization(
    path: Path, dtype: torch.dtype, tolerance: float, gradient_tolerance: float
):
    """With stored averages, and what passes over two batches leave of them."""
    case = Case(path, dtype)
    stored = case.stored
    x = [case.x("x0")]
    y = case.output(x, deterministic=True)
    assert error(y, stored["y_det"]) < tolerance
    (y * torch.tensor(stored["c_det"])).sum().backward()
    case.check_gradients(x, "_det", gradient_tolerance)

    for step, key in [(1, "x0"), (2, "x0_second")]:
        assert error(case.output([case.x(key)]), stored[f"y_pass{step}"]) < tolerance
        check_statistics(case, f"_after{step}", tolerance)
    assert (
        error(case.output([case.x("x0")], deterministic=True), stored["y_det_after2"]) < tolerance
    )


@PRECISIONS
@pytest.mark.parametrize("path", cases("layers", "bn_*"))
def test_batch_normalization_uses_and_updates_averages(
    path: Path, dtype: torch.dtype, tolerance: float, gradient_tolerance: float
):
    case = Case(path, dtype)
    switches = {"batch_norm_use_averages": True, "batch_norm_update_averages": True}
    y = case.output([case.x("x0_second")], **switches)
    assert error(y, case.stored["y_useavg_update"]) < tolerance
    check_statistics(case, "_after_useavg_update", tolerance)


def check_statistics(case: Case, suffix: str, tolerance: float) -> None:
    keys = [(i, f"p{i}{suffix}") for i in range(len(case.params))]
    compared = [error(case.params[i], case.stored[key]) for i, key in keys if key in case.stored]
    assert len(compared) == 2
    assert max(compared) < tolerance


def test_every_case_is_here():
    assert len(cases("layers")) == 185
    assert np.load(cases("layers", "bn_2d")[0].values[0])["y"].shape == (6, 5)
