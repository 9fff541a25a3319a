"""Spatial transformers: positions, interpolation beyond the borders, gradients, errors."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator

from lasagne import init
from lasagne.layers import (
    DenseLayer,
    InputLayer,
    Network,
    TPSTransformerLayer,
    TransformerLayer,
    get_output,
)

MODES = ("nearest", "mirror", "wrap")
IDENTITY = [1.0, 0, 0, 0, 1, 0]


def pixel(image, row, column, mode):
    """Return the pixel at an integer position, which may lie outside."""
    where = []
    for index, size in zip((row, column), image.shape[1:], strict=True):
        if mode == "nearest":
            where.append(min(max(index, 0), size - 1))
        elif mode == "wrap":
            where.append(index % size)
        else:
            index %= 2 * (size - 1)
            where.append(min(index, 2 * (size - 1) - index))
    return image[:, where[0], where[1]]


def transformed(images, theta, height, width, mode):
    """Return what the layer should, pixel by pixel."""
    result = np.zeros((*images.shape[:2], height, width))
    for n, (image, matrix) in enumerate(zip(images, theta.reshape(-1, 2, 3), strict=True)):
        for i, y in enumerate(np.linspace(-1, 1, height)):
            for j, x in enumerate(np.linspace(-1, 1, width)):
                position = (matrix @ [x, y, 1] + 1) / 2
                column, row = position * (np.array(image.shape[:0:-1]) - 1)
                top, left = int(np.floor(row)), int(np.floor(column))
                for r, across in ((top, top + 1 - row), (top + 1, row - top)):
                    for c, along in ((left, left + 1 - column), (left + 1, column - left)):
                        result[n, :, i, j] += across * along * pixel(image, r, c, mode)
    return result


def ramps(height, width):
    """Return images whose two channels are x and y, so that a transformer returns positions."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return torch.tensor(np.stack((x, y)), dtype=torch.float64)[None]


class TestAffine:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("factor", [1, 2, (0.5, 1.5), 0.7])
    def test_pixel_by_pixel(self, mode, factor):
        random = np.random.default_rng(0)
        images = random.normal(size=(3, 2, 6, 5))
        theta = np.array(IDENTITY) + random.normal(size=(3, 6))
        layer = TransformerLayer(images.shape, theta.shape, factor, mode)
        expected = transformed(images, theta, *layer.output_shape[2:], mode)
        output = layer([torch.from_numpy(images), torch.from_numpy(theta)])
        np.testing.assert_allclose(output, expected, atol=1e-12)

    @pytest.mark.parametrize("mode", MODES)
    def test_identity(self, mode):
        images = InputLayer((None, 3, 9, 8))
        theta = DenseLayer(images, 6, W=init.Constant(0), b=IDENTITY, nonlinearity=None)
        x = torch.randn(4, 3, 9, 8)
        y = get_output(TransformerLayer(images, theta, border_mode=mode), x)
        torch.testing.assert_close(y, x, atol=2e-6, rtol=0)

    @pytest.mark.parametrize("mode", MODES)
    def test_one_pixel(self, mode):
        x = torch.full((1, 1, 1, 1), 3.0)
        layer = TransformerLayer(x.shape, (1, 6), downsample_factor=0.25, border_mode=mode)
        assert layer([x, torch.randn(1, 6)]).tolist() == [[[[3.0] * 4] * 4]]

    def test_one_pixel_of_output_is_the_first(self):
        x = torch.arange(4.0).view(1, 1, 2, 2)
        layer = TransformerLayer(x.shape, (1, 6), downsample_factor=2)
        assert layer([x, torch.tensor([IDENTITY])]).item() == 0

    @pytest.mark.parametrize("mode", MODES)
    def test_gradients(self, mode):
        layer = TransformerLayer((2, 2, 4, 5), (2, 6), border_mode=mode)
        torch.manual_seed(0)
        x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
        theta = (torch.randn(2, 6).double() + torch.tensor(IDENTITY)).requires_grad_()
        assert torch.autograd.gradcheck(lambda *inputs: layer(inputs), (x, theta))

    @settings(deadline=None, max_examples=50)
    @given(
        st.tuples(st.integers(1, 30), st.integers(1, 30)),
        st.tuples(st.floats(0.3, 1), st.floats(0.3, 5)),
        st.sampled_from(MODES),
    )
    def test_declared_shape_is_the_real_one(self, sizes, factors, mode):
        factors = tuple(min(pair) for pair in zip(sizes, factors, strict=True))
        layer = TransformerLayer((2, 3, *sizes), (2, 6), factors, mode)
        output = layer([torch.zeros(2, 3, *sizes), torch.zeros(2, 6)])
        assert output.shape == layer.output_shape
        unknown = TransformerLayer((None, 3, None, None), (None, 6), factors, mode)
        assert unknown.output_shape == (None, 3, None, None)
        output = unknown([torch.zeros(2, 3, *sizes), torch.zeros(2, 6)])
        assert output.shape == layer.output_shape


class TestThinPlateSpline:
    @pytest.mark.parametrize("number", [4, 9, 16, 36])
    @pytest.mark.parametrize("precompute", [True, False])
    def test_positions_against_scipy(self, number, precompute):
        side = int(number**0.5)
        y, x = np.meshgrid(*2 * [np.linspace(-1, 1, side)], indexing="ij")
        points = np.column_stack((x.ravel(), y.ravel()))
        offsets = np.random.default_rng(0).normal(0, 0.05, size=(2, number))
        spline = RBFInterpolator(
            points, points + offsets.T, kernel="thin_plate_spline", degree=1, smoothing=0
        )
        image = ramps(7, 9)
        positions = spline(image[0].permute(1, 2, 0).reshape(-1, 2).numpy())
        expected = np.clip(positions, -1, 1).reshape(7, 9, 2).transpose(2, 0, 1)[None]
        layer = TPSTransformerLayer(
            (1, 2, 7, 9), (1, 2 * number), control_points=number, precompute_grid=precompute
        )
        output = layer([image, torch.from_numpy(offsets.reshape(1, -1))])
        np.testing.assert_allclose(output, expected, atol=1e-6 if precompute else 1e-10)

    @pytest.mark.parametrize("mode", MODES)
    def test_no_offsets_are_the_identity(self, mode):
        images = InputLayer((None, 3, 9, 8))
        zero = init.Constant(0)
        offsets = DenseLayer(images, 32, W=zero, b=zero, nonlinearity=None)
        x = torch.randn(4, 3, 9, 8)
        y = get_output(TPSTransformerLayer(images, offsets, border_mode=mode), x)
        torch.testing.assert_close(y, x, atol=2e-6, rtol=0)

    def test_equal_offsets_move_the_image(self):
        x = torch.randn(1, 1, 5, 5)
        offsets = torch.tensor([0.5] * 9 + [-0.5] * 9)[None]
        layer = TPSTransformerLayer((1, 1, 5, 5), (1, 18), control_points=9, border_mode="wrap")
        expected = x.roll((1, -1), (2, 3))
        torch.testing.assert_close(layer([x, offsets]), expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("factor", [1, (2, 0.6)])
    def test_precomputed_or_not_is_the_same(self, mode, factor):
        x, offsets = torch.randn(3, 2, 6, 8), torch.randn(3, 32) * 0.3
        known, size = (3, 2, 6, 8), {"downsample_factor": factor, "border_mode": mode}
        layers = [
            TPSTransformerLayer(shape, (3, 32), precompute_grid=precompute, **size)
            for shape, precompute in (
                (known, "auto"),
                (known, True),
                (known, False),
                ((3, 2, None, None), "auto"),
            )
        ]
        assert [layer.precompute_grid for layer in layers] == [True, True, False, False]
        outputs = [layer([x, offsets]) for layer in layers]
        assert outputs[0].shape == layers[0].output_shape
        for output in outputs[1:]:
            torch.testing.assert_close(output, outputs[0], atol=1e-6, rtol=0)

    @pytest.mark.parametrize("precompute", [True, False])
    def test_gradients(self, precompute):
        layer = TPSTransformerLayer(
            (2, 2, 4, 5), (2, 8), control_points=4, precompute_grid=precompute
        )
        torch.manual_seed(0)
        x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
        offsets = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda *inputs: layer(inputs), (x, offsets))

    def test_what_is_precomputed_is_no_parameter(self):
        layer = TPSTransformerLayer((2, 2, 4, 5), (2, 32))
        assert layer.get_params() == list(layer.state_dict()) == []
        x, offsets = torch.randn(2, 2, 4, 5), torch.randn(2, 32)
        assert torch.equal(copy.deepcopy(layer)([x, offsets]), layer([x, offsets]))

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"control_points": 15}, ValueError, "control_points must be a square, got 15"),
            ({"control_points": 1}, ValueError, "control_points must be an integer of at least 4"),
            ({"control_points": 9.0}, TypeError, "control_points must be an integer .* got 9.0"),
            ({"precompute_grid": "yes"}, ValueError, "'auto', True or False, got 'yes'"),
            (
                {"incoming": (2, 3, 6, None), "precompute_grid": True},
                ValueError,
                r"height and width are known, got \(2, 3, 6, None\)",
            ),
            ({"localization_network": (2, 6)}, ValueError, r"output of shape \(batch, 32\), got"),
        ],
    )
    def test_errors(self, arguments, error, message):
        common = {"incoming": (2, 3, 6, 5), "localization_network": (2, 32)}
        with pytest.raises(error, match=message):
            TPSTransformerLayer(**common | arguments)


@pytest.mark.parametrize(("make", "number"), [(TransformerLayer, 6), (TPSTransformerLayer, 32)])
class TestBoth:
    def test_positions_are_computed_in_float32_under_autocast(self, make, number):
        x = torch.randn(2, 3, 64, 64)
        parameters = torch.randn(2, number).bfloat16()
        layer = make((2, 3, 64, 64), (2, number))
        expected = layer([x, parameters.float()])
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(layer([x, parameters]), expected)
            half = layer([x.bfloat16(), parameters])
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.02)

    @pytest.mark.parametrize("mode", MODES)
    def test_compiles_without_a_break(self, make, number, mode):
        torch._dynamo.reset()
        images = InputLayer((None, 3, 6, 5))
        network = Network(make(images, DenseLayer(images, number), border_mode=mode))
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        x = torch.randn(2, 3, 6, 5)
        torch.testing.assert_close(compiled(x), network(x), atol=1e-4, rtol=0)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"border_mode": "zero"}, ValueError, "'t': border_mode must be .*, got 'zero'"),
            ({"downsample_factor": 0}, ValueError, "'t': downsample_factor must be .*, got 0"),
            ({"downsample_factor": float("nan")}, ValueError, "positive number .*, got nan"),
            ({"downsample_factor": "2"}, TypeError, "a positive number or a pair, got '2'"),
            ({"downsample_factor": (1, 2, 3)}, ValueError, r"or a pair, got \(1, 2, 3\)"),
            ({"downsample_factor": (1, 6)}, ValueError, r"leaves nothing of .*, got \(1, 6\)"),
            ({"incoming": (2, 3, 6)}, ValueError, r"\(batch, channels, height, width\), got"),
            ({"localization_network": (2, 5)}, ValueError, r"localization_network .* got \(2, 5\)"),
            ({"localization_network": (2, 32, 1)}, ValueError, r"got \(2, 32, 1\)"),
        ],
    )
    def test_errors(self, make, number, arguments, error, message):
        common = {"incoming": (2, 3, 6, 5), "localization_network": (2, number), "name": "t"}
        with pytest.raises(error, match=message):
            make(**common | arguments)
