"""Processes for the devices of an experiment: started, ended together, refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import CommandError
from common.options import to_plain
from results import launch
from results.launch import needs_launch, run_processes
from tests.paths import ROOT
from training.experiment import Experiment


@pytest.fixture
def program(tmp_path):
    """Returns a function that writes a program and returns its file."""

    def write(text: str) -> str:
        file = tmp_path / "program.py"
        file.write_text(text)
        return str(file)

    return write


def test_the_first_failure_ends_all(program, monkeypatch):
    """The others get a SIGTERM, and the status is that of the one that failed by itself."""
    text = "import os, sys, time; time.sleep(60 * (os.environ['RANK'] != '1')); sys.exit(3)"
    monkeypatch.setattr(launch, "NOTICE", 0.5)
    begin = time.monotonic()
    assert run_processes([program(text)], 3) == 3
    assert time.monotonic() - begin < 10


def test_processes_that_a_signal_ended_fail(program):
    assert run_processes([program("import os; os.kill(os.getpid(), 9)")], 2) == 1
    assert run_processes([program("")], 2) == 0


def test_all_end_with_a_launcher_that_is_killed(program, tmp_path):
    text = (
        "import os, pathlib, signal, sys, time\n"
        "own = pathlib.Path(sys.argv[1], os.environ['RANK'])\n"
        "def end(number, frame):\n"
        "    own.write_text(str(number))\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "own.touch()\n"
        "time.sleep(60)\n"
    )
    code = "import sys; from results.launch import run_processes; run_processes(sys.argv[1:], 2)"
    command = [sys.executable, "-c", code, program(text), str(tmp_path)]
    launcher = subprocess.Popen(command, cwd=ROOT)
    files, deadline = [tmp_path / "0", tmp_path / "1"], time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    launcher.kill()
    launcher.wait()
    while not all(file.read_text() == "15" for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
