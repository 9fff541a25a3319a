"""Dropout and noise: what is dropped, how often, how strong, and when not."""

import pytest
import torch

from lasagne.layers import (
    DropoutLayer,
    GaussianNoiseLayer,
    InputLayer,
    dropout,
    dropout_channels,
    dropout_locations,
    get_output,
    spatial_dropout,
)


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


@pytest.mark.parametrize("make", [InputLayer, tuple])
def test_dropping_channels_and_locations(make):
    x = torch.ones(20, 30, 4, 5)
    assert spatial_dropout is dropout_channels
    layer = dropout_channels(make(x.shape), 0.3, rescale=False, name="d")
    assert (layer.p, layer.rescale, layer.name) == (0.3, False, "d")
    assert layer.shared_axes == (2, 3)
    y = layer(x)
    assert torch.equal(y, y[:, :, :1, :1].expand_as(y))
    assert y.mean() == pytest.approx(0.7, abs=0.1)
    layer = dropout_locations(make(x.shape))
    assert layer.shared_axes == (1,)
    y = layer(x)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert y.mean() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("function", [dropout_channels, dropout_locations])
def test_axes_cannot_be_chosen_where_the_name_does(function):
    assert function((2, 3, 4), shared_axes=(0,)).shared_axes != (0,)


def test_dropping_channels_without_spatial_axes_drops_values():
    assert dropout_channels((2, 3)).shared_axes == ()
    assert dropout_channels((None, 3, 4)).shared_axes == (2,)


@pytest.mark.parametrize("sigma", [0.5, torch.tensor(0.5)])
def test_gaussian_noise(sigma):
    x = torch.full((300, 200), 3.0, requires_grad=True)
    y = GaussianNoiseLayer(x.shape, sigma=sigma)(x)
    noise = (y - x).detach()
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(0.5, abs=0.01)
    assert (noise.abs() < 0.5).float().mean() == pytest.approx(0.6827, abs=0.01)
    y.sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_gaussian_noise_follows_the_seed_and_can_be_switched_off():
    layer = GaussianNoiseLayer(InputLayer((None, 4)))
    x = torch.randn(3, 4)
    torch.manual_seed(1)
    y = get_output(layer, x)
    torch.manual_seed(1)
    assert torch.equal(get_output(layer, x), y)
    assert not torch.equal(get_output(layer, x), y)
    assert get_output(layer, x, deterministic=True) is x
    assert GaussianNoiseLayer((3, 4), sigma=0)(x) is x


@pytest.mark.parametrize("sigma", [-0.1, float("nan")])
def test_sigma_out_of_range(sigma):
    with pytest.raises(ValueError, match=f"'g': sigma must not be negative, got {sigma}"):
        GaussianNoiseLayer((3, 4), sigma=sigma, name="g")
