"""run_experiment on spectrograms of a few short recordings, from the options to the folder."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands import load, main, parse
from datasets.recordings import open_recordings
from results.cross_validation.folder import CrossValidationFolder
from tests.recorded import spectra, write
from tests.runs import assert_same_run, metrics, results
from training.order import fingerprint
from training.snapshots import load_snapshot
from training.subsets import open_subsets

NETWORK = ["--model-architecture", "oNetOne", "--model-params", "onet_frames=6,11"]
SHORT = ["--patch-frames", "20", "--patch-hop", "9", "--folds", "3", "--batch-size", "10"]
EXACT = ["--precision", "float64", "--device", "cpu"]
OPTIONS = [*NETWORK, *SHORT, *EXACT, "--num-epochs", "2", "--test-at-end"]


@pytest.fixture
def path(tmp_path):
    """Jazz has strong low bands, metal high ones; one recording is too short."""
    arrays = spectra([60, 45, 50, 70, 30, 41, 55, 66, 48, 59, 38, 19], bands=8)
    labels = np.arange(12) % 2
    for array, label in zip(arrays, labels, strict=True):
        array[:, 4:] *= 0.01 if label == 0 else 1
        array[:, :4] *= 0.01 if label == 1 else 1
    return write(tmp_path / "x.pkl.zip", arrays, labels).path


def experiment(path: Path, *others: str) -> int:
    return main(["run_experiment", "--dataset-path", str(path), *OPTIONS, *others])


def test_two_epochs_leave_all_that_a_run_leaves(path, capsys):
    assert experiment(path, "--out-dir", "run", "--num-epochs", "12", "--fold", "2") == 0
    shown = capsys.readouterr().out
    assert "\nfold 2 of 3 is tested on\n1 recording has no patch of 20 frames\n" in shown
    found = results(Path("run"))
    with Path("run/predictions.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert found["testing_recordings"] == len(lines) == 4
    assert {line["name"].partition("/")[0] for line in lines} == {"jazz", "metal"}
    assert all(line["label"] == line["name"].partition("/")[0] for line in lines)
    right = [line["prediction"] == line["label"] for line in lines]
    assert found["testing_recording_accuracy"] == np.mean(right) == 1
    assert Path("run/confusion-matrix.png").stat().st_size
    snapshot = load_snapshot(Path("run/model.snapshot-12.safetensors"))
    assert snapshot.header["experiment"]["fold"] == 2
    assert snapshot.tensors["mean"].numel() == snapshot.tensors["std"].numel() == 1


def test_chunks_change_no_number(path):
    assert experiment(path, "--out-dir", "whole", "--shuffle-run", "1") == 0
    assert experiment(path, "--out-dir", "parts", "--shuffle-run", "1", "--chunk-size", "20") == 0
    assert metrics(Path("whole")) == metrics(Path("parts"))
    for name in ("testing_loss", "testing_recording_accuracy"):
        assert results(Path("whole"))[name] == results(Path("parts"))[name]


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(path):
    assert experiment(path, "--out-dir", "whole") == 0
    stopped = ["--max-minutes", "1e-9", "--no-test-at-end"]
    assert experiment(path, "--out-dir", "run", *stopped) == 0
    assert results(Path("run"))["stopped"] == "out of time"
    resumed = ["run_experiment", "--resume", "run", "--max-minutes", "0", "--test-at-end"]
    assert main(resumed) == 0
    assert_same_run(Path("run"), Path("whole"))
    assert results(Path("run"))["testing_loss"] == results(Path("whole"))["testing_loss"]


def test_a_snapshot_is_tested_alone(path):
    """With the mean and deviation that it holds."""
    assert experiment(path, "--out-dir", "run") == 0
    snapshot = ["--start-from-snapshot", "run/model.snapshot-2.safetensors"]
    assert experiment(path, "--out-dir", "tested", "--test-only", *snapshot) == 0
    for name in ("testing_loss", "testing_vote_accuracy"):
        assert results(Path("tested"))[name] == results(Path("run"))[name]


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--fold", "4", "--fold is 4; give 1 to 3, the number of --folds."),
        ("--folds", "9", "--folds is 9, but no label has more than 6 instances to deal out; "),
        ("--fold-seed", "-1", "--fold-seed is -1; give 0 to 4,294,967,295."),
        ("--patch-frames", "71", "--patch-frames 71 needs recordings of 71 frames, but the longe"),
        ("--group-by", "album", "--group-by 'album' is found in none of the paths below the lab"),
        ("--labels-to-keep", "jaz,metal", "Unknown label 'jaz'. Did you mean 'jazz'"),
    ],
)
def test_mistakes_end_in_a_sentence(path, capsys, option, value, sentence):
    assert experiment(path, option, value, "--out-dir", "run") == 1
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.count("\n") == 1
    assert not Path("run").exists()


def test_a_search_tells_a_fold_that_there_is_not_before_it_begins(path, capsys):
    base = ["run_experiment", "--dataset-path", str(path), *NETWORK, *SHORT, *EXACT]
    base_cmd = " ".join([*base, "--fold", "4"])
    space = ["--model-params-space", "dropout__uniform=0,0.5"]
    assert main(["search_hyperparams", base_cmd, "search", *space]) == 1
    assert "--fold is 4; give 1 to 3, the number of --folds." in capsys.readouterr().err
    assert not Path("search").exists()


def renamed(path: Path) -> None:
    """Writes the same recordings under other names, so that other ones are in a fold."""
    with_names = open_recordings(path)
    arrays = [with_names[number] for number in range(len(with_names))]
    names = [name.replace("/", "/new ") for name in with_names.names]
    other = path.with_name("other.pkl.zip")
    write(other, arrays, with_names.labels, names)
    other.replace(path)


def test_a_dataset_that_has_changed_is_not_gone_on_with(path, capsys):
    assert experiment(path, "--out-dir", "run") == 0
    renamed(path)
    assert main(["run_experiment", "--resume", "run", "--num-epochs", "3"]) == 1
    error = capsys.readouterr().err
    assert f"{path} has changed since run/model.snapshot-2.safetensors was written" in error
    assert "put the dataset back as it was" in error
    again = ["--start-from-snapshot", "run/model.snapshot-2.safetensors"]
    assert main(["run_experiment", *again, "--test-only"]) == 1


def test_other_recordings_are_evaluated_all_or_not_at_all(path, tmp_path, capsys):
    assert experiment(path, "--out-dir", "run") == 0
    snapshot = ["--snapshot", "run/model.snapshot-2.safetensors"]
    few = write(tmp_path / "few.pkl.zip", spectra([40, 40], bands=8), [0, 1]).path
    renamed(path)
    for other in (path, few):
        capsys.readouterr()
        chosen = ["evaluate", *snapshot, "--dataset-path", str(other)]
        assert main(chosen) == 1
        error = capsys.readouterr().err
        assert f"{other} is not what the network of" in error
        assert "give --test-subset all" in error
        assert main([*chosen, "--test-subset", "all", "--out-dir", other.stem]) == 0


def test_a_cross_validation_of_a_dataset_that_has_changed_is_not_gone_on_with(path, capsys):
    """It had not begun its first fold, which would have left a snapshot to compare with."""
    chosen = [*NETWORK, "--dataset-path", str(path), *SHORT]
    options = parse(load("run_cross_validation"), "run_cross_validation", chosen)
    options = replace(options, out_dir=Path("cv"))
    dataset = open_subsets(replace(options.of_fold(), fold=1))
    known = {name: fingerprint(dataset, name) for name in dataset.subsets}
    CrossValidationFolder(options, known).close()
    CrossValidationFolder(options, known).close()
    renamed(path)
    assert main(["run_cross_validation", "--resume", "cv"]) == 1
    assert f"{path} has changed since the cross-validation in cv began" in capsys.readouterr().err
