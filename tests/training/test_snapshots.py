import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from common.errors import CommandError
from tests.paths import GOLDEN
from training.experiment import Experiment
from training.setup import prepare
from training.snapshots import (
    check_whole,
    load_snapshot,
    read_header,
    recorded_options,
    resume,
    save_snapshot,
)
from training.state import capture
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
    ours, theirs = (one.step.optimizer.state_dict() for one in (again, trained))
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
    (group,), (before,) = (one.step.optimizer.param_groups for one in (again, trained))
    assert (group["beta1"], group["beta2"], group["t"]) == (0.5, before["beta2"], before["t"])


def test_another_rule_and_policy_start_anew(trained, tmp_path):
    path = trained.save(tmp_path)
    options = {"update_func_name": "nesterov_momentum", "adapt_learning_rate": False}
    again = prepare(resume(path, **options, num_epochs=5))
    assert not again.step.optimizer.state
    assert len(list(again.epochs())) == 2
    back = prepare(resume(again.save(tmp_path), adapt_learning_rate=True, num_epochs=6))
    assert len(list(back.epochs())) == 1


def test_a_rate_that_was_lowered_is_the_one_to_go_on_with(trained, tmp_path):
    trained.policy.state["rate"] = 1e-5
    path = tmp_path / "model.snapshot-3.safetensors"
    save_snapshot(capture(trained), path)
    assert prepare(resume(path)).learning_rate == 1e-5
    assert prepare(resume(path, learning_rate=0.01)).learning_rate == 0.01


def test_in_a_warm_up_the_rate_to_go_on_with_is_that_at_its_end(digits, tmp_path):
    options = {"num_epochs": 10, "warmup_epochs": 10, "learning_rate": 0.04}
    trainer = prepare(Experiment(digits, "SingleLayerMlp", **options))
    next(trainer.epochs())
    assert trainer.learning_rate < 0.01
    experiment = resume(trainer.save(tmp_path))
    assert experiment.learning_rate == 0.04


def test_options_of_one_call_are_not_taken_over(digits, tmp_path):
    once = {"out_dir": tmp_path / "out", "resume": None, "test_only": False}
    trainer = prepare(Experiment(digits, "SingleLayerMlp", num_epochs=1, **once))
    list(trainer.epochs())
    snapshot = capture(trainer)
    others = {"resume": "elsewhere", "test_only": True, "out_dir": "there"}
    snapshot.header["experiment"] |= others | {"num_devices": 4}
    save_snapshot(snapshot, tmp_path / "x.safetensors")
    options = recorded_options(tmp_path / "x.safetensors")
    assert {name: options[name] for name in others} == {
        "resume": None, "test_only": False, "out_dir": None
    }  # fmt: skip
    assert options["num_devices"] == 4
    assert options["start_from_snapshot"] == tmp_path / "x.safetensors"


def test_a_snapshot_of_the_first_version_is_still_read(digits):
    """It was written before snapshots could be of the middle of an epoch."""
    path = GOLDEN / "snapshots" / "first.snapshot-3.safetensors"
    check_whole(path)
    header = read_header(path)
    assert (header["batch"], header["progress"], header["stopping"]) == (0, {}, {})
    trainer = prepare(resume(path, dataset_path=digits, num_epochs=4))
    assert (trainer.epoch, trainer.learning_rate) == (3, 0.01)
    # What the first version measured, from its metrics.csv.
    evaluation = trainer.evaluate("validation")
    assert evaluation.accuracy == 0.6759776536312849
    assert evaluation.loss == pytest.approx(0.9006600928227495, rel=1e-6)
    (record,) = trainer.epochs()
    assert record.epoch == 4
    assert record.training_loss < 1.0570644290814928


def test_defaults_of_entries_are_not_shared(tmp_path):
    path = GOLDEN / "snapshots" / "first.snapshot-3.safetensors"
    read_header(path)["progress"]["loss"] = 5
    assert read_header(path)["progress"] == {}


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
    assert np.array_equal(again.normalisation["mean"], trained.normalisation["mean"] * 2)


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
        for read in (load_snapshot, check_whole):
            with pytest.raises(CommandError, match="is no snapshot|is broken"):
                read(path)
    path.write_bytes(whole + b"0")
    with pytest.raises(CommandError, match=r"is broken: it has \S+ bytes of \S+; take another"):
        check_whole(path)
    path.write_bytes(whole)
    check_whole(path)
    path.write_bytes(struct.pack("<Q", 2**63) + whole[8:])
    with pytest.raises(CommandError, match="is no snapshot"):
        load_snapshot(path)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"__metadata__": {}}',
        '{"__metadata__": {"KEY": "{"}}',
        '{"__metadata__": {"KEY": "[3]"}}',
        '{"__metadata__": {"KEY": "{}"}, "W": 3}',
        '{"__metadata__": {"KEY": "{}"}, "W": {"data_offsets": []}}',
        '{"__metadata__": {"KEY": "{}"}, "W": {"data_offsets": ["0", "1"]}}',
    ],
)
def test_odd_headers_give_a_sentence(tmp_path, text):
    data = text.replace("KEY", "bandcamp-deep-learning").encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(data)) + data)
    for read in (read_header, check_whole):
        with pytest.raises(CommandError, match="is no snapshot of this program, or it is broken"):
            read(path)


def test_what_is_no_snapshot_gives_a_sentence(tmp_path):
    with pytest.raises(CommandError, match=r"can't be read: No such file"):
        read_header(tmp_path / "none")
    with pytest.raises(CommandError, match=r"is a folder; it holds no snapshots"):
        read_header(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "others.safetensors")
    with pytest.raises(CommandError, match="is no snapshot of this program"):
        read_header(tmp_path / "others.safetensors")
