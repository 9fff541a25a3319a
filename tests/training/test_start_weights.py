"""A training that starts with another network's weights, on other pictures and labels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from commands import load, parse
from common.errors import CommandError, UsageError
from datasets.container import open_dataset, write_dataset
from lasagne.layers import get_all_param_values
from tests.small_networks import SIDE, train
from training.experiment import Experiment
from training.setup import prepare
from training.snapshots import load_snapshot, options_to_start_with
from training.trainer import Trainer


@pytest.fixture(scope="module")
def others(picture_network, tmp_path_factory) -> Path:
    """The same pictures, of two labels of other names."""
    _, folder = picture_network
    dataset = open_dataset(folder / "data" / "full.rgb.pkl.zip")
    subsets = {
        name: (subset.read(slice(None)), subset.labels % 2)
        for name, subset in dataset.subsets.items()
    }
    form = {"layout": "nhwc", "scale": 255, "picture_shape": dataset.picture_shape}
    path = tmp_path_factory.mktemp("others") / "others.pkl.zip"
    write_dataset(path, subsets, {"warm": 0, "cold": 1}, **form)
    return path


def rewritten(source: Path, path: Path, side: int = SIDE, scale: int = 255) -> Path:
    dataset = open_dataset(source)
    subsets = {
        name: (subset.read(slice(None))[:, :side, :side].copy(), subset.labels)
        for name, subset in dataset.subsets.items()
    }
    form = {"layout": "nhwc", "scale": scale, "picture_shape": (side, side, 3)}
    write_dataset(path, subsets, dataset.label_to_index, **form)
    return path


def begun(snapshot: Path, dataset: Path, **options) -> Trainer:
    taken = options_to_start_with(snapshot)
    defaults = {"dataset_path": dataset, "device": "cpu", "precision": "float32", "num_epochs": 1}
    return prepare(Experiment(**(defaults | taken | options)))


def test_with_other_labels_the_last_layer_alone_starts_anew(picture_network, others):
    snapshot, _ = picture_network
    trainer = begun(snapshot, others, seed=3)
    held = load_snapshot(snapshot)
    weights = trainer.network.state_dict()
    *rest, W, b = weights
    assert weights.keys() == held.best_weights.keys()
    for name in rest:
        assert torch.equal(weights[name], held.best_weights[name]), name
    fresh = prepare(
        Experiment(others, "ConvNet", trainer.experiment.model_params, seed=3, device="cpu")
    )
    for name in (W, b):
        assert torch.equal(weights[name], fresh.network.state_dict()[name]), name
    assert weights[W].shape[1] == 2
    assert trainer.epoch == 0
    assert trainer.best is None


def test_the_mean_is_the_one_that_the_weights_know(picture_network, others):
    snapshot, _ = picture_network
    mean = load_snapshot(snapshot).tensors["mean"].numpy()
    trainer = begun(snapshot, others)
    assert np.array_equal(trainer.normalisation["mean"], mean)
    assert begun(snapshot, others, subtract_mean=False).normalisation == {}


def test_with_the_same_labels_all_weights_are_taken(picture_network):
    """So that before any training it is the network that it was, by its validation."""
    snapshot, folder = picture_network
    trainer = begun(snapshot, folder / "data" / "full.rgb.pkl.zip")
    best = load_snapshot(snapshot).header["best"]
    assert trainer.evaluate("validation").loss == pytest.approx(best["loss"], rel=1e-6)


def test_it_goes_on_when_the_first_snapshot_is_gone(picture_network, others, tmp_path):
    first = tmp_path / "first.safetensors"
    first.write_bytes(picture_network[0].read_bytes())
    trainer = begun(first, others)
    list(trainer.epochs())
    second = trainer.save(tmp_path / "run")
    first.unlink()
    again = prepare(parse(load("run_experiment"), "", ["--start-from-snapshot", str(second)]))
    for one, other in zip(
        get_all_param_values(again.output_layer),
        get_all_param_values(trainer.output_layer),
        strict=True,
    ):
        assert np.array_equal(one, other)
    assert np.array_equal(again.normalisation["mean"], trainer.normalisation["mean"])


def test_the_command_takes_architecture_and_inputs_over(picture_network, others, capsys):
    snapshot, _ = picture_network
    arguments = ["--start-weights", str(snapshot), "--dataset-path", str(others)]
    arguments += ["--num-epochs", "1", "--device", "cpu", "--out-dir", "fine"]
    command = load("run_experiment")
    command.run(parse(command, "run_experiment", arguments))
    assert f"starting with the weights of {snapshot} but for the last layer" in (
        capsys.readouterr().out
    )
    recorded = load_snapshot(Path("fine/model.snapshot-1.safetensors")).header["experiment"]
    assert recorded["model_architecture"] == "ConvNet"
    assert recorded["learning_rate"] == 0.01  # of a new training, not what the old one ended with
    assert recorded["start_weights"] == str(snapshot)


def test_what_does_not_fit(picture_network, others, digits, tmp_path):
    snapshot, folder = picture_network
    with pytest.raises(CommandError, match=r"takes inputs of shape \(3, 20, 20\), but these have"):
        begun(snapshot, digits)
    small = train(
        folder / "data" / "full.rgb.pkl.zip",
        tmp_path,
        num_crops=1,
        crop_shape=(10, 10),
        num_epochs=1,
    )
    with pytest.raises(CommandError, match=rf"mean picture of .* \(3, {SIDE}, {SIDE}\), but the"):
        begun(small, rewritten(others, tmp_path / "15.pkl.zip", side=15))
    with pytest.raises(CommandError, match="knows values up to 255, but those of .* up to 16"):
        begun(snapshot, rewritten(others, tmp_path / "16.pkl.zip", scale=16))
    with pytest.raises(CommandError, match="not ConvNet with lc0_num_filters=5; leave out"):
        begun(snapshot, others, model_params="lc0_num_filters=5")
    with pytest.raises(CommandError, match="holds ConvNet with .*, not SingleLayerMlp without"):
        begun(snapshot, others, model_architecture="SingleLayerMlp", model_params="")
    with pytest.raises(CommandError, match="does not exist|can't be read"):
        options_to_start_with(tmp_path / "nothing.safetensors")
    command = load("run_experiment")
    both = ["--start-weights", str(snapshot), "--start-from-snapshot", str(snapshot)]
    with pytest.raises(UsageError, match="begins a training, and --resume and"):
        parse(command, "run_experiment", both)


def test_a_cross_validation_takes_them_over_too(picture_network, others):
    snapshot, _ = picture_network
    arguments = ["--start-weights", str(snapshot), "--dataset-path", str(others)]
    options = parse(load("run_cross_validation"), "run_cross_validation", arguments)
    recorded = load_snapshot(snapshot).header
    assert options.model_params == recorded["experiment"]["model_params"]
    assert options.input_scale == recorded["scale"]


def test_a_run_that_is_gone_on_with_begins_with_no_others(picture_network, tmp_path):
    snapshot, _ = picture_network
    with pytest.raises(UsageError, match="--resume and --start-from-snapshot go on with one"):
        parse(
            load("run_experiment"),
            "run_experiment",
            ["--resume", str(snapshot.parent), "--start-weights", str(snapshot)],
        )
