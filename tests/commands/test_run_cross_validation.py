"""run_cross_validation as a person runs it: real processes, real interruptions."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from commands import load, main, parse
from datasets.container import open_dataset
from lasagne.layers import get_all_param_values
from results.experiment_run import run_experiment
from tests.paths import ROOT
from tests.recorded import spectra, write
from training.setup import prepare
from training.snapshots import resume

MANAGE = [sys.executable, str(ROOT / "manage.py")]
NETWORK = "--model-architecture SingleLayerMlp --model-params num_units=16"
MACHINE = "--device cpu --precision float32"
SHORT = f"{NETWORK} {MACHINE} --folds 3 --num-epochs 2".split()


def cross_validate(*arguments: str) -> int:
    return main(["run_cross_validation", *arguments])


def read(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def lines(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory) -> Path:
    """A cross-validation that nothing disturbed."""
    folder = tmp_path_factory.mktemp("cross-validation") / "whole"
    options = [*SHORT, "--mirdl-files", "--out-dir", str(folder), "--dataset-path", str(digits)]
    assert cross_validate(*options) == 0
    return folder


def test_every_instance_is_tested_once(whole, digits):
    predictions = lines(whole / "predictions.csv")
    assert len(predictions) == 1797
    assert sorted(int(one["name"]) for one in predictions) == [*range(1797)]
    subsets = open_dataset(digits).subsets.values()
    labels = np.concatenate([subset.labels for subset in subsets])
    assert [int(one["label"]) for one in predictions] == [
        labels[int(one["name"])] for one in predictions
    ]
    per_fold = [lines(whole / f"fold-0{fold}" / "predictions.csv") for fold in (1, 2, 3)]
    assert [len(one) for one in per_fold] == [599, 599, 599]


def test_means_and_deviations_are_those_of_the_folds(whole):
    results = read(whole)
    for name in ("validation_accuracy", "testing_accuracy"):
        values = [read(whole / f"fold-0{fold}")[name] for fold in (1, 2, 3)]
        assert results[f"{name}_mean"] == pytest.approx(np.mean(values))
        assert results[f"{name}_std"] == pytest.approx(np.std(values))
    predictions = lines(whole / "predictions.csv")
    right = [one["label"] == one["prediction"] for one in predictions]
    assert results["overall_accuracy"] == pytest.approx(np.mean(right))
    table = lines(whole / "folds.csv")
    assert [float(one["testing_accuracy"]) for one in table] == values


def test_a_fold_is_the_run_that_its_options_describe(whole, tmp_path):
    options = [
        "--config",
        str(whole / "experiment.yaml"),
        "--fold",
        "2",
        "--out-dir",
        str(tmp_path),
    ]
    alone = run_experiment(parse(load("run_experiment"), "run_experiment", options))
    assert alone | {"run": ""} == read(whole / "fold-02") | {
        "run": "",
        "seconds": alone["seconds"],
    }


def test_mirdl_files(whole):
    run = whole / "fold-02"
    training = [line.split(",") for line in (run / "fold-02.training").read_text().splitlines()]
    metrics = lines(run / "metrics.csv")
    assert [row[0] for row in training] == ["1", "2"]
    assert [row[3] for row in training] == [one["validation_accuracy"] for one in metrics]
    settings = dict(
        line.split(": ", 1) for line in (run / "fold-02.param").read_text().splitlines()
    )
    assert settings["fold"] == "2"
    assert settings["model_architecture"] == "SingleLayerMlp"
    accuracy = read(run)["testing_accuracy"]
    assert f"testing_accuracy: {accuracy}\n" in (run / "fold-02.result").read_text()
    snapshot = run / "model.snapshot-2.safetensors"
    trainer = prepare(resume(snapshot))
    trainer.network.load_state_dict(trainer.best.weights)
    with np.load(run / "fold-02.npz") as weights:
        held = [weights[f"arr_{number}"] for number in range(4)]
    for one, wanted in zip(held, get_all_param_values(trainer.output_layer), strict=True):
        assert np.array_equal(one, wanted)


@pytest.mark.slow
def test_killed_and_gone_on_with(whole, digits, tmp_path):
    folder = tmp_path / "killed"
    options = [*SHORT, "--out-dir", str(folder), "--dataset-path", str(digits)]
    process = subprocess.Popen([*MANAGE, "run_cross_validation", *options])
    deadline = time.monotonic() + 60
    while not (folder / "fold-02" / "metrics.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = (folder / "fold-01" / "results.json").stat().st_mtime_ns
    assert cross_validate("--resume", str(folder)) == 0
    assert (folder / "fold-01" / "results.json").stat().st_mtime_ns == finished
    for file in ("predictions.csv", "folds.csv"):
        assert (folder / file).read_bytes() == (whole / file).read_bytes()


@pytest.mark.slow
def test_ctrl_c_ends_the_run_under_way_with_a_snapshot(digits, tmp_path):
    folder = tmp_path / "interrupted"
    options = f"{NETWORK} {MACHINE} --folds 3 --num-epochs 100000 --num-parallel 2".split()
    options += ["--out-dir", str(folder), "--dataset-path", str(digits)]
    process = subprocess.Popen(
        [*MANAGE, "run_cross_validation", *options], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    metrics = [folder / f"fold-0{fold}" / "metrics.csv" for fold in (1, 2)]
    while not all(one.exists() and len(one.read_text().splitlines()) > 2 for one in metrics):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"run_cross_validation --resume {folder}" in errors
    for fold in (1, 2):
        assert read(folder / f"fold-0{fold}")["stopped"] == "interrupted"
        assert list((folder / f"fold-0{fold}").glob("*.safetensors"))


def test_trained_but_not_tested_is_only_tested(whole, tmp_path):
    """As a run is left that was killed while it tested."""
    folder = tmp_path / "untested"
    shutil.copytree(whole, folder)
    run = folder / "fold-03"
    results = read(run)
    (run / "predictions.csv").unlink()
    kept = {name: value for name, value in results.items() if not name.startswith("testing")}
    (run / "results.json").write_text(json.dumps(kept))
    assert cross_validate("--resume", str(folder)) == 0
    assert read(run) == results
    assert "--test-only" in (run / "log.txt").read_text()


def test_another_device_to_go_on_with(whole, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(whole, folder)
    results = read(folder / "fold-03")
    del results["testing_accuracy"]
    (folder / "fold-03" / "results.json").write_text(json.dumps(results))
    assert cross_validate("--resume", str(folder), "--device", "auto") == 0
    assert (folder / "fold-03" / "log.txt").read_text().rpartition("$ ")[2].count("--device auto")


def test_a_fold_that_diverges_ends_it_for_good(digits, tmp_path, capsys):
    """Its options are what they are: to go on would train the other folds for nothing."""
    folder = tmp_path / "diverged"
    options = [*SHORT, "--learning-rate", "1e30", "--out-dir", str(folder)]
    assert cross_validate(*options, "--dataset-path", str(digits)) == 1
    shown = capsys.readouterr()
    assert "fold-01 diverged: The training loss is not finite" in shown.out
    assert "Fold 1 diverged, so that there is no result; begin again in another" in shown.err
    assert cross_validate("--resume", str(folder)) == 1
    assert capsys.readouterr().err == shown.err
    assert not (folder / "fold-02").exists()


def test_out_of_time_before_the_first_epochs_end(digits, tmp_path, capsys):
    """There is nothing to test yet; it goes on until there is."""
    folder = tmp_path / "late"
    options = [*SHORT, "--max-minutes", "1e-9", "--batch-size", "500", "--out-dir", str(folder)]
    assert cross_validate(*options, "--dataset-path", str(digits)) == 1
    assert "fold-01 failed: it ended before its first epoch did" in capsys.readouterr().err
    run = folder / "fold-01"
    before = [one.name for one in run.glob("*.safetensors")]
    assert cross_validate("--resume", str(folder)) == 1
    assert "--test-only" not in (run / "log.txt").read_text()
    assert [one.name for one in run.glob("*.safetensors")] != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "2"], "--folds is 2; give at least 3"),
        (["--folds", "500"], "no label has more than"),
        (["--fold", "1"], "--fold is for a single run"),
        (["--random-tries", "0"], "--random-tries is 0; give at least 1"),
        (["--num-parallel", "0"], "--num-parallel is 0; give at least 1"),
        (["--num-epochs", "0"], "--num-epochs is 0; give at least 1"),
        (["--mirdl-files", "--no-snapshot-final-model"], "--mirdl-files takes the weights from"),
        (["--group-by", "x"], "--group-by needs the instances' names"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--resume", "nothing"], "nothing holds no cross-validation to go on with"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(digits, options, message, capsys):
    given = [*SHORT, "--dataset-path", str(digits), *options]
    assert cross_validate(*given) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().glob("runs/*"))


def test_a_later_fold_that_is_empty_is_told_before_anything_runs(tmp_path, capsys):
    """Four of the recordings are left in seven folds, one of them in the first and the second."""
    labels = [1, 1, 2, 2] + [0] * 10
    data = write(tmp_path / "x.pkl.zip", spectra([20] * 14), labels).path
    options = ["--dataset-path", str(data), *NETWORK.split(), *MACHINE.split(), "--folds", "7"]
    options += ["--patch-frames", "9", "--num-epochs", "1", "--out-dir", str(tmp_path / "run")]
    assert cross_validate(*options, "--labels-to-keep", "metal,polka") == 1
    assert re.search(r"subset of .* is empty in fold [3-7]; make a data", capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_left_alone(whole, digits, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "cross-validation.yaml.1.partial").write_text("of one that was killed")
    options = [*SHORT, "--dataset-path", str(digits)]
    assert cross_validate(*options, "--out-dir", str(tmp_path)) == 1
    assert "holds no cross-validation, but notes.txt" in capsys.readouterr().err
    assert cross_validate(*options, "--seed", "7", "--out-dir", str(whole)) == 1
    assert "holds a cross-validation with another --seed" in capsys.readouterr().err
    assert cross_validate("--resume", str(whole), "--out-dir", str(tmp_path / "other")) == 1
    assert f"--resume {whole} goes on in that folder, not in --out-dir" in capsys.readouterr().err


def test_the_confusion_matrix_is_of_all_folds(whole):
    predictions = lines(whole / "predictions.csv")
    pairs = [[one[column] for one in predictions] for column in ("label", "prediction")]
    matrix = confusion_matrix(*pairs)
    assert matrix.trace() / matrix.sum() == pytest.approx(read(whole)["overall_accuracy"])
    assert (whole / "confusion-matrix.png").read_bytes().startswith(b"\x89PNG")
