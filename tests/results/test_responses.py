"""Where feature maps answer most, against convolutions computed by NumPy."""

from pathlib import Path

import numpy as np
import pytest

from commands.run_experiment import Options, run
from common.errors import CommandError
from datasets.recordings import open_recordings
from lasagne.layers import get_all_param_values
from results.responses import filters, layer_named, peaks, trained, untrained
from tests.recorded import spectra, write
from tests.runs import snapshots

FRAMES, BANDS = 12, 4
NET = {
    "model_architecture": "TemporalNet",
    "model_params": "num_pnets=0:onet_frames=(3,5):onet_filters=2:pool_bands=2",
}


@pytest.fixture
def music():
    """A file of ten recordings of noise, of which each has two patches or three."""
    write(Path("noise.pkl.zip"), spectra([2 * FRAMES, 3 * FRAMES] * 5, BANDS))
    return Path("noise.pkl.zip")


def train(dataset: Path, **others: object) -> Path:
    """Trains for some batches; returns the snapshot."""
    options = {
        "folds": 5,
        "patch_frames": FRAMES,
        "batch_size": 4,
        "num_epochs": 2,
        "out_dir": Path("run"),
        "device": "cpu",
        "precision": "float32",
    }
    run(Options(dataset, **NET | options | others))
    return Path("run", f"model.snapshot-{snapshots(Path('run'))[-1]}.safetensors")


def compressed(dataset: Path, trainer) -> np.ndarray:
    """What the network sees of all frames, (frames, bands)."""
    values = np.log10(10_000 * open_recordings(dataset).frames.astype(float) + 1)
    return (values - trainer.normalisation["mean"]) / trainer.normalisation["std"]


@pytest.mark.parametrize("length", [3, 5])
def test_peaks_are_where_the_filters_fit_the_frames_best(music, length):
    trainer = trained(train(music))
    name = f"onet0_{length}"
    found, weights = peaks(trainer, name, "training"), filters(trainer, name)
    bias = layer_named(trainer, name).b.detach().numpy()
    subset, frames = trainer.dataset.subset("training"), compressed(music, trainer)
    assert weights.shape == (2, 1, 1, length)
    assert found.values.shape == found.rows.shape == found.columns.shape == (len(subset), 2)
    for (instance, number), value in np.ndenumerate(found.values):
        patch = frames[subset.rows[instance] :][:FRAMES].T
        windows = np.lib.stride_tricks.sliding_window_view(patch, length, axis=1)
        answers = np.maximum(0, windows @ weights[number, 0, 0] + bias[number])
        place = found.rows[instance, number], found.columns[instance, number]
        assert place == np.unravel_index(answers.argmax(), answers.shape)
        np.testing.assert_allclose(value, answers.max(), rtol=1e-5, atol=1e-6)


def test_pictures_and_crops_of_them_have_peaks_too(digits):
    options = {
        "model_architecture": "ConvNet",
        "model_params": "num_conv_layers=1:lc0_num_filters=3",
        "num_crops": 2,
        "crop_shape": (6, 6),
        "num_epochs": 1,
        "batch_size": 100,
    }
    trainer = trained(train(digits, **options))
    name = next(key.removesuffix(".W") for key in trainer.network.state_dict() if "W" in key)
    found = peaks(trainer, name, "testing")
    assert len(found.values) == trainer.preparation.evaluation_views * len(
        trainer.dataset.subset("testing")
    )
    assert found.rows.max() < 6 and found.columns.max() < 6


def test_the_best_weights_are_looked_at_and_the_first_ones_are_at_hand(music):
    trainer = trained(train(music))
    layer = layer_named(trainer, "onet0_3")
    np.testing.assert_array_equal(layer.W.detach(), trainer.best.weights["onet0_3.W"])
    first = untrained(trainer)
    assert not np.array_equal(filters(first, "onet0_3"), filters(trainer, "onet0_3"))
    for one, other in zip(
        get_all_param_values(first.output_layer),
        get_all_param_values(untrained(trainer).output_layer),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_what_has_no_feature_maps_is_refused(music):
    trainer = trained(train(music))
    with pytest.raises(CommandError, match="Unknown layer 'onet0_4'.*Valid: .*onet0_5"):
        peaks(trainer, "onet0_4", "testing")
    with pytest.raises(CommandError, match="The layer output has no feature maps"):
        peaks(trainer, "output", "testing")
    with pytest.raises(CommandError, match="The layer dropout is no convolution"):
        filters(trainer, "dropout")
