"""What is evaluated of a picture, against the same cut out by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from training.evaluation import log_probabilities
from training.experiment import Experiment
from training.setup import prepare

HEIGHT, WIDTH = 5, 6


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Pictures of three channels, of 9 x 8 pixels, whose channels differ in mean and spread."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("colours") / "colours.rgb.pkl.zip"
    arrays = {}
    for name, count in {"training": 90, "validation": 41, "testing": 30}.items():
        noise = rng.normal([60, 120, 180], [5, 20, 60], (count, 9, 8, 3))
        arrays[name] = noise.clip(0, 255).astype(np.uint8), np.arange(count, dtype=np.int32) % 3
    labels = {"a": 0, "b": 1, "c": 2}
    write_dataset(path, arrays, labels, layout="nhwc", scale=255.0, picture_shape=(3, 9, 8))
    return path


@pytest.fixture
def experiment(colours):
    return Experiment(
        colours,
        "ConvNet",
        "lc0_num_filters=4",
        num_epochs=1,
        batch_size=30,
        num_crops=1,
        crop_shape=(HEIGHT, WIDTH),
        precision="float64",
        device="cpu",
        learning_rate=0.1,
    )


def pictures(path, name):
    """All pictures of a subset, as (n, 3, 9, 8) in float64."""
    return open_dataset(path).subset(name).read(slice(None)).transpose(0, 3, 1, 2) / 255


TEN = [(y, x, side) for y, x in ((2, 1), (0, 0), (0, 2), (4, 0), (4, 2)) for side in (1, -1)]
"""The centre and the corners' windows, as they are and mirrored: Krizhevsky et al. (2012)."""


@pytest.mark.parametrize(
    ("options", "windows"),
    [
        ({"evaluation_crops": "ten"}, TEN),
        ({"evaluation_crops": "ten", "random_mirror": True, "num_crops": 3}, TEN),
        ({"evaluation_crops": "centre"}, TEN[:1]),
        ({"evaluation_crops": "as-trained", "num_crops": 5}, TEN),
        ({"evaluation_crops": "as-trained", "num_crops": 5, "mirror_crops": False}, TEN[::2]),
    ],
    ids=str,
)
def test_crops_are_the_windows_that_are_cut_out_here(experiment, options, windows):
    trainer = prepare(dataclasses.replace(experiment, **options))
    list(trainer.epochs())
    evaluation = trainer.evaluate("validation")
    mean = pictures(experiment.dataset_path, "training").mean(0)
    centred = pictures(experiment.dataset_path, "validation") - mean
    total = 0
    for y, x, side in windows:
        cut = centred[:, :, y : y + HEIGHT, x : x + WIDTH][..., ::side].copy()
        with torch.inference_mode():
            total = total + trainer.network(torch.from_numpy(cut), deterministic=True).numpy()
    labels = trainer.dataset.subset("validation").labels
    expected = log_loss(labels, total / len(windows), labels=range(3))
    assert evaluation.loss == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(evaluation.predictions, total.argmax(1))
    assert evaluation.accuracy == accuracy_score(labels, total.argmax(1))


@pytest.mark.parametrize("per", ["feature", "channel"])
@pytest.mark.parametrize("subtracted", [True, False])
@pytest.mark.parametrize("divided", [True, False])
def test_what_is_subtracted_and_divided_by(experiment, per, subtracted, divided):
    options = {"subtract_mean": subtracted, "divide_by_std": divided, "normalise_per": per}
    trainer = prepare(
        dataclasses.replace(experiment, **options, num_crops=0, crop_shape=None, num_epochs=0)
    )
    with torch.no_grad():  # else some probabilities are 0
        trainer.step.parameters[-2].mul_(0.1)
    evaluation = trainer.evaluate("testing")
    training = pictures(experiment.dataset_path, "training")
    inputs = pictures(experiment.dataset_path, "testing")
    over = {"keepdims": True, "axis": 0 if per == "feature" else (0, 2, 3)}
    if subtracted:
        inputs = inputs - training.mean(**over)
    if divided:
        inputs = inputs / training.std(**over)
    with torch.inference_mode():
        outputs = trainer.network(torch.from_numpy(inputs), deterministic=True).numpy()
    labels = trainer.dataset.subset("testing").labels
    assert evaluation.loss == pytest.approx(log_loss(labels, outputs, labels=range(3)), rel=1e-10)


@pytest.mark.parametrize("micro_batch_size", [None, 1, 7])
@pytest.mark.parametrize("chunk_size", [0, 30])
def test_what_is_computed_at_once_changes_nothing(experiment, micro_batch_size, chunk_size):
    options = {"micro_batch_size": micro_batch_size, "chunk_size": chunk_size, "num_epochs": 0}
    trainer = prepare(dataclasses.replace(experiment, **options, evaluation_crops="ten"))
    expected = prepare(dataclasses.replace(experiment, num_epochs=0, evaluation_crops="ten"))
    one, other = (each.evaluate("training") for each in (trainer, expected))
    assert one.loss == pytest.approx(other.loss, rel=1e-12)
    assert np.array_equal(one.predictions, other.predictions)


def test_views_without_logits_are_averaged_as_probabilities():
    outputs = torch.rand(6, 4, dtype=torch.float64)
    outputs /= outputs.sum(1, keepdim=True)
    expected = outputs.reshape(2, 3, 4).mean(1).log()
    torch.testing.assert_close(log_probabilities(outputs, 3), expected)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"normalise_per": "channel", "reshape_to": (648,)}, "--reshape-to"),
        ({"normalise_per": "picture"}, "'normalise_per' is 'picture'"),
        ({"evaluation_crops": "ten", "num_crops": 0}, "--num-crops and --crop-shape go together"),
        (
            {"evaluation_crops": "ten", "num_crops": 0, "crop_shape": None},
            "--evaluation-crops ten needs crops; give their number in training and their size",
        ),
        (
            {"crop_mirror_per": "batch", "num_crops": 0, "crop_shape": None},
            "--crop-mirror-per batch draws a crop or a mirror image for a whole batch; give",
        ),
    ],
)
def test_views_that_do_not_fit(experiment, options, sentence):
    from common.options import checked

    with pytest.raises(CommandError, match=sentence):
        prepare(checked(dataclasses.replace(experiment, **options)))
