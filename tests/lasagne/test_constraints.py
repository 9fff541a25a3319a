"""Constraints of norms against Lasagne's numbers."""

import numpy as np
import pytest
import torch

from lasagne.updates import norm_constraint, total_norm_constraint
from tests.lasagne.golden import cases, error, load

SPECS, STORED = load(cases("updates", "norm_constraints")[0].values[0])
PRECISIONS = [(torch.float32, 5e-6), (torch.float64, 1e-12)]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["key"])
def test_golden(spec: dict, dtype: torch.dtype, tolerance: float):
    key = spec["key"]
    if spec["function"] == "norm_constraint":
        result = norm_constraint(torch.tensor(STORED[f"{key}_x"], dtype=dtype), **spec["kwargs"])
        assert error(result, STORED[f"{key}_y"]) < tolerance
        return
    x = [torch.tensor(STORED[f"{key}_x{j}"], dtype=dtype) for j in range(spec["count"])]
    results, norm = total_norm_constraint(x, return_norm=True, **spec["kwargs"])
    assert error(norm, STORED[f"{key}_norm"]) < tolerance
    for j, result in enumerate(results):
        assert error(result, STORED[f"{key}_y{j}"]) < tolerance
    assert all(map(torch.equal, total_norm_constraint(x, **spec["kwargs"]), results))


def test_zeros_stay_zeros():
    assert not norm_constraint(torch.zeros(3, 2), 1.0).any()
    assert not total_norm_constraint([torch.zeros(3)], 1.0)[0].any()


def test_gradients_flow_through():
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm_constraint(x, 0.5), x)
    assert torch.autograd.gradcheck(lambda x: total_norm_constraint([x, x], 0.5)[0], x)


def test_axes_without_a_default():
    for shape in [(3,), (1,) * 6]:
        with pytest.raises(ValueError, match=f"norm_axes must be given for {len(shape)} axes"):
            norm_constraint(torch.from_numpy(np.ones(shape)), 1.0)
