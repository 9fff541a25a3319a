"""search_hyperparams as a person runs it: real processes, real interruptions."""

import csv
import fcntl
import json
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import hyperopt
import pytest

from commands import main
from tests.paths import ROOT

MANAGE = [sys.executable, str(ROOT / "manage.py")]
BASE = (
    "python manage.py run_experiment --dataset-path {} --model-architecture SingleLayerMlp "
    "--device cpu --precision float32"
)
UNITS = ["--model-params-space", "num_units__qloguniform=2,4,1"]


@pytest.fixture
def base(digits) -> str:
    return BASE.format(digits)


def search(*arguments: str) -> int:
    return main(["search_hyperparams", *arguments])


def start(*arguments: str, **options) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*MANAGE, "search_hyperparams", *arguments], **(streams | options))


def begun(folder: Path) -> Path:
    """A search that has no evaluation yet, but is past its rehearsal, which takes seconds."""
    folder.mkdir()
    (folder / "trials.pkl").write_bytes(pickle.dumps(hyperopt.Trials()))
    return folder


def read_trials(folder: Path) -> list[dict]:
    trials = pickle.loads((folder / "trials.pkl").read_bytes())
    assert isinstance(trials, hyperopt.Trials)
    return trials.trials


def states(folder: Path) -> list[int]:
    return [trial["state"] for trial in read_trials(folder)]


def epochs(folder: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv without what a clock measures."""
    with (folder / "metrics.csv").open() as file:
        return [
            {k: v for k, v in line.items() if "seconds" not in k and "images" not in k}
            for line in csv.DictReader(file)
        ]


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for(folder: Path, pattern: str) -> None:
    until(lambda: list(folder.glob(pattern)))


def wait_for_an_epoch(folder: Path, number: int) -> None:
    """Waits for more than the metrics' heading, which is there before there is anything to keep."""

    def has_one() -> bool:
        found = folder.glob(f"eval-000{number}-*/metrics.csv")
        return any(len(file.read_text().splitlines()) > 1 for file in found)

    until(has_one)


def children(process: subprocess.Popen) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(word) for word in text.split()]


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_search_and_how_it_goes_on(base, tmp_path, capsys):
    log_dir = tmp_path / "search"
    arguments = [f"{base} --num-epochs 2 --test-at-end", str(log_dir), *UNITS]
    assert search(*arguments, "--max-evals", "2", "--num-parallel", "2") == 0
    shown = capsys.readouterr().out
    folders = sorted(log_dir.glob("eval-*"))
    assert [folder.name[:9] for folder in folders] == ["eval-0001", "eval-0002"]
    for folder in folders:
        assert {"log.txt", "metrics.csv", "experiment.yaml", "results.json"} <= {
            file.name for file in folder.iterdir()
        }
        assert "testing" not in (folder / "results.json").read_text()
    errors = [trial["result"]["loss"] for trial in read_trials(log_dir)]
    for folder, error in zip(folders, errors, strict=True):
        best = max(float(line["validation_accuracy"]) for line in epochs(folder))
        assert error == 1 - best

    results = json.loads((log_dir / "results.json").read_text())
    number = errors.index(min(errors))
    assert (results["evaluations"], results["failed"]) == (2, 0)
    assert results["best"]["evaluation"] == number + 1
    assert shown.splitlines()[-1] == results["best"]["command"]
    assert (log_dir / "search.png").stat().st_size > 10_000
    words = shlex.split(results["best"]["command"])
    assert words[:3] == ["python", "manage.py", "run_experiment"]
    assert main([*words[2:], "--no-test-at-end", "--out-dir", "again"]) == 0
    assert epochs(tmp_path / "again") == epochs(folders[number])

    before = [(folder / "log.txt").read_text() for folder in folders]
    (log_dir / "trials.pkl").unlink()  # the folders alone are enough to find what was evaluated
    capsys.readouterr()
    assert (
        main(["search_hyperparams", "--config", str(log_dir / "search.yaml"), "--max-evals", "3"])
        == 0
    )
    assert len(read_trials(log_dir)) == 3
    assert [trial["result"]["loss"] for trial in read_trials(log_dir)][:2] == errors
    assert [(folder / "log.txt").read_text() for folder in folders] == before


def test_memory_that_is_not_enough_and_a_command_line_that_was_run(base, tmp_path, capsys):
    """The network of 5e13 bytes is real; one command line is run once, and fails once."""
    space = ["--model-params-space", "num_units__choice=100000000000"]
    disabled = ["--disabled-hyperparams", "update_func,learning_rate"]
    log_dir = begun(tmp_path / "search")
    arguments = [f"{base} --num-epochs 1", str(log_dir), *space, *disabled]
    assert search(*arguments, "--max-evals", "3") == 1
    shown = capsys.readouterr()
    assert "evaluation 3 has the command line of 1" in shown.out
    assert "None of the 3 evaluations succeeded; the last one out of memory: There is" in shown.err
    results = [trial["result"] for trial in read_trials(log_dir)]
    assert results == [results[0]] * 3
    assert (results[0]["stopped"], results[0]["loss"]) == ("out of memory", 1.0)
    assert len(list(log_dir.glob("eval-*"))) == 1


def test_after_kill_9_an_evaluation_comes_to_what_it_would_have(base, tmp_path):
    """The search is killed alone, and then together with the evaluation."""
    log_dir = begun(tmp_path / "search")
    command = f"{base} --num-epochs 20 --snapshot-every 1 --keep-snapshots 2"
    arguments = [command, str(log_dir), *UNITS, "--max-evals", "1"]
    first = start(*arguments)
    wait_for(log_dir, "eval-0001-*/model.snapshot-3.safetensors")
    (child,) = children(first)
    first.kill()
    first.communicate()
    second = start(*arguments)
    (folder,) = log_dir.glob("eval-*")
    log = folder / "log.txt"
    until(lambda: "going on from" in log.read_text())
    assert not is_alive(child)
    (child,) = children(second)
    second.kill()
    os.kill(child, signal.SIGKILL)
    output, _ = second.communicate()
    assert "evaluation 1 goes on from its snapshot" in output
    third = start(*arguments)
    output, _ = third.communicate()
    assert third.returncode == 0, output
    assert "evaluation 1 goes on from its snapshot" in output
    assert len(re.findall(r"going on from .*snapshot-[1-9]", log.read_text())) == 2

    words = shlex.split(log.read_text().splitlines()[0].partition("manage.py ")[2])
    assert main([*words[:-1], "whole"]) == 0
    assert epochs(folder) == epochs(Path("whole"))
    (trial,) = read_trials(log_dir)
    best = max(float(line["validation_accuracy"]) for line in epochs(folder))
    assert (trial["result"]["loss"], trial["result"]["epochs"]) == (1 - best, 20)


def test_ctrl_c_in_a_pipeline_stops_the_child_too(base, tmp_path):
    """As in `search_hyperparams … | tee log`: what reads the output has ended before."""
    log_dir = begun(tmp_path / "search")
    process = start(base, str(log_dir), *UNITS, stderr=subprocess.PIPE)
    wait_for_an_epoch(log_dir, 1)
    (child,) = children(process)
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not is_alive(child)
    assert errors == (
        "\nCtrl-C: the evaluations stop after their batch; Ctrl-C once more stops them at once\n"
        "\nto go on: python manage.py search_hyperparams --config "
        f"{log_dir}/search.yaml\n\nmanage.py: interrupted\n"
    )
    assert states(log_dir) == [hyperopt.JOB_STATE_RUNNING]
    assert_interrupted(log_dir)


def assert_interrupted(log_dir: Path) -> None:
    """Asserts that the evaluation was ended with a snapshot."""
    (folder,) = log_dir.glob("eval-*")
    assert list(folder.glob("*.safetensors"))
    assert json.loads((folder / "results.json").read_text())["stopped"] == "interrupted"


def test_what_reads_the_output_ends(base, tmp_path):
    """As in `search_hyperparams … | head -1`, when one of two evaluations has failed."""
    log_dir = begun(tmp_path / "search")
    options = [*UNITS, "--num-parallel", "2", "--max-evals", "2"]
    process = start(base, str(log_dir), *options, stderr=subprocess.PIPE)
    for number in (1, 2):
        wait_for_an_epoch(log_dir, number)
    killed, other = children(process)
    process.stdout.close()
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")
    assert not is_alive(other)
    assert len(list(log_dir.glob("eval-*/*.safetensors"))) == 1
    assert sorted(states(log_dir)) == [hyperopt.JOB_STATE_RUNNING, hyperopt.JOB_STATE_DONE]


def test_a_terminal_that_is_closed_and_a_signal_from_elsewhere(base, tmp_path):
    log_dir = begun(tmp_path / "search")
    arguments = [base, str(log_dir), *UNITS, "--max-evals", "1"]
    ours, its = os.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), its)

    def control() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = start(*arguments, **streams, start_new_session=True, preexec_fn=control)
    os.close(its)
    wait_for_an_epoch(log_dir, 1)
    (child,) = children(process)
    os.close(ours)
    process.wait(timeout=60)
    assert not is_alive(child)
    assert_interrupted(log_dir)

    # As systemd does at shutdown, to all processes at about the same time.
    again = start(*arguments)
    (folder,) = log_dir.glob("eval-*")
    until(lambda: "going on from" in (folder / "log.txt").read_text())
    number = len(epochs(folder))
    until(lambda: len(epochs(folder)) > number)
    (child,) = children(again)
    os.kill(child, signal.SIGTERM)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 1
    assert output.endswith(
        f"manage.py: Something else has ended evaluation 1 by SIGTERM (log: {folder}/log.txt); "
        "repeat the command to go on with it.\n"
    )
    assert states(log_dir) == [hyperopt.JOB_STATE_RUNNING]
    assert_interrupted(log_dir)


def test_three_failures_for_the_same_reason_end_the_search(base, tmp_path, capsys):
    """They are counted on over a restart."""
    log_dir = begun(tmp_path / "search")
    arguments = [f"{base} --num-epochs 2", str(log_dir), "--learning-rate-range", "-0.1,61"]
    arguments += ["--disabled-hyperparams", "update_func"]
    assert search(*arguments, "--max-evals", "2", "--num-parallel", "2") == 1
    assert "None of the 2 evaluations succeeded" in capsys.readouterr().err
    assert search(*arguments) == 1
    shown = capsys.readouterr()
    assert "3 evaluations in a row diverged: The training loss is not finite" in shown.err
    results = [trial["result"] for trial in read_trials(log_dir)]
    assert [(one["status"], one["loss"]) for one in results] == [("fail", 1.0)] * 3
    for one in results:
        log = log_dir / one["folder"] / "log.txt"
        assert one["reason"] in log.read_text()
        assert f"(log: {log})" in shown.out
    assert json.loads((log_dir / "results.json").read_text())["best"] is None


def test_the_worse_half_ends_early(base, tmp_path, capsys):
    log_dir = begun(tmp_path / "search")
    arguments = [
        f"{base} --num-epochs 20", str(log_dir), "--disabled-hyperparams", "update_func",
        "--learning-rate-range", "-14,-1", "--early-stop", "--grace-epochs", "3",
        "--max-evals", "2", "--seed", "2",
    ]  # fmt: skip
    assert search(*arguments) == 0
    results = [trial["result"] for trial in read_trials(log_dir)]
    assert {one["stopped"] for one in results} == {"finished", "stopped early"}
    for one in results:
        lines = epochs(log_dir / one["folder"])
        best = max(float(line["validation_accuracy"]) for line in lines[: one["epochs"]])
        assert one["loss"] == 1 - best
        if one["stopped"] == "stopped early":
            assert one["epochs"] in (3, 6, 12)
            assert len(lines) < 20
    assert f"stopped early: validation error {results[-1]['loss']:.2%}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("base_cmd", "options", "status", "said"),
    [
        ("run_baseline d linear", [], 2, "is no run_experiment of this project"),
        ("{base} --learning-rat 1", [], 2, "can't be understood"),
        ("{base}", ["--model-params-space", "x__unifrm=0,1"], 1, "Did you mean 'uniform'"),
        ("{base}", ["--model-params-space", "x__uniform=0"], 1, "takes the numbers low, high"),
        ("{base}", ["--max-evals", "0"], 1, "--max-evals is 0; give at least 1"),
        ("{base} --dataset-path none", [], 1, "The dataset none does not exist"),
        ("{base} --model-params num_unit=3", [], 1, "would fail: SingleLayerMlp: Unknown param"),
        ("{base}", ["--algorithm", "grid"], 2, "tpe"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    base, tmp_path, capsys, base_cmd, options, status, said
):
    assert search(base_cmd.format(base=base), str(tmp_path / "search"), *options) == status
    assert said in capsys.readouterr().err
    assert not (tmp_path / "search").exists()
