"""run_experiment as a person runs it: real processes, real interruptions."""

import os
import signal
import subprocess
import sys

import pytest
import yaml

from commands import main
from commands.run_experiment import Options, run
from common.errors import CommandError
from tests.paths import ROOT
from tests.runs import assert_same_run, metrics, results, snapshots
from training.snapshots import load_snapshot

COMMAND = [sys.executable, str(ROOT / "manage.py"), "run_experiment"]
MLP = ["--model-architecture", "LasagneMnistExample", "--model-params", "num_units=64"]
EXACT = ["--precision", "float32", "--device", "cpu"]


def rank(line: dict[str, str]) -> tuple[float, float]:
    return float(line["validation_accuracy"]), -float(line["validation_loss"])


def test_from_a_recipe_to_the_testing_accuracy(digits, tmp_path, capsys):
    recipe = ROOT / "experiments" / "digits.yaml"
    arguments = ["--config", str(recipe), "--dataset-path", str(digits), "--out-dir", "run"]
    assert main(["run_experiment", *arguments]) == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "run"
    found = results(folder)
    assert found["testing_accuracy"] >= 0.96
    assert f"testing accuracy {found['testing_accuracy']:.2%}" in shown
    assert found["stopped"] == "finished"
    assert found["epochs"] == 30
    assert found["parameters"] == 53_002
    assert shown.count("\nepoch ") == 30
    assert "Conv2DLayer" in shown
    assert [line["epoch"] for line in metrics(folder)] == [str(i) for i in range(1, 31)]
    best = max(metrics(folder), key=rank)
    assert found["best_epoch"] == int(best["epoch"])
    assert found["validation_accuracy"] == float(best["validation_accuracy"])
    for name in ("learning-curve.png", "report.html", "model.snapshot-30.safetensors"):
        assert f"{folder.name}/{name}" in shown
        assert (folder / name).stat().st_size > 1000
    assert not [name for name in os.listdir(folder) if name.endswith(".partial")]


def test_a_runs_own_recipe_repeats_it(digits, tmp_path):
    assert main(["run_experiment", "--dataset-path", str(digits), *MLP, *EXACT, "--num-epochs", "2",
                 "--out-dir", "first"]) == 0  # fmt: skip
    assert main(["run_experiment", "--config", "first/experiment.yaml", "--out-dir", "second"]) == 0
    assert metrics(tmp_path / "first") == metrics(tmp_path / "second")
    first, second = (
        yaml.safe_load((tmp_path / name / "experiment.yaml").read_text())
        for name in ("first", "second")
    )
    assert first == second


def test_ctrl_c_stops_after_the_batch_and_resume_alone_goes_on(digits, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "--dataset-path", str(digits), *MLP, *EXACT, "--out-dir", "run"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 3 "):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == (
        "\nCtrl-C: the run stops after this batch; Ctrl-C once more stops it at once\n"
        "\nmanage.py: interrupted; go on with --resume run\n"
    )
    (position,) = snapshots(tmp_path / "run")
    epochs, batch = map(int, position.split("-"))
    assert 1 <= batch <= 15
    assert results(tmp_path / "run")["stopped"] == "interrupted"
    assert results(tmp_path / "run")["epochs"] == len(metrics(tmp_path / "run")) == epochs >= 3
    number = str(epochs + 2)
    assert main(["run_experiment", "--resume", "run", "--num-epochs", number]) == 0
    whole = ["--dataset-path", str(digits), *MLP, *EXACT, "--num-epochs", number]
    assert main(["run_experiment", *whole, "--out-dir", "whole"]) == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_test_only_gives_what_test_at_end_gave(digits, tmp_path, capsys):
    base = {"model_architecture": "SingleLayerMlp", "num_epochs": 3, "learning_rate": 0.1}
    first = run(Options(digits, **base, test_at_end=True, out_dir=tmp_path / "run"))
    snapshot = str(tmp_path / "run" / "model.snapshot-3.safetensors")
    capsys.readouterr()
    assert main(["run_experiment", "--start-from-snapshot", snapshot, "--test-only"]) == 0
    assert f"testing accuracy {first['testing_accuracy']:.2%}" in capsys.readouterr().out
    assert results(tmp_path / "run")["testing_loss"] == first["testing_loss"]
    assert results(tmp_path / "run")["best_epoch"] == first["best_epoch"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<span>testing accuracy</span>" in page


def test_the_command_line_wins_over_the_snapshot(digits, tmp_path, capsys):
    base = {"model_architecture": "SingleLayerMlp", "num_epochs": 1}
    run(Options(digits, **base, out_dir=tmp_path / "run"))
    snapshot = str(tmp_path / "run" / "model.snapshot-1.safetensors")
    arguments = ["run_experiment", f"--start-from-snapshot={snapshot}", "--num-epochs", "2"]
    assert main([*arguments, "--out-dir", "other"]) == 0
    assert [line["epoch"] for line in metrics(tmp_path / "other")] == ["2"]
    assert main([*arguments, "--model-architecture", "ConvNet"]) == 1
    assert "holds SingleLayerMlp without parameters, not ConvNet" in capsys.readouterr().err


def test_a_folder_that_holds_a_run_is_not_overwritten(digits, tmp_path):
    options = Options(digits, "SingleLayerMlp", num_epochs=1, out_dir=tmp_path / "run")
    run(options)
    before = (tmp_path / "run" / "metrics.csv").read_text()
    with pytest.raises(CommandError, match="holds a run already; choose another --out-dir"):
        run(options)
    assert (tmp_path / "run" / "metrics.csv").read_text() == before


def test_without_an_argument_it_says_what_is_required(capsys):
    assert main(["run_experiment"]) == 2
    assert "--dataset-path" in capsys.readouterr().err


def test_a_recipe_may_name_the_snapshot(digits, tmp_path, capsys):
    run(Options(digits, "SingleLayerMlp", num_epochs=1, out_dir=tmp_path / "run"))
    snapshot = tmp_path / "run" / "model.snapshot-1.safetensors"
    (tmp_path / "on.yaml").write_text(f"start_from_snapshot: {snapshot}\nnum_epochs: 2\n")
    assert main(["run_experiment", "--config", "on.yaml", "--num-epochs", "3"]) == 0
    assert [line["epoch"] for line in metrics(tmp_path / "run")] == ["1", "2", "3"]
    none = ["--start-from-snapshot", "None", "--out-dir", "other"]
    assert main(["run_experiment", "--config", "run/experiment.yaml", *none]) == 0


def test_a_snapshot_of_another_run_does_not_touch_a_runs_files(digits, tmp_path):
    for name in ("one", "two"):
        run(Options(digits, "SingleLayerMlp", num_epochs=1, out_dir=tmp_path / name))
    snapshot = tmp_path / "one" / "model.snapshot-1.safetensors"
    arguments = ["run_experiment", "--test-only", "--start-from-snapshot", str(snapshot)]
    assert main([*arguments, "--out-dir", "two"]) == 1
    before = (tmp_path / "two" / "metrics.csv").read_text()
    going_on = ["--no-test-only", "--num-epochs", "3", "--out-dir"]
    assert main([*arguments, *going_on, "two"]) == 1
    assert (tmp_path / "two" / "metrics.csv").read_text() == before
    assert main([*arguments, *going_on, "one"]) == 0
    assert "testing_accuracy" not in (tmp_path / "two" / "results.json").read_text()
    assert main([*arguments, "--out-dir", "three"]) == 0
    assert (tmp_path / "three" / "report.html").exists()


def test_texts_in_place_of_paths_and_numbers_of_the_wrong_kind(digits, tmp_path):
    found = run(Options(str(digits), "SingleLayerMlp", num_epochs=1, out_dir=str(tmp_path / "r")))
    assert found["run"] == str(tmp_path / "r")
    with pytest.raises(CommandError, match="option 'num_epochs' is 'many'"):
        run(Options(digits, "SingleLayerMlp", num_epochs="many"))


def test_a_run_has_its_own_folder_by_default(digits, tmp_path):
    for _ in range(2):
        run(Options(digits, "SingleLayerMlp", num_epochs=0))
    first, second = sorted((tmp_path / "runs").iterdir())
    assert first.name.endswith("-SingleLayerMlp") or second.name.endswith("-SingleLayerMlp")


def test_an_out_dir_that_cannot_be_written_is_named_before_anything_runs(digits, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"file/run can't be written: .*; choose"):
        run(Options(digits, "SingleLayerMlp", num_epochs=1, out_dir=tmp_path / "file" / "run"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_gives_a_sentence_and_leaves_nothing_half_written(digits, tmp_path, zygote):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)])
    if mounted.returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        arguments = ["--dataset-path", digits, "--model-architecture", "SingleLayerMlp"]
        arguments += ["--model-params", "num_units=2000", "--num-epochs", "3"]
        arguments += ["--snapshot-every", "1", "--out-dir", disk / "run"]
        process = zygote.run_experiment(*arguments)
        status = process.wait()
        left = os.listdir(disk / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert status == 1
    assert "can't be written: No space left on device; free some space" in process.errors
    assert process.errors.count("\n") == 1
    assert sorted(left) == ["experiment.yaml", "metrics.csv"]


def test_theano_flags_choose_the_precision(digits, monkeypatch, capsys):
    monkeypatch.setenv("THEANO_FLAGS", "device=cpu,floatX=float64")
    run(Options(digits, "SingleLayerMlp", num_epochs=1))
    assert "device cpu in float64" in capsys.readouterr().out


def test_verbose_prints_every_chunks_first_batch(digits, capsys):
    run(Options(digits, "SingleLayerMlp", num_epochs=1, verbose=True, chunk_size=500))
    shown = capsys.readouterr().out
    assert [f"chunk {i}, first batch: training loss" in shown for i in range(4)] == [
        True, True, True, False,
    ]  # fmt: skip


INCEPTION = """
from lasagne.layers import *
from lasagne.nonlinearities import softmax


def inception(incoming, num_classes, num_filters: int = 4):
    sizes = [batch_norm(Conv2DLayer(incoming, num_filters, n, pad="same")) for n in (1, 3, 3)]
    pool = MaxPool2DLayer(incoming, 3, stride=1, pad=1)
    layer = LocalResponseNormalization2DLayer(ConcatLayer([*sizes, pool]))
    layer = prelu(Conv2DLayer(layer, 2 * num_filters, 3))
    layer = GRULayer(DimshuffleLayer(layer, (0, 2, 3, 1)), 12, only_return_final=True)
    return DenseLayer(dropout(layer, 0.1), num_classes, nonlinearity=softmax)
"""


def test_a_network_of_ones_own_with_every_kind_of_state(digits, tmp_path, zygote):
    """Batch normalization's averages are part of snapshots, and of the best weights."""
    (tmp_path / "mine.py").write_text(INCEPTION)
    options = Options(
        digits,
        model_architecture="mine.py:inception",
        reshape_to=(1, 8, 8),
        num_epochs=4,
        precision="float32",
        device="cpu",
        snapshot_every=2,
        out_dir=tmp_path / "whole",
    )
    run(options)
    snapshot = "whole/model.snapshot-2.safetensors"
    resumed = zygote.run_experiment("--start-from-snapshot", snapshot, "--out-dir", "resumed")
    assert resumed.wait() == 0, resumed.errors
    first, second = (
        load_snapshot(tmp_path / name / "model.snapshot-4.safetensors")
        for name in ("whole", "resumed")
    )
    names = set(first.group("network"))
    assert {"BatchNormLayer5.mean", "BatchNormLayer5.inv_std"} & names
    for group in ("network", "best"):
        ours, expected = second.group(group), first.group(group)
        assert all((ours[name] == expected[name]).all() for name in expected)
    assert not all(
        (first.group("network")[name] == initial).all()
        for name, initial in load_snapshot(tmp_path / "whole" / "model.snapshot-2.safetensors")
        .group("network")
        .items()
        if name.endswith("inv_std")
    )
