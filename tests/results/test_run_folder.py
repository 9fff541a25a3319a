import dataclasses
import json

import pytest

from common.errors import CommandError
from common.options import read_recipe
from results.run_folder import RunFolder, folder_of, new_folder, refuse_results
from training.experiment import Experiment
from training.records import EpochRecord
from training.setup import prepare
from training.snapshots import resume


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 1 / 3, 0.1 + 0.2, 0.875, 0.01, 1.5, 1000.25)


@pytest.fixture
def experiment(digits):
    return Experiment(digits, "SingleLayerMlp", num_epochs=1, precision="float32")


@pytest.fixture
def resumed(experiment, tmp_path):
    trainer = prepare(experiment)
    list(trainer.epochs())
    return resume(trainer.save(tmp_path / "snapshots"))


def test_metrics_come_back_exactly(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    for epoch in (1, 2):
        folder.append(record(epoch))
    assert folder.records() == [record(1), record(2)]
    head = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert head == (
        "epoch,training_loss,validation_loss,validation_accuracy,learning_rate,seconds,"
        "images_per_second,waiting_seconds,copying_seconds"
    )


def test_metrics_of_the_first_version_are_read_and_get_the_new_columns(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.csv"
    old = "0.3333333333333333,0.30000000000000004,0.875,0.01,1.5,1000.25"
    metrics.write_text(f"epoch,training_loss\n1,{old}\n")
    assert folder.records() == [record(1)]
    folder.begin(experiment, 1)
    assert folder.records() == [record(1)]
    assert metrics.read_text().splitlines()[1:] == [f"1,{old},0.0,0.0"]


def test_what_a_killed_process_left_half_written_goes(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    (tmp_path / "run" / "deep" / "elsewhere").mkdir(parents=True)
    names = ("results.json.12.partial", "deep/model.snapshot-2.safetensors.13.partial")
    kept = ("model.snapshot-1.safetensors", "deep/elsewhere/others.partial")
    for name in (*names, *kept):
        (tmp_path / "run" / name).touch()
    folder.begin(dataclasses.replace(experiment, snapshot_prefix="deep/model"), 0)
    assert not any((tmp_path / "run" / name).exists() for name in names)
    assert all((tmp_path / "run" / name).exists() for name in kept)


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    folder.append(record(1))
    metrics = tmp_path / "run" / "metrics.csv"
    whole = metrics.read_text()
    folder.append(record(2))
    cut = metrics.read_text()
    for end in range(len(whole), len(cut)):
        metrics.write_text(cut[:end])
        assert folder.records() == [record(1)]


def test_a_damaged_line_is_named(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    (tmp_path / "run" / "metrics.csv").write_text("epoch\n1,x\n")
    with pytest.raises(CommandError, match="has a line that is no record of an epoch"):
        folder.records()


def test_a_resumed_run_keeps_the_lines_up_to_its_snapshot(tmp_path, experiment, resumed):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    for epoch in (1, 2, 3):
        folder.append(record(epoch))
    folder.begin(resumed, 2)
    assert folder.records() == [record(1), record(2)]


def test_the_recipe_repeats_the_run_whole(tmp_path, experiment, resumed):
    folder, recipe = RunFolder(tmp_path / "run"), tmp_path / "run" / "experiment.yaml"
    folder.begin(experiment, 0)
    folder.begin(dataclasses.replace(resumed, num_epochs=9), 1)
    options = read_recipe(Experiment, recipe)
    assert options["num_epochs"] == 9
    assert options["start_from_snapshot"] is None
    assert options["input_scale"] is None


def test_a_leg_with_other_options_has_a_recipe_of_its_own(tmp_path, experiment, resumed):
    folder, recipe = RunFolder(tmp_path / "run"), tmp_path / "run" / "experiment.yaml"
    folder.begin(experiment, 0)
    first = recipe.read_text()
    folder.begin(dataclasses.replace(resumed, learning_rate=0.5), 1)
    assert recipe.read_text() == first
    options = read_recipe(Experiment, tmp_path / "run" / "experiment-from-epoch-1.yaml")
    assert options["start_from_snapshot"] == resumed.start_from_snapshot
    assert options["learning_rate"] == 0.5


def test_a_folder_with_results_is_refused(tmp_path, experiment):
    refuse_results(tmp_path)
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    sentence = "holds a run already; choose another --out-dir, or "
    with pytest.raises(CommandError, match=f"{sentence}remove the folder, as there is no snapshot"):
        refuse_results(tmp_path / "run")
    prepared = prepare(experiment)
    list(prepared.epochs())
    prepared.save(tmp_path / "run" / "deep")
    with pytest.raises(CommandError, match=f"{sentence}go on with it by run_experiment --resume"):
        refuse_results(tmp_path / "run")


def test_results(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.read_results() == {}
    folder.write_results({"epochs": 3})
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == {"epochs": 3}
    assert folder.read_results() == {"epochs": 3}


def test_two_new_folders_differ(tmp_path):
    first, second = new_folder("ConvNet"), new_folder("ConvNet")
    assert first.parent.name == "runs"
    assert first != second


def test_a_snapshot_belongs_to_the_run_that_it_lies_in(tmp_path, experiment):
    (tmp_path / "run" / "deep").mkdir(parents=True)
    snapshot = tmp_path / "run" / "deep" / "model.snapshot-1.safetensors"
    resumed = Experiment(experiment.dataset_path, "ConvNet", start_from_snapshot=snapshot)
    assert folder_of(resumed).parent.name == "runs"
    (tmp_path / "run" / "experiment.yaml").touch()
    assert folder_of(resumed) == tmp_path / "run"


def test_an_architecture_of_ones_own_names_the_folder_by_its_function(tmp_path):
    experiment = Experiment(tmp_path, f"{tmp_path}/nets/mine.py:tiny")
    assert folder_of(experiment).name.endswith("-tiny")
