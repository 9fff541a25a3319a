"""MIRdl's normalisation against its golden numbers and against NumPy in float64."""

import numpy as np
import pytest
import torch

from tests.paths import GOLDEN
from tests.recorded import spectra, write
from training.experiment import Experiment
from training.log0m1v import Log0m1v, compress
from training.setup import prepare

FEATURES = GOLDEN / "audio" / "features.npz"
MEL = [
    "mel_blackmanharris62_40",
    "mel_blackmanharris62_80",
    "mel_hamming_40",
    "mel_hann_40",
    "mel_hann_80",
]
LENGTHS = [30, 45, 33, 50, 41, 38, 47, 36, 4]
NET = {"model_architecture": "SingleLayerMlp", "model_params": "num_units=2"}
SMALL = {"folds": 4, "patch_frames": 10, "patch_hop": 7, "device": "cpu", "num_epochs": 0}


def compressed(values: np.ndarray) -> np.ndarray:
    return np.log10(10_000 * values.astype(np.float64) + 1)


def trainer_of(recordings, **options):
    return prepare(Experiment(recordings.path, **NET | SMALL | {"precision": "float64"} | options))


def inputs(trainer, name="training"):
    """What the network gets of a subset's patches, in its order."""
    subset = trainer.dataset.subset(name)
    (raw,) = trainer._stream(name).batches(np.arange(len(subset)), len(subset))
    return trainer.preparation.for_evaluation(raw.instances, raw.recordings)


def patches(arrays, recordings, frames=10, hop=7):
    """All patches of the recordings, (n, 1, bands, frames)."""
    return np.array(
        [
            arrays[number][start : start + frames].T[np.newaxis]
            for number in np.unique(recordings)
            for start in range(0, len(arrays[number]) - frames + 1, hop)
        ]
    )


def normal(arrays, of):
    """The arrays compressed, with the mean and deviation of those in `of`."""
    values = compressed(np.concatenate([arrays[number] for number in of]))
    return [(compressed(array) - values.mean()) / values.std() for array in arrays]


@pytest.fixture
def arrays():
    return spectra(LENGTHS)


@pytest.fixture
def recordings(tmp_path, arrays):
    return write(tmp_path / "x.pkl.zip", arrays)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", MEL)
def test_the_golden_numbers(tmp_path, name, precision):
    """Each recording by itself, so that the others, louder ones, make no difference."""
    with np.load(FEATURES) as features:
        mel, golden = features[name], features[f"{name}_log0m1v"]
    others = spectra([300] * 5, bands=len(mel))
    recordings = write(tmp_path / "x.pkl.zip", [*others[:2], mel.T.copy(), *others[2:]])
    options = {"folds": 3, "patch_frames": 20, "patch_hop": None, "precision": precision}
    trainer = trainer_of(recordings, spectrogram_normalisation="local", **options)
    assert not trainer.normalisation
    for subset in ("training", "validation", "testing"):
        chosen = trainer.dataset.subset(subset).recordings == 2
        if chosen.any():
            found = inputs(trainer, subset)[torch.from_numpy(chosen)].numpy()
    assert found.dtype == precision
    assert found.shape == (13, 1, len(mel), 20)
    whole = found[:, 0].transpose(1, 0, 2).reshape(len(mel), 260)
    assert abs(whole - golden).max() < 1e-5


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_training_recordings_alone_decide(tmp_path, arrays, recordings, precision):
    trainer = trainer_of(recordings, precision=precision)
    used = {
        name: np.unique(trainer.dataset.subset(name).recordings)
        for name in ("training", "validation", "testing")
    }
    expected = normal(arrays, used["training"])
    for name, numbers in used.items():
        found = inputs(trainer, name).numpy()
        assert abs(found - patches(expected, numbers)).max() < 5e-6
    others = [
        array if number in used["training"] else array * 50 for number, array in enumerate(arrays)
    ]
    again = trainer_of(write(tmp_path / "y.pkl.zip", others), precision=precision)
    assert torch.equal(inputs(again), inputs(trainer))
    assert again.normalisation == trainer.normalisation


def test_global_counts_all_recordings(arrays, recordings):
    trainer = trainer_of(recordings, spectrogram_normalisation="global")
    expected = normal(arrays, range(8))  # the last has no patch
    for name in ("training", "validation", "testing"):
        numbers = trainer.dataset.subset(name).recordings
        assert abs(inputs(trainer, name).numpy() - patches(expected, numbers)).max() < 5e-6


def test_labels_that_are_left_out_do_not_count(tmp_path):
    arrays = spectra([20 + number for number in range(18)])
    labels = np.arange(18) % 3
    recordings = write(tmp_path / "x.pkl.zip", arrays, labels)
    options = {"labels_to_keep": "jazz,polka", "spectrogram_normalisation": "global"}
    trainer = trainer_of(recordings, **options)
    expected = normal(arrays, np.flatnonzero(labels != 1))
    numbers = trainer.dataset.subset("training").recordings
    assert abs(inputs(trainer).numpy() - patches(expected, numbers)).max() < 5e-6


def test_batches_of_patches_have_their_own_recordings_moments(arrays, recordings):
    """However they are shuffled."""
    trainer = trainer_of(recordings, spectrogram_normalisation="local")
    subset = trainer.dataset.subset("training")
    expected = {number: normal(arrays, [number])[number] for number in range(8)}
    wanted = patches(expected, subset.recordings)
    order = np.random.default_rng(0).permutation(len(subset))
    for raw in trainer._stream("training").batches(order, 7):
        found, _ = trainer._inputs(raw)
        assert abs(found.numpy() - wanted[order[raw.index * 7 :][:7]]).max() < 5e-6


def test_evaluation_gives_the_network_the_same(arrays, recordings):
    trainer = trainer_of(recordings, spectrogram_normalisation="local", batch_size=3)
    numbers = trainer.dataset.subset("validation").recordings
    expected = {number: normal(arrays, [number])[number] for number in range(8)}
    network_inputs = torch.from_numpy(patches(expected, numbers))
    with torch.no_grad():
        outputs = trainer.network(network_inputs, deterministic=True).log().numpy()
    found = trainer.evaluate("validation").log_probabilities
    assert abs(found - outputs).max() < 1e-4


@pytest.mark.parametrize("value", [0, 1e-5, 0.1, 0.3, 123.456])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("normalisation", ["training", "local", "global"])
def test_constant_recordings_become_zero(tmp_path, value, precision, normalisation):
    """As digital silence: they deviate by nothing, and nothing is divided by."""
    constant = [np.full((length, 5), value, np.float32) for length in LENGTHS]
    options = {"spectrogram_normalisation": normalisation, "precision": precision}
    trainer = trainer_of(write(tmp_path / "x.pkl.zip", constant), **options)
    for name in ("training", "validation", "testing"):
        assert inputs(trainer, name).abs().max() < 1e-6


def test_quiet_recordings_are_no_constant_ones(tmp_path):
    quiet = [array * np.float32(1e-9) for array in spectra(LENGTHS)]
    recordings = write(tmp_path / "x.pkl.zip", quiet)
    trainer = trainer_of(recordings, spectrogram_normalisation="local", patch_hop=10)
    for number in np.unique(trainer.dataset.subset("training").recordings):
        expected = normal(quiet, [number])[number]
        chosen = trainer.dataset.subset("training").recordings == number
        found = inputs(trainer)[torch.from_numpy(chosen)].numpy()
        assert abs(found - patches({number: expected}, [number], hop=10)).max() < 1e-3


@pytest.mark.parametrize("normalisation", ["training", "local"])
def test_half_precision_is_rounded_to_at_the_end(recordings, normalisation):
    options = {"spectrogram_normalisation": normalisation}
    single = inputs(trainer_of(recordings, precision="float32", **options))
    half = inputs(trainer_of(recordings, precision="bfloat16", **options))
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, single.bfloat16())


def test_what_is_stored_is_left_as_it_is():
    stored = torch.rand(3, 1, 4, 5)
    before, moments = stored.clone(), {"mean": np.ones(2), "std": np.ones(2)}
    for local in (None, moments):
        change = Log0m1v(local, torch.device("cpu"), torch.float32)
        changed = change(stored, torch.tensor([0, 1, 1]))
        assert changed.data_ptr() != stored.data_ptr()
    assert torch.equal(stored, before)
    assert torch.allclose(compress(stored), torch.log10(10_000 * stored + 1))


def test_no_patches_at_all(recordings):
    """A process may have no part of a batch."""
    preparation = trainer_of(recordings, spectrogram_normalisation="local").preparation
    none = torch.empty(0, 1, 5, 10)
    assert preparation.for_evaluation(none, torch.empty(0, dtype=torch.int64)).shape == none.shape


def test_large_recordings_are_summed_in_blocks(recordings, monkeypatch):
    whole = trainer_of(recordings).normalisation
    monkeypatch.setattr("training.log0m1v.BLOCK_BYTES", 100)
    blocks = trainer_of(recordings).normalisation
    assert blocks["mean"] == pytest.approx(float(whole["mean"]), rel=1e-12)
    assert blocks["std"] == pytest.approx(float(whole["std"]), rel=1e-9)
