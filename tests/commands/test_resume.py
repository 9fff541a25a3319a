"""Runs that are killed, stopped and gone on with, in real processes."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.runs import assert_same_run, assert_whole, metrics, results, snapshots

EXACT = ["--precision", "float32", "--device", "cpu"]
MLP = [
    *["--model-architecture", "LasagneMnistExample", "--model-params", "num_units=256"],
    *["--num-epochs", "8", "--batch-size", "20", "--chunk-size", "500"],
    *["--num-crops", "1", "--crop-shape", "(6, 6)", "--random-mirror"],
    *["--lr-policy", "cosine", "--warmup-epochs", "1.5", "--average-weights", "0.99"],
    *["--label-smoothing", "0.1", "--clip-gradient-norm", "5"],
]
"""With dropout, crops and mirrors at random, momentum at a rate that changes, and an average."""
CONVNET = [
    *["--model-architecture", "ConvNet", "--model-params", "lc0_num_filters=8:lc0_mp=True"],
    *["--num-epochs", "16", "--batch-size", "200", "--num-crops", "2", "--crop-shape", "(7, 7)"],
    *["--update-func-name", "adam", "--learning-rate", "0.003", "--adapt-learning-rate"],
    *["--weight-decay", "0.001", "--snapshot-every", "2", "--keep-snapshots", "2"],
]
OFTEN = ["--snapshot-minutes", "0.001"]


@pytest.fixture(scope="module")
def undisturbed(digits, zygote, tmp_path_factory):
    """Returns a function that gives the folder of a run without disturbances."""
    done = {}

    def run(options: list[str]) -> Path:
        if (key := tuple(options)) not in done:
            folder = tmp_path_factory.mktemp("undisturbed") / "run"
            arguments = ["--dataset-path", digits, *options, *EXACT, "--out-dir", folder]
            process = zygote.run_experiment(*arguments)
            assert process.wait() == 0, process.errors
            done[key] = folder
        return done[key]

    return run


@pytest.mark.parametrize("options", [MLP, CONVNET], ids=["mlp", "convnet"])
def test_kill_9_at_any_moment_costs_nothing(options, digits, undisturbed, zygote):
    """Snapshots are written all the time, so that it hits this, too."""
    whole, folder, rng = undisturbed(options), Path("run"), np.random.default_rng()
    arguments = ["--dataset-path", digits, *options, *EXACT, *OFTEN, "--out-dir", folder]
    for kill in range(4):
        process = zygote.run_experiment(*arguments)
        before = snapshots(folder)
        process.until(lambda before=before: snapshots(folder) not in ([], before))
        time.sleep(rng.uniform(0, 0.1))
        if not process.is_running() and kill:
            break
        process.signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, process.errors
        arguments = ["--resume", folder]
    process = zygote.run_experiment(*arguments)
    assert process.wait() == 0, process.errors
    assert "going on from run/model.snapshot-" in process.output
    assert_same_run(whole, folder)


def test_signals_stop_it_with_a_snapshot_within_the_epoch(digits, undisturbed, zygote):
    whole, folder, rng = undisturbed(MLP), Path("run"), np.random.default_rng()
    arguments = ["--dataset-path", digits, *MLP, *EXACT, "--out-dir", folder]
    for number, status, told in (
        (signal.SIGTERM, 143, "was asked to end by SIGTERM; go on with --resume run."),
        (signal.SIGINT, 130, "manage.py: interrupted; go on with --resume run"),
        (signal.SIGHUP, 129, "was asked to end by SIGHUP; go on with --resume run."),
    ):
        process, lines = zygote.run_experiment(*arguments), len(epochs(folder))
        process.until(lambda lines=lines: len(epochs(folder)) > lines)
        time.sleep(rng.uniform(0, 0.01))
        process.signal(number)
        assert process.wait() == status, process.errors
        (position,) = snapshots(folder)
        epoch, batch = map(int, position.split("-"))
        assert epoch == len(epochs(folder)) == results(folder)["epochs"]
        assert 1 <= batch <= -(-1433 // 20)
        assert results(folder)["stopped"] == "interrupted"
        assert process.output.count("\ninterrupted after ") == 1
        assert f"snapshot        run/model.snapshot-{position}.safetensors" in process.output
        notice, last = process.errors.split("\n")[1], process.errors.rstrip().split("\n")[-1]
        assert "the run stops after this batch; Ctrl-C" in notice
        assert told in last
        assert "Traceback" not in process.errors
        assert_whole(folder)
        arguments = ["--resume", folder]
    process = zygote.run_experiment(*arguments)
    assert process.wait() == 0, process.errors
    place = f"going on from run/model.snapshot-{position}.safetensors, epoch {epoch}, batch {batch}"
    assert f"{place}\n" in process.output
    assert process.errors == ""
    assert_same_run(whole, folder)


def epochs(folder: Path) -> list[dict[str, str]]:
    return metrics(folder) if (folder / "metrics.csv").exists() else []


def test_ctrl_c_twice_stops_at_once_with_the_last_whole_epoch(digits, undisturbed, zygote):
    folder = Path("run")
    process = zygote.run_experiment("--dataset-path", digits, *MLP, *EXACT, "--out-dir", folder)
    process.until(lambda: len(epochs(folder)) > 1)
    process.signal(signal.SIGINT)
    process.until(lambda: "Ctrl-C" in process.errors)
    if process.is_running():
        process.signal(signal.SIGINT)
    assert process.wait() == 130, process.errors
    assert process.output.count("\ninterrupted after ") == 1
    assert process.errors.endswith("\nmanage.py: interrupted; go on with --resume run\n")
    (position,) = snapshots(folder)
    assert int(position.partition("-")[0]) == len(epochs(folder))
    process = zygote.run_experiment("--resume", folder)
    assert process.wait() == 0, process.errors
    assert_same_run(undisturbed(MLP), folder)
