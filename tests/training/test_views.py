from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CommandError
from training.experiment import Experiment
from training.views import Views, Window, choose_views, crop_grid

PICTURE = (3, 9, 7)
CROPS = {"num_crops": 3, "crop_shape": (5, 4)}


def views(shape=PICTURE, **options) -> Views:
    return choose_views(Experiment(Path("x"), "m", **options), shape)


@pytest.mark.parametrize("shape", [PICTURE, (63,)])
def test_instances_are_whole_by_default(shape):
    assert views(shape) == Views(shape)
    assert views(shape).input_shape == shape
    assert views(shape).training_views == views(shape).evaluation_views == 1


@pytest.mark.parametrize(
    ("options", "training", "evaluation"),
    [
        ({}, 6, 6),
        ({"mirror_crops": False}, 3, 3),
        ({"random_mirror": True}, 3, 3),
        ({"evaluation_crops": "centre"}, 6, 1),
        ({"evaluation_crops": "ten"}, 6, 10),
        ({"evaluation_crops": "ten", "random_mirror": True}, 3, 10),
    ],
)
def test_views_of_crops(options, training, evaluation):
    found = views(**CROPS, **options)
    assert found.input_shape == (3, 5, 4)
    assert (found.training_views, found.evaluation_views) == (training, evaluation)


def test_whole_pictures_may_be_mirrored_at_random():
    found = views(random_mirror=True)
    assert found.input_shape == PICTURE
    assert found.mirror == "random"
    assert found.evaluation == (Window(0, 0),)


@pytest.mark.parametrize(
    ("options", "shape", "sentence"),
    [
        ({"crop_shape": (10, 4)}, PICTURE, r"\(10, 4\) is larger than the pictures, which are 9 h"),
        ({"crop_shape": (4, 8)}, PICTURE, "is larger than the pictures"),
        ({"crop_shape": None}, PICTURE, "go together"),
        ({"num_crops": 0}, PICTURE, "go together"),
        ({}, (63,), "--crop-shape needs pictures"),
        ({"crop_shape": (4,)}, PICTURE, "give a height and a width"),
        ({"crop_shape": (0, 4)}, PICTURE, "give a height and a width"),
        ({"num_crops": -1, "crop_shape": None}, PICTURE, "--num-crops is -1"),
    ],
)
def test_crops_that_do_not_fit(options, shape, sentence):
    with pytest.raises(CommandError, match=sentence):
        views(shape, **CROPS | options)


@pytest.mark.parametrize(
    ("options", "shape", "sentence"),
    [
        ({"evaluation_crops": "ten"}, PICTURE, "--evaluation-crops ten needs crops"),
        ({"evaluation_crops": "centre"}, (63,), "--evaluation-crops centre needs crops"),
        ({"random_mirror": True}, (63,), r"--random-mirror needs pictures.*\(63,\).*--reshape-to"),
        ({"crop_mirror_per": "batch"}, PICTURE, "--crop-mirror-per batch draws"),
    ],
)
def test_options_that_need_crops_or_pictures(options, shape, sentence):
    with pytest.raises(CommandError, match=sentence):
        views(shape, **options)


@given(full=st.integers(1, 40), part=st.integers(1, 40), count=st.integers(1, 30))
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
