"""What a run writes and says, and how it goes on, in this process."""

import csv
import itertools
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from commands import main
from commands.run_experiment import Options, run
from common.errors import CommandError
from tests.runs import assert_same_run, metrics, results, snapshots
from training import watch
from training.setup import prepare
from training.snapshots import Snapshot, load_snapshot, read_header, save_snapshot
from training.snapshots import resume as resume_from
from training.trainer import Trainer

MLP = {"model_architecture": "LasagneMnistExample", "model_params": "num_units=16"}
EXACT = {"precision": "float32", "device": "cpu"}


@pytest.fixture
def options(digits):
    """Returns a function that makes options of runs of 15 batches an epoch, of the folder run."""

    def make(**others):
        return Options(digits, **MLP | EXACT | {"num_epochs": 3, "out_dir": Path("run")} | others)

    return make


def resume(*arguments: str) -> int:
    return main(["run_experiment", "--resume", "run", *arguments])


def test_snapshots_within_an_epoch_go_once_there_are_newer_ones(options):
    run(options(snapshot_minutes=1e-9, keep_snapshots=3))
    assert snapshots(Path("run")) == ["3"]
    run(options(out_dir=Path("whole")))
    assert_same_run(Path("run"), Path("whole"))


def test_a_snapshot_is_written_every_ten_minutes_unless_told_otherwise(options, monkeypatch):
    now = itertools.count(step=50.0)  # seconds, a batch each
    clock = SimpleNamespace(monotonic=lambda: next(now))
    monkeypatch.setattr(watch, "time", clock)
    saved = []
    monkeypatch.setattr(Trainer, "save", lambda self, folder: saved.append(self.batch))
    run(options(num_epochs=1))
    assert saved == [12, 0]  # 0: the last


def test_the_newest_snapshots_are_kept(options):
    run(options(num_epochs=7, snapshot_every=2, keep_snapshots=2))
    assert snapshots(Path("run")) == ["6", "7"]
    run(options(num_epochs=7, snapshot_every=2, out_dir=Path("all")))
    assert snapshots(Path("all")) == ["2", "4", "6", "7"]
    assert_same_run(Path("run"), Path("all"))
    run(options(snapshot_every=2, snapshot_final_model=False, out_dir=Path("without")))
    assert snapshots(Path("without")) == ["2"]


def test_it_stops_when_time_is_over_and_goes_on(options, capsys):
    found = run(options(num_epochs=2, batch_size=500, max_minutes=1e-9, test_at_end=True))
    assert found["stopped"] == "out of time"
    assert (found["epochs"], found["testing_epoch"]) == (0, 0)
    assert "\nout of time after 0 epochs, " in capsys.readouterr().out
    for epoch, batch in ((0, 2), (0, 3), (1, 1)):
        assert resume() == 0
        assert snapshots(Path("run")) == [f"{epoch}-{batch}"]
        assert results(Path("run"))["epochs"] == epoch == len(metrics(Path("run")))
    assert resume("--max-minutes", "0", "--no-test-at-end") == 0
    assert results(Path("run"))["stopped"] == "finished"
    run(options(num_epochs=2, batch_size=500, out_dir=Path("whole")))
    assert_same_run(Path("run"), Path("whole"))


def test_resume_alone_goes_on_with_all_options(options, capsys):
    made = options(
        num_epochs=1,
        lr_policy="step",
        lr_steps="1,3",
        update_func_name="rmsprop",
        snapshot_prefix="deep/er",
        batch_size=70,
        early_stopping=9,
        average_weights=0.5,
    )
    run(made)
    before = Path("run/experiment.yaml").read_text()
    capsys.readouterr()
    assert resume() == 0
    shown = capsys.readouterr().out
    assert "going on from run/deep/er.snapshot-1.safetensors, epoch 1\n" in shown
    assert "epoch 1 is done already; give --num-epochs above 1\n" in shown
    assert Path("run/experiment.yaml").read_text() == before
    assert resume("--num-epochs", "3") == 0
    assert Path("run/experiment.yaml").read_text() == before.replace(
        "num_epochs: 1", "num_epochs: 3"
    )
    header = read_header(Path("run/deep/er.snapshot-3.safetensors"))["experiment"]
    for name in ("lr_policy", "lr_steps", "update_func_name", "batch_size", "average_weights"):
        assert header[name] == getattr(made, name)
    rates = [float(line["learning_rate"]) for line in metrics(Path("run"))]
    assert rates == pytest.approx([0.01, 0.001, 0.001])
    assert not list(Path("run").glob("experiment-from-*"))


def test_other_options_win_and_make_a_recipe_of_their_own(options):
    run(options(num_epochs=1))
    assert resume("--num-epochs", "2", "--learning-rate", "0.5") == 0
    assert [line["learning_rate"] for line in metrics(Path("run"))] == ["0.01", "0.5"]
    recipe = Path("run/experiment-from-epoch-1.yaml").read_text()
    assert "learning_rate: 0.5\n" in recipe
    assert "start_from_snapshot: run/model.snapshot-1.safetensors\n" in recipe
    assert "resume: null\n" in recipe


def test_a_snapshot_that_was_cut_off_is_passed_over_with_a_warning(options, capsys):
    run(options(snapshot_every=1))
    newest = Path("run/model.snapshot-3.safetensors")
    newest.write_bytes(newest.read_bytes()[:-100])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert resume() == 0
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "warning: A snapshot is passed over: The snapshot run/model.snapshot-3" in shown.err
    assert "going on from run/model.snapshot-2.safetensors, epoch 2\n" in shown.out
    run(options(out_dir=Path("whole")))
    assert_same_run(Path("run"), Path("whole"))
    assert Path("run/model.snapshot-3.before-1.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--resume", "none"], 1, "none does not exist; give the folder of a run to --resume"),
        (["--resume", "empty"], 1, "empty is no run's folder; give the folder of a run to"),
        (["--resume", "file"], 1, "file is no folder; give the folder of a run"),
        (["--resume", "run", "--out-dir", "other"], 1, "goes on in that folder, not in --out-dir"),
        (["--resume", "run", "--start-from-snapshot", "run/a"], 2, "exclude each other; give one"),
        (["--resume", "run", "--num-epochs", "-1"], 1, "--num-epochs is -1; give at least 0"),
        (["--resume", "run", "--micro-batch-size", "some"], 2, "micro-batch-size"),
        (["--resume", "run", "--lr-policy", "linear"], 2, "lr-policy"),
        (["--resume", "run", "--normalise-per", "picture"], 2, "normalise-per"),
        (["--resume", "run", "--evaluation-crops", "two"], 2, "evaluation-crops"),
        (["--resume", "run", "--crop-mirror-per", "day"], 2, "crop-mirror-per"),
        (["--resume", "run", "--num-devices", "0"], 1, "--num-devices is 0; give at least 1"),
        (["--resume", "run", "--keep-snapshot", "1"], 2, "--keep-snapshots"),
    ],
)
def test_what_can_not_be_gone_on_with(options, capsys, arguments, status, sentence):
    run(options(num_epochs=1))
    Path("empty").mkdir()
    Path("file").touch()
    before = sorted(path.name for path in Path("run").iterdir())
    capsys.readouterr()
    assert main(["run_experiment", *arguments]) == status
    shown = capsys.readouterr()
    assert sentence in " ".join(shown.err.replace("│", " ").split())
    assert shown.out == ""
    assert sorted(path.name for path in Path("run").iterdir()) == before


def test_a_run_to_resume_can_be_tested(options, capsys):
    found = run(options(test_at_end=True))
    capsys.readouterr()
    assert resume("--test-only") == 0
    assert f"testing accuracy {found['testing_accuracy']:.2%}" in capsys.readouterr().out
    assert results(Path("run"))["testing_loss"] == found["testing_loss"]


def test_rates_and_early_stopping_are_in_the_results(options, capsys):
    made = options(num_epochs=9, learning_rate=1e-9, lr_policy="step", lr_steps="1,3")
    run(made)
    rates = [float(line["learning_rate"]) for line in metrics(Path("run"))]
    assert rates == pytest.approx([1e-9, 1e-10, 1e-10] + [1e-11] * 6)
    found = run(options(num_epochs=9, learning_rate=1e-9, early_stopping=3, out_dir=Path("early")))
    assert (found["stopped"], found["epochs"]) == ("stopped early", 4)
    assert capsys.readouterr().out.endswith(
        f"\nstopped early after 4 epochs, {found['seconds']:.1f} s of training: "
        "3 epochs without a gain in validation accuracy\n"
        f"best validation accuracy {found['validation_accuracy']:.2%} "
        f"in epoch {found['best_epoch']} (*)\n"
    )


def test_without_an_epoch_there_is_no_learning_curve(options, capsys):
    run(options(num_epochs=0))
    assert "learning curve" not in capsys.readouterr().out
    assert not Path("run/learning-curve.png").exists()
    assert "<img" not in Path("run/report.html").read_text()


def test_the_weights_that_are_validated_are_the_average(options):
    """After one update it is 0.1 of the weights at the start and 0.9 of those after it."""
    one_batch = {"num_epochs": 1, "batch_size": 1433, "learning_rate": 1.0}
    found = run(options(**one_batch, average_weights=0.999))
    snapshot = load_snapshot(Path("run/model.snapshot-1.safetensors"))
    run(options(num_epochs=1, learning_rate=1e-30, out_dir=Path("start")))
    start = load_snapshot(Path("start/model.snapshot-1.safetensors")).group("network")
    averages, last = snapshot.group("best"), snapshot.group("network")
    for name, average in averages.items():
        torch.testing.assert_close(average, 0.1 * start[name] + 0.9 * last[name])
    copied = {f"best/{name}": weight.clone() for name, weight in last.items()}
    other = Snapshot(snapshot.header, snapshot.tensors | copied)
    save_snapshot(other, Path("last.safetensors"))
    losses = [
        prepare(resume_from(path, device="cpu")).evaluate("validation").loss
        for path in (Path("run/model.snapshot-1.safetensors"), Path("last.safetensors"))
    ]
    assert found["validation_loss"] == losses[0] != losses[1]


def test_divergence_keeps_the_last_good_state(options, capsys):
    """A rate times a decay of 4 triples the weights in every batch, so here in every epoch."""
    status = main(
        ["run_experiment", "--dataset-path", str(options().dataset_path), "--out-dir", "run",
         "--model-architecture", "SingleLayerMlp", "--update-func-name", "sgd", "--device", "cpu",
         "--weight-decay", "400", "--batch-size", "1433", "--precision", "float32",
         "--num-epochs", "200"]
    )  # fmt: skip
    assert status == 3
    shown, folder = capsys.readouterr(), Path("run")
    lines = metrics(folder)
    assert len(lines) > 10, "it is to go well for some epochs"
    place = f"in batch 1 of epoch {len(lines) + 1}, at first in the "
    assert shown.err.startswith(f"manage.py: The training loss is not finite {place}")
    assert shown.err.endswith(
        ": the training diverged; give a lower --learning-rate (a tenth, say) or "
        "--clip-gradient-norm, or check that the pictures are scaled.\n"
    )
    assert shown.err.count("\n") == 1
    for text in (shown.out, (folder / "report.html").read_text()):
        assert re.search(r"[ >]\d\.\d\de\+\d\d", text)
        assert not re.search(r"[ >]\d{7}", text)
    assert results(folder)["stopped"] == "diverged"
    assert results(folder)["epochs"] == len(lines)
    assert snapshots(folder) == [str(len(lines))]
    snapshot = load_snapshot(folder / f"model.snapshot-{len(lines)}.safetensors")
    assert all(tensor.isfinite().all() for tensor in snapshot.tensors.values())
    assert snapshot.header["best"]["epoch"] == results(folder)["best_epoch"]


def test_divergence_names_the_layer(options):
    with pytest.raises(CommandError) as raised:
        run(options(learning_rate=1e30))
    assert raised.value.status == 3
    assert str(raised.value).startswith(
        "The training loss is not finite in batch 2 of epoch 1, at first in the activations of "
        "layer 'ld1': the training diverged; "
    )


OWN = """
from lasagne.layers import *
from lasagne.nonlinearities import softmax


class Fragile(Layer):
    times = 0

    def get_output_for(self, input, deterministic=False, **kwargs):
        self.times += not deterministic and len(input) > 3
        if self.times > 40:
            raise RuntimeError("a mistake of the programmer's")
        return input


def fragile(incoming, num_classes):
    return DenseLayer(Fragile(incoming), num_classes, nonlinearity=softmax)
"""


def test_an_error_keeps_its_traceback_and_what_was_reached(options):
    Path("own.py").write_text(OWN)
    with pytest.raises(RuntimeError, match="a mistake of the programmer's"):
        run(options(model_architecture="own.py:fragile", model_params="", num_epochs=9))
    assert snapshots(Path("run")) == ["2"]
    assert [line["epoch"] for line in metrics(Path("run"))] == ["1", "2"]


def test_the_seconds_are_divided_into_what_they_were_spent_on(options, capsys):
    run(options(chunk_size=200, num_epochs=2))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    for line in lines:
        parts = line.rpartition("(")[2].rstrip(")").split(", ")
        assert [part.split()[0] for part in parts] == ["waiting", "copying", "computing"]
        assert sum(int(part.split()[1].rstrip("%")) for part in parts) in (99, 100, 101)
    with Path("run/metrics.csv").open() as file:
        for line in csv.DictReader(file):
            parts = float(line["waiting_seconds"]) + float(line["copying_seconds"])
            assert 0 < parts < float(line["seconds"])
