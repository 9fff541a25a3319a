"""Dropout: what is dropped, how often, and when not."""

import pytest
import torch

from lasagne.layers import DropoutLayer, InputLayer, dropout, get_output


@pytest.mark.parametrize(("rescale", "left"), [(True, 1 / 0.7), (False, 1)])
def test_values_are_dropped_with_probability_p(rescale, left):
    x = torch.ones(300, 200)
    y = DropoutLayer(x.shape, p=0.3, rescale=rescale)(x)
    kept = y != 0
    assert kept.float().mean() == pytest.approx(0.7, abs=0.01)
    assert torch.allclose(y[kept], torch.tensor(float(left)))


@pytest.mark.parametrize("axes", [(2, 3), (-2, -1)])
def test_shared_axes_are_dropped_together(axes):
    x = torch.ones(20, 30, 4, 5)
    y = DropoutLayer(x.shape, shared_axes=axes)(x)
    assert torch.equal(y, y[:, :, :1, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0, 2}
    assert (y[:, :, 0, 0] != 0).float().mean() == pytest.approx(0.5, abs=0.1)


def test_deterministic_and_zero_probability_return_the_input():
    x = torch.ones(3, 4)
    layer = InputLayer((3, 4))
    assert get_output(dropout(layer), x, deterministic=True) is x
    assert get_output(dropout(layer, p=0), x) is x


def test_module_eval_has_no_effect():
    x = torch.ones(30, 40)
    assert (DropoutLayer(x.shape).eval()(x) == 0).any()


@pytest.mark.parametrize("p", [1, -0.1, 1.5, float("nan")])
def test_p_out_of_range(p):
    with pytest.raises(ValueError, match=rf"'d': p must be a probability in \[0, 1\), got {p}"):
        DropoutLayer((3, 4), p=p, name="d")


def test_axis_out_of_range():
    with pytest.raises(ValueError, match=r"shared_axes must be axes of .* \(3, 4\), got \(2,\)"):
        DropoutLayer((3, 4), shared_axes=(2,))
