"""Processes for the devices of an experiment: started, ended together, refused."""

import os
import sys
import time
from pathlib import Path

import pytest

from common.errors import CommandError
from common.options import to_plain
from results import launch
from results.launch import needs_launch, run_processes
from training.experiment import Experiment


def test_the_first_failure_ends_all(monkeypatch):
    """The others get a SIGTERM, and the status is that of the one that failed by itself."""
    program = "import os, sys, time; time.sleep(60 * (os.environ['RANK'] != '1')); sys.exit(3)"
    monkeypatch.setattr(launch, "NOTICE", 0.5)
    begin = time.monotonic()
    assert run_processes([sys.executable, "-c", program], 3) == 3
    assert time.monotonic() - begin < 10


def test_processes_that_a_signal_ended_fail():
    program = "import os; os.kill(os.getpid(), 9)"
    assert run_processes([sys.executable, "-c", program], 2) == 1
    assert run_processes([sys.executable, "-c", ""], 2) == 0


def experiment(**options) -> Experiment:
    return Experiment(Path("digits.pkl.zip"), "ConvNet", **options)


def test_who_starts_the_processes(monkeypatch):
    assert not needs_launch(experiment())
    assert needs_launch(experiment(num_devices=2))
    with pytest.raises(CommandError, match=r"--num-devices is 0; give at least 1\."):
        needs_launch(experiment(num_devices=0))
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_ADDR": "a", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert not needs_launch(experiment())
    assert not needs_launch(experiment(num_devices=2))
    with pytest.raises(CommandError, match="is 3, but torchrun has started 2 processes already"):
        needs_launch(experiment(num_devices=3))


def test_there_must_be_enough_devices():
    there = len(os.sched_getaffinity(0))
    with pytest.raises(CommandError, match=f"more than the {there} cores .*; give at most {there}"):
        launch.launch(experiment(num_devices=there + 1, device="cpu"))


PROGRAM = """
import json, os, sys, pathlib, yaml
assert sys.argv[1:3] == ["run_experiment", "--config"]
options = yaml.safe_load(pathlib.Path(sys.argv[3]).read_text())
if options["seed"]:
    sys.exit(3)
if os.environ["RANK"] == "0":
    (pathlib.Path(options["out_dir"]) / "results.json").write_text(json.dumps(options))
"""


def test_launch_returns_the_results(tmp_path, monkeypatch):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    monkeypatch.setattr(launch, "MANAGE", tmp_path / "manage.py")
    launch.MANAGE.write_text(PROGRAM)
    started = experiment(num_devices=2, device="cpu", crop_shape=(2, 3), learning_rate=1e-5)
    results = launch.launch(started)
    assert results["run"] == results["out_dir"]
    assert Path(results["run"]).parent == Path("runs")
    expected = to_plain(started) | {"out_dir": results["out_dir"], "run": results["run"]}
    assert results == expected
    with pytest.raises(SystemExit) as ending:
        launch.launch(experiment(num_devices=2, device="cpu", seed=1))
    assert ending.value.code == 3
    assert len(list(Path("runs").iterdir())) == 1
