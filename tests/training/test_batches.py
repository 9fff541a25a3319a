"""Prepared batches against plain NumPy loops over the instances."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CommandError
from datasets.dataset import Dataset, Subset
from training.batches import (
    Crops,
    Preparation,
    choose_crops,
    crop_grid,
    network_shape,
    training_mean,
)

CPU = torch.device("cpu")
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 7), dtype=np.uint8)


def dataset(layout: str, pictures: np.ndarray = PICTURES) -> Dataset:
    stored = {
        "nchw": pictures,
        "nhwc": np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)),
        "flat": pictures.reshape(len(pictures), -1),
    }[layout]
    labels = np.zeros(len(pictures), np.int32)
    return Dataset(Path("x"), {"training": Subset(stored, labels)}, {"a": 0}, layout, 255.0, None)


def prepare(layout, shape=(3, 9, 7), scale=1 / 255, mean=True, crops=None, dtype=torch.float64):
    data = dataset(layout)
    means = training_mean(data) if mean else None
    preparation = Preparation(data, shape, scale, means, crops, CPU, dtype)
    return preparation, torch.from_numpy(data.subsets["training"].instances)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
def test_the_mean_is_exact(layout):
    mean = training_mean(dataset(layout))
    expected = PICTURES.astype(np.float64).mean(axis=0)
    assert np.allclose(mean.reshape(3, 9, 7), expected, rtol=1e-15)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_whole_pictures_are_scaled_and_their_mean_is_subtracted(layout, mean, scale):
    preparation, stored = prepare(layout, scale=scale, mean=mean)
    expected = PICTURES.astype(np.float64)
    expected = (expected - expected.mean(axis=0) if mean else expected) * scale
    generator = torch.Generator()
    for ready in (preparation.for_training(stored, generator), preparation.for_evaluation(stored)):
        assert ready.shape == (6, 3, 9, 7)
        assert np.allclose(ready.numpy(), expected, atol=1e-12)


def test_pictures_stored_channels_last_stay_so_in_memory():
    preparation, stored = prepare("nhwc", dtype=torch.float32)
    ready = preparation.for_evaluation(stored)
    assert ready.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
@pytest.mark.parametrize("shape", [(189,), (1, 27, 7), (3, 7, 9), (3, 9, 7)])
def test_reshaped_pictures_keep_the_order_of_channels_rows_columns(layout, shape):
    preparation, stored = prepare(layout, shape=shape, mean=False, scale=1.0)
    ready = preparation.for_evaluation(stored)
    assert np.array_equal(ready.numpy(), PICTURES.reshape(6, *shape).astype(np.float64))


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_evaluation_crops_are_the_centre_and_an_even_grid(layout, mirror, count):
    preparation, stored = prepare(layout, crops=Crops(count, 5, 4, mirror))
    ready = preparation.for_evaluation(stored).numpy()
    normal = PICTURES.astype(np.float64)
    normal = (normal - normal.mean(axis=0)) / 255
    expected = []
    for picture in normal:
        for y, x in crop_grid((9, 7), (5, 4), count):
            crop = picture[:, y : y + 5, x : x + 4]
            expected += [crop, crop[:, :, ::-1]] if mirror else [crop]
    assert np.allclose(ready, np.array(expected), atol=1e-12)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flat"])
def test_random_crops_are_windows_of_their_own_picture(layout):
    preparation, stored = prepare(layout, mean=False, scale=1.0, crops=Crops(3, 4, 4, True))
    ready = preparation.for_training(stored, torch.Generator().manual_seed(1)).numpy()
    assert ready.shape == (6 * 3 * 2, 3, 4, 4)
    for i, crop in enumerate(ready[::2]):
        windows = [PICTURES[i // 3][:, y : y + 4, x : x + 4] for y in range(6) for x in range(4)]
        assert any(np.array_equal(crop, window) for window in windows)
    assert np.array_equal(ready[1::2], ready[::2, :, :, ::-1])


def test_random_crops_reach_every_place_and_follow_their_generator():
    preparation, stored = prepare("nhwc", mean=False, scale=1.0, crops=Crops(200, 8, 6, False))
    first = preparation.for_training(stored, torch.Generator().manual_seed(1))
    again = preparation.for_training(stored, torch.Generator().manual_seed(1))
    other = preparation.for_training(stored, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first[:200].flatten(1), dim=0)) == 4


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_random_crop_subtracts_the_mean_of_its_own_window(layout):
    data = dataset(layout)
    mean = np.broadcast_to(np.arange(63.0).reshape(9, 7), (3, 9, 7))
    stored = torch.zeros_like(torch.from_numpy(data.subsets["training"].instances))
    crops = Crops(4, 5, 4, False)
    preparation = Preparation(data, (3, 9, 7), 1.0, mean.copy(), crops, CPU, torch.float64)
    ready = -preparation.for_training(stored, torch.Generator().manual_seed(0)).numpy()
    for crop in ready:
        y, x = divmod(int(crop[0, 0, 0]), 7)
        assert np.array_equal(crop, mean[:, y : y + 5, x : x + 4])


@given(
    full=st.integers(1, 40),
    part=st.integers(1, 40),
    count=st.integers(1, 30),
)
def test_a_grids_windows_lie_in_the_picture_and_begin_with_the_centre(full, part, count):
    part = min(full, part)
    corners = crop_grid((full, full + 3), (part, part), count)
    assert len(corners) == count
    assert corners[0] == ((full - part) // 2, (full + 3 - part) // 2)
    assert all(0 <= y <= full - part and 0 <= x <= full + 3 - part for y, x in corners)
    if full > part + 30:
        assert len(set(corners)) == count


def test_five_crops_are_the_centre_and_the_corners():
    assert crop_grid((256, 256), (224, 224), 5) == [(16, 16), (0, 0), (0, 32), (32, 0), (32, 32)]


def test_nine_crops_are_a_grid_of_three_by_three():
    assert set(crop_grid((10, 10), (4, 4), 9)) == {(y, x) for y in (0, 3, 6) for x in (0, 3, 6)}


@pytest.mark.parametrize(
    ("num_crops", "crop_shape", "shape", "sentence"),
    [
        (5, (10, 4), (3, 9, 7), r"\(10, 4\) is larger than the pictures, which are 9 high and 7"),
        (5, (4, 8), (3, 9, 7), "is larger than the pictures"),
        (5, None, (3, 9, 7), "go together"),
        (0, (4, 4), (3, 9, 7), "go together"),
        (5, (4, 4), (63,), "needs pictures"),
        (5, (4,), (3, 9, 7), "give a height and a width"),
        (5, (0, 4), (3, 9, 7), "give a height and a width"),
        (-1, None, (3, 9, 7), "--num-crops is -1"),
    ],
)
def test_crops_that_do_not_fit(num_crops, crop_shape, shape, sentence):
    with pytest.raises(CommandError, match=sentence):
        choose_crops(num_crops, crop_shape, True, shape)


def test_no_crops_by_default():
    assert choose_crops(0, None, True, (3, 9, 7)) is None


@pytest.mark.parametrize(
    ("reshape_to", "shape"), [(None, (3, 9, 7)), ((-1,), (189,)), ((1, 27, -1), (1, 27, 7))]
)
def test_reshaping(reshape_to, shape):
    assert network_shape(dataset("nhwc"), reshape_to) == shape


@pytest.mark.parametrize("reshape_to", [(3, 9, 8), (-1, -1), (0,), (-1, 5), (-2, 3)])
def test_reshaping_to_another_number_of_values(reshape_to):
    with pytest.raises(CommandError, match="does not hold the instances' 189 values"):
        network_shape(dataset("nchw"), reshape_to)
