import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from common.errors import CommandError
from training.experiment import Experiment
from training.setup import prepare
from training.snapshots import load_snapshot, read_header, resume, save_snapshot
from training.trainer import Trainer


@pytest.fixture
def trained(digits) -> Trainer:
    options = {"num_epochs": 3, "update_func_name": "adam", "adapt_learning_rate": True}
    trainer = prepare(Experiment(digits, "LasagneMnistExample", "num_units=8", **options))
    list(trainer.epochs())
    return trainer


def test_a_snapshot_is_what_safetensors_reads_and_holds_the_options(trained, tmp_path):
    path = trained.save(tmp_path)
    assert path.name == "model.snapshot-3.safetensors"
    snapshot = load_snapshot(path)
    assert snapshot.header == json.loads(json.dumps(read_header(path)))
    assert snapshot.header["experiment"]["model_params"] == "num_units=8"
    assert snapshot.header["labels"] == [str(digit) for digit in range(10)]
    for name, value in trained.network.state_dict().items():
        assert torch.equal(snapshot.tensors[f"network/{name}"], value)


def test_a_snapshot_is_readable_for_whoever_may_read_the_folder(trained, tmp_path):
    (tmp_path / "other").touch()
    assert trained.save(tmp_path).stat().st_mode == (tmp_path / "other").stat().st_mode


def test_everything_comes_back(trained, tmp_path):
    path = trained.save(tmp_path)
    again = prepare(resume(path))
    assert again.epoch == 3
    assert again.best.accuracy == trained.best.accuracy
    assert again.policy.state == trained.policy.state
    for name, value in trained.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value)
    ours, theirs = again.optimizer.state_dict(), trained.optimizer.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    for index, state in theirs["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(ours["state"][index][key]), torch.as_tensor(value))


def test_a_snapshots_options_can_be_replaced(trained, tmp_path):
    path = trained.save(tmp_path)
    again = prepare(resume(path, learning_rate=0.5, num_epochs=9))
    assert again.learning_rate == 0.5
    assert again.experiment.num_epochs == 9


def test_replaced_numbers_of_the_rule_win_and_the_rest_comes_back(trained, tmp_path):
    again = prepare(resume(trained.save(tmp_path), update_func_kwargs="beta1=0.5"))
    (group,), (before,) = again.optimizer.param_groups, trained.optimizer.param_groups
    assert (group["beta1"], group["beta2"], group["t"]) == (0.5, before["beta2"], before["t"])


def test_another_rule_and_policy_start_anew(trained, tmp_path):
    path = trained.save(tmp_path)
    options = {"update_func_name": "nesterov_momentum", "adapt_learning_rate": False}
    again = prepare(resume(path, **options, num_epochs=5))
    assert not again.optimizer.state
    assert len(list(again.epochs())) == 2
    back = prepare(resume(again.save(tmp_path), adapt_learning_rate=True, num_epochs=6))
    assert len(list(back.epochs())) == 1


def test_a_rate_that_was_lowered_is_the_one_to_go_on_with(trained, tmp_path):
    trained.optimizer.param_groups[0]["lr"] = 1e-5
    trained._last = trained._capture(3)
    path = trained.save(tmp_path)
    assert prepare(resume(path)).learning_rate == 1e-5
    assert prepare(resume(path, learning_rate=0.01)).learning_rate == 0.01


def test_precision_and_scale_are_those_that_were_used(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("THEANO_FLAGS", "floatX=float64")
    trainer = prepare(Experiment(digits, "SingleLayerMlp", num_epochs=1))
    list(trainer.epochs())
    monkeypatch.delenv("THEANO_FLAGS")
    experiment = resume(trainer.save(tmp_path))
    assert experiment.precision == "float64"
    assert experiment.input_scale == 1 / 16


def test_a_network_of_the_same_name_but_other_shapes_is_named(digits, tmp_path):
    own = tmp_path / "mine.py"
    code = (
        "from lasagne.layers import DenseLayer\n"
        "from lasagne.nonlinearities import softmax\n"
        "def net(incoming, num_classes):\n"
        "    layer = DenseLayer(incoming, {units}, name='hidden')\n"
        "    return DenseLayer(layer, num_classes, nonlinearity=softmax, name='output')\n"
    )
    own.write_text(code.format(units=8))
    trainer = prepare(Experiment(digits, f"{own}:net", num_epochs=1))
    list(trainer.epochs())
    path = trainer.save(tmp_path)
    own.write_text(code.format(units=9))
    sentence = r"hidden\.W has shape \(64, 8\) in it and has shape \(64, 9\) in the network"
    with pytest.raises(CommandError, match=sentence):
        prepare(resume(path))


def test_the_mean_comes_from_the_snapshot(trained, tmp_path):
    path = trained.save(tmp_path)
    snapshot = load_snapshot(path)
    doubled = snapshot.tensors | {"mean": snapshot.tensors["mean"] * 2}
    save_snapshot(type(snapshot)(snapshot.header, doubled), path)
    again = prepare(resume(path))
    assert np.array_equal(again._mean, trained._mean * 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"model_architecture": "SingleLayerMlp"},
            "holds LasagneMnistExample with num_units=8, not SingleLayerMlp with num_units=8",
        ),
        ({"model_params": "num_units=9"}, "not LasagneMnistExample with num_units=9"),
        ({"labels_to_keep": "3,7"}, r"knows 10 labels .*, the dataset has 2 \(3, 7\)"),
        ({"num_crops": 1, "crop_shape": (6, 6)}, r"inputs of shape \(1, 8, 8\), .* \(1, 6, 6\)"),
    ],
)
def test_a_snapshot_of_something_else_is_named(trained, tmp_path, options, sentence):
    path = trained.save(tmp_path)
    with pytest.raises(CommandError, match=sentence):
        prepare(resume(path, **options))


def test_a_broken_snapshot_gives_a_sentence(trained, tmp_path):
    path = trained.save(tmp_path)
    whole = path.read_bytes()
    for size in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CommandError, match="is no snapshot|is broken"):
            load_snapshot(path)
    path.write_bytes(struct.pack("<Q", 2**63) + whole[8:])
    with pytest.raises(CommandError, match="is no snapshot"):
        load_snapshot(path)


def test_what_is_no_snapshot_gives_a_sentence(tmp_path):
    with pytest.raises(CommandError, match=r"can't be read: No such file"):
        read_header(tmp_path / "none")
    with pytest.raises(CommandError, match=r"is a folder; it holds no snapshots"):
        read_header(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "others.safetensors")
    with pytest.raises(CommandError, match="is no snapshot of this program"):
        read_header(tmp_path / "others.safetensors")
