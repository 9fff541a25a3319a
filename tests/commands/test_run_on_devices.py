"""run_experiment on several devices, here parts of the CPU's cores, gives what one gives."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import TCPStore

from commands import main
from datasets.container import write_dataset
from tests.forking import Forked, Zygote
from tests.paths import ROOT
from tests.recorded import spectra, write
from tests.runs import metrics, results, snapshots
from training.snapshots import load_snapshot

EXACT = ["--precision", "float64", "--device", "cpu"]
TWO = ["--num-devices", "2"]
NETWORK = """
from lasagne.layers import *
from lasagne.nonlinearities import softmax


def normalised(incoming, num_classes):
    return DenseLayer(batch_norm(DenseLayer(incoming, 12)), num_classes, nonlinearity=softmax)
"""

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


def experiment(*arguments: str | Path) -> int:
    return main(["run_experiment", *map(str, arguments)])


def assert_close(one: Path, other: Path, interrupted: int = 0) -> None:
    """Asserts that two runs have come to the same, but for sums being added up in other orders.

    In an `interrupted` epoch the training loss is known of one process's part alone.
    """
    lines, expected = metrics(one), metrics(other)
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        for name, value in wanted.items():
            near = 0.2 if name == "training_loss" and int(line["epoch"]) == interrupted else 1e-9
            assert float(line[name]) == pytest.approx(float(value), rel=near), (name, line)
    stem = expected[-1]["epoch"]
    first, second = (
        load_snapshot(folder / f"model.snapshot-{stem}.safetensors") for folder in (one, other)
    )
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in second.tensors.items():
        torch.testing.assert_close(first.tensors[name], tensor, rtol=1e-9, atol=1e-9)
    assert results(one)["testing_loss"] == pytest.approx(results(other)["testing_loss"], rel=1e-9)


def test_two_devices_give_what_one_gives(digits, capfd):
    """Of the last batch, of one instance, the first process has none."""
    Path("net.py").write_text(NETWORK)
    options = ["--dataset-path", digits, "--model-architecture", "net.py:normalised", *EXACT]
    options += ["--batch-size", "358", "--num-epochs", "3", "--chunk-size", "800"]
    options += ["--num-crops", "1", "--crop-shape", "(6, 6)", "--random-mirror"]
    options += ["--average-weights", "0.9", "--label-smoothing", "0.1", "--divide-by-std"]
    options += ["--clip-gradient-norm", "1", "--evaluation-crops", "ten", "--test-at-end"]
    assert experiment(*options, *TWO) == 0
    output, errors = capfd.readouterr()
    assert errors == ""
    for text in ("device cpu in float64", "epoch 1 of 3: ", "finished after 3", "testing accuracy"):
        assert output.count(text) == 1
    (run,) = Path("runs").iterdir()
    assert f"\nrun {run}\n" in output
    assert snapshots(run) == ["3"]
    assert experiment(*options, "--out-dir", "alone") == 0
    assert_close(run, Path("alone"))


def test_gradients_of_one_channels_weights_are_no_reason_for_a_warning(digits, capfd):
    """A convolution gives them other strides than the weights have."""
    options = ["--dataset-path", digits, "--model-architecture", "ConvNet", "--device", "cpu"]
    options += ["--model-params", "lc0_num_filters=4:ld0_num_units=8", "--num-epochs", "1"]
    assert experiment(*options, "--precision", "float32", *TWO) == 0
    assert capfd.readouterr().err == ""


def test_under_torchrun_too(digits):
    options = ["--dataset-path", str(digits), "--model-architecture", "SingleLayerMlp", *EXACT]
    options += ["--batch-size", "101", "--num-epochs", "2", "--micro-batch-size", "7"]
    options += ["--test-at-end"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [str(ROOT / "manage.py"), "run_experiment", *options, "--out-dir", "two"]
    process = subprocess.run(
        [sys.executable, *torchrun, *command], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("epoch 1 of 2: ") == 1
    assert experiment(*options, "--out-dir", "alone") == 0
    assert_close(Path("two"), Path("alone"))


@pytest.fixture
def start_two(zygote: Zygote) -> Callable[..., list[Forked]]:
    """Returns a function that starts run_experiment in two processes, as torchrun does."""
    stores = []  # in which they find each other

    def start(*arguments: str | Path) -> list[Forked]:
        stores.append(TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
        variables = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        variables |= {"MASTER_PORT": str(stores[-1].port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
        numbers = [variables | {"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
        return [zygote.run_experiment(*arguments, variables=each) for each in numbers]

    return start


def after_epochs(count: int, act: Callable[[], None]) -> threading.Thread:
    """Does something in another thread once the run has so many lines of metrics."""

    def wait() -> None:
        file, end = Path.cwd() / "run" / "metrics.csv", time.monotonic() + 120
        while not file.exists() or file.read_text().count("\n") <= count:
            assert time.monotonic() < end
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_runs_that_end_too_early_go_on_with_any_number_of_devices(digits, start_two, capfd):
    options = ["--dataset-path", digits, "--model-architecture", "SingleLayerMlp", *EXACT]
    options += ["--model-params", "num_units=32", "--batch-size", "60", "--num-epochs", "25"]
    options += ["--test-at-end"]
    # One of two processes is killed.
    ranks = start_two(*options, "--out-dir", "run")
    thread = after_epochs(2, lambda: ranks[1].signal(signal.SIGKILL))
    assert [rank.wait() for rank in ranks] == [1, -signal.SIGKILL]
    thread.join()
    assert ranks[0].errors == (
        "manage.py: Process 2 of the 2 that train together has died; what it told, if anything, "
        "stands above. Go on with --resume run.\n"
    )
    assert ranks[0].output.count("\ninterrupted after ") == 1
    assert (ranks[1].output, ranks[1].errors) == ("", "")
    (position,) = snapshots(Path("run"))
    epochs = len(metrics(Path("run")))
    assert position.partition("-")[0] == str(epochs)  # "4", where the first batch was not over
    assert results(Path("run"))["stopped"] == "interrupted"
    # What has started two is told to end.
    thread = after_epochs(epochs + 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert experiment("--resume", "run", *TWO) == 143
    thread.join()
    output, errors = capfd.readouterr()
    assert errors == (
        "\nSIGTERM: the run stops after this batch; Ctrl-C stops it at once\n"
        "manage.py: The training was asked to end by SIGTERM; go on with --resume run.\n"
    )
    assert f"going on from run/model.snapshot-{position}.safetensors" in output
    assert output.count("\ninterrupted after ") == 1
    assert snapshots(Path("run"))[-1].startswith(f"{len(metrics(Path('run')))}-")
    # What was said last goes on: two, until one is asked for.
    assert experiment("--resume", "run", "--num-epochs", "20") == 0
    assert "\ndevice cpu in float64, 2 processes\n" in capfd.readouterr().out
    assert experiment("--resume", "run", "--num-epochs", "25", "--num-devices", "1") == 0
    assert "\ndevice cpu in float64\n" in capfd.readouterr().out
    assert experiment(*options, "--out-dir", "alone") == 0
    assert_close(Path("run"), Path("alone"), interrupted=epochs + 1)


def test_patches_of_recordings(tmp_path, start_two):
    """Each normalised by its own recording's mean and deviation, on whichever device it is."""
    path = tmp_path / "x.pkl.zip"
    write(path, spectra([60, 45, 50, 70, 30, 41, 55, 66], bands=8))
    options = ["--dataset-path", path, "--model-architecture", "oNetOne", *EXACT, "--folds", "3"]
    options += ["--model-params", "onet_frames=6,11:dropout=0", "--patch-frames", "20"]
    options += ["--patch-hop", "9", "--spectrogram-normalisation", "local", "--batch-size", "7"]
    options += ["--num-epochs", "2", "--test-at-end"]
    ranks = start_two(*options, "--out-dir", "two")
    assert [rank.wait() for rank in ranks] == [0, 0]
    assert ranks[0].errors == ranks[1].errors == ""
    assert experiment(*options, "--out-dir", "one") == 0
    assert_close(Path("two"), Path("one"))
    assert Path("two/predictions.csv").read_text() == Path("one/predictions.csv").read_text()


def test_divergence_of_one_process_is_told_once_and_names_the_layer(tmp_path, start_two):
    """The last batch has one instance: the second process's, which is no number."""
    rng, arrays = np.random.default_rng(0), {}
    for name, count in {"training": 41, "validation": 8, "testing": 8}.items():
        arrays[name] = rng.random((count, 5), np.float32), np.arange(count, dtype=np.int32) % 2
    arrays["training"][0][-1, 3] = float("nan")
    path, labels = tmp_path / "a.pkl.zip", {"a": 0, "b": 1}
    write_dataset(path, arrays, labels, layout="flat", scale=1.0, picture_shape=None)
    options = ["--dataset-path", path, "--model-architecture", "SingleLayerMlp", "--no-shuffle"]
    options += ["--batch-size", "10", "--no-subtract-mean", "--snapshot-minutes", "0.0000001"]
    ranks = start_two(*options, *EXACT, "--out-dir", "run")
    assert [rank.wait() for rank in ranks] == [3, 3]
    output, errors = ranks[0].output, ranks[0].errors
    assert (ranks[1].output, ranks[1].errors) == ("", "")
    assert errors.startswith(
        "manage.py: The training loss is not finite in batch 5 of epoch 1, at first in the values "
        "of the batch at layer 'input': the training diverged; "
    )
    assert errors.count("\n") == 1
    assert snapshots(Path("run")) == ["0-4"]
    assert results(Path("run"))["stopped"] == "diverged"
    assert output.count("\ndiverged after 0 epochs, ") == 1


@pytest.mark.parametrize("by_torchrun", [True, False])
def test_a_folder_that_holds_a_run_is_told_once(digits, start_two, capfd, by_torchrun):
    options = ["--dataset-path", digits, "--model-architecture", "SingleLayerMlp", *EXACT]
    options += ["--num-epochs", "1", "--out-dir", "run"]
    assert experiment(*options) == 0
    capfd.readouterr()
    if by_torchrun:
        ranks = start_two(*options)
        assert [rank.wait() for rank in ranks] == [1, 1]
        output = ranks[0].output + ranks[1].output
        errors = ranks[0].errors + ranks[1].errors
    else:
        assert experiment(*options, *TWO) == 1
        output, errors = capfd.readouterr()
    assert errors == (
        "manage.py: run holds a run already; choose another --out-dir, or go on with it by "
        "run_experiment --resume run.\n"
    )
    assert output == ""
