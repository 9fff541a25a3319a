import dataclasses
import json

import pytest

from common.errors import CommandError
from common.options import read_recipe
from results.run_folder import RunFolder, folder_of, new_folder
from training.experiment import Experiment
from training.trainer import EpochRecord


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 1 / 3, 0.1 + 0.2, 0.875, 0.01, 1.5, 1000.25)


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path / "a.pkl.zip", "ConvNet", crop_shape=(6, 6))


def test_metrics_come_back_exactly(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    for epoch in (1, 2):
        folder.append(record(epoch))
    assert folder.records() == [record(1), record(2)]
    head = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert head == (
        "epoch,training_loss,validation_loss,validation_accuracy,learning_rate,seconds,"
        "images_per_second"
    )


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    folder.append(record(1))
    with (tmp_path / "run" / "metrics.csv").open("a") as file:
        file.write("2,0.3333")
    assert folder.records() == [record(1)]


def test_a_resumed_run_keeps_the_lines_up_to_its_snapshot(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    for epoch in (1, 2, 3):
        folder.append(record(epoch))
    resumed = Experiment(experiment.dataset_path, "ConvNet", start_from_snapshot=tmp_path / "s")
    folder.begin(resumed, 2)
    assert folder.records() == [record(1), record(2)]


def test_the_recipe_repeats_the_run_or_its_last_leg(tmp_path, experiment):
    folder, recipe = RunFolder(tmp_path / "run"), tmp_path / "run" / "experiment.yaml"
    folder.begin(experiment, 0)
    first = recipe.read_text()
    same = dataclasses.replace(experiment, start_from_snapshot=tmp_path / "s")
    folder.begin(same, 1)
    assert recipe.read_text() == first
    folder.begin(dataclasses.replace(same, learning_rate=0.5), 1)
    options = read_recipe(Experiment, recipe)
    assert options["start_from_snapshot"] == tmp_path / "s"
    assert options["learning_rate"] == 0.5


def test_a_new_run_does_not_replace_an_old_one(tmp_path, experiment):
    folder = RunFolder(tmp_path / "run")
    folder.begin(experiment, 0)
    folder.append(record(1))
    with pytest.raises(CommandError, match="holds a run already"):
        folder.begin(experiment, 0)


def test_results(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.read_results() == {}
    folder.write_results({"epochs": 3})
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == {"epochs": 3}
    assert folder.read_results() == {"epochs": 3}


def test_two_new_folders_differ(tmp_path):
    first = new_folder("ConvNet")
    first.mkdir(parents=True)
    second = new_folder("ConvNet")
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
