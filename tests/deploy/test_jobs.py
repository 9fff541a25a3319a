"""Jobs on the machine: to their end, through a lost connection, stopped, lost; and their runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UsageError
from deploy.jobs import _end, parse_command
from tests.deploy.helpers import FILES, NAME, changed, digests, epochs, until

VALID = ("check", "create_demo_dataset", "run_experiment")
SHORT = (
    "run_experiment --dataset-path {data} --model-architecture SingleLayerMlp "
    "--model-params num_units=32 --num-epochs 4 --precision float32 --test-at-end --out-dir {out}"
)
LONG = SHORT.replace("epochs 4", "epochs 100000").replace(" --test-at-end", "")


def newest_job(on_machine) -> Path:
    """The folder there of the job that was started last."""
    return max(on_machine(f"{FILES}/jobs/any").parent.iterdir(), key=lambda job: int(job.name))


def training_process(rented) -> int:
    """The number of the process that trains there, 0 without one."""
    return next(iter(rented.processes("manage.py run_experiment --dataset")), 0)


def test_an_experiment_there_is_the_same_as_here(fab, digits_there, digits, tmp_path, on_machine):
    command = SHORT.format(data=digits, out=tmp_path / "here").split()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    manage = [sys.executable, "manage.py", *command]
    here = subprocess.Popen(manage, cwd=fab.folder, env=environment, stdout=subprocess.DEVNULL)

    output = fab("run", "--command", SHORT.format(data=digits_there, out="runs/short"))
    assert re.search(r"^job \d+ on throwaway", output)
    assert "epoch 4 of 4: " in output
    assert re.search(r"^job \d+ finished after .*$", output, re.MULTILINE)

    assert "new in" in fab("fetch", "--to", str(tmp_path))
    brought, there = tmp_path / fab.name / "short", on_machine(f"{FILES}/runs/short")
    assert digests(brought) == digests(there)
    assert here.wait() == 0
    before = epochs(brought / "metrics.csv")
    assert before == epochs(tmp_path / "here" / "metrics.csv")
    results = [
        json.loads((folder / "results.json").read_text()) | {"seconds": 0}
        for folder in (brought, tmp_path / "here")
    ]
    assert results[0] == results[1]
    assert results[0]["testing_accuracy"] > 0.5

    shutil.rmtree(there)  # as on another machine, to which the run is taken
    resume = re.search(r"--resume \S+", fab("push-data", str(brought)))[0]
    assert resume == "--resume runs/short"
    assert digests(there) == digests(brought)
    fab("run", "--command", f"run_experiment {resume} --num-epochs 6")
    fab("fetch", "--to", str(tmp_path))
    assert epochs(brought / "metrics.csv")[:4] == before
    assert len(epochs(brought / "metrics.csv")) == 6
    newest = newest_job(on_machine)
    log = tmp_path / fab.name / "jobs" / newest.name / "output.log"
    assert log.read_bytes() == (newest / "output.log").read_bytes()


def test_a_job_survives_the_connection_and_is_stopped(fab, digits_there, rented, on_machine):
    command = LONG.format(data=digits_there, out="runs/long")
    following = fab.start("run", "--command", f"THEANO_FLAGS=floatX=float32 {command}")
    run = on_machine(f"{FILES}/runs/long")
    until(lambda: (run / "metrics.csv").is_file() and epochs(run / "metrics.csv"))
    rented.drop_connections()
    said = following.communicate(timeout=60)[0]
    assert following.returncode == 1
    number = re.search(r"^job (\d+) on", said)[1]
    assert f"Job {number} runs on; '{fab.again} attach --job {number}' comes back to it." in said
    variables = Path(f"/proc/{training_process(rented)}/environ").read_bytes().split(b"\0")
    assert b"THEANO_FLAGS=floatX=float32" in variables
    reached = len(epochs(run / "metrics.csv"))
    until(lambda: len(epochs(run / "metrics.csv")) > reached)
    assert re.search(rf"^ *{number} .* running for \d+ s: THEANO_FLAGS=", fab("jobs"), re.M)
    refused = fab("stop", "--job", "99", status=1)
    assert "There is no job 99; there are: " in refused

    left = fab.start("attach", "--job", number)
    shown = iter(left.stdout.readline, "")
    assert next((line for line in shown if line.startswith("epoch ")), "")
    left.send_signal(signal.SIGINT)
    assert f"job {number} runs on; '{fab.again} attach --job" in left.communicate(timeout=60)[0]
    assert left.returncode == 130

    attached = fab.start("attach")
    stopped = fab("stop")
    seen = attached.communicate(timeout=60)[0]
    assert attached.returncode == 143
    assert "epoch 1 of 100000" in seen
    assert f"job {number} stopped after " in seen
    assert f"job {number} was sent SIGTERM" in stopped
    assert "SIGTERM: the run stops after this batch" in stopped
    assert "epoch 1 of" not in stopped
    assert re.search(r"job \d+ stopped after \d+ s, status 143", stopped)
    results = json.loads((run / "results.json").read_text())
    assert results["stopped"] == "interrupted"
    assert list(run.glob("*.safetensors"))
    assert f"Job {number} is not running: it is stopped." in fab("stop", "--job", number, status=1)
    assert "No job is running on" in fab("stop", status=1)


def test_no_shell_sees_an_argument(fab, deployed, rented, tmp_path, on_machine):
    evil = "$(touch hacked); `touch hacked` | touch hacked & 'touch hacked' > hacked"
    output = fab("run", "--command", f'create_demo_dataset "{evil}"')
    assert f"Wrote {evil}/digits.pkl.zip" in output
    assert (on_machine(NAME) / evil / "digits.pkl.zip").is_file()
    fab("fetch", "--to", str(tmp_path))
    mine = tmp_path / fab.name / "versions" / on_machine(NAME).resolve().name
    assert digests(mine) == {
        f"{evil}/digits.pkl.zip": digests(on_machine(NAME) / evil)["digits.pkl.zip"]
    }
    assert not [path for path in rented.home.rglob("hacked")]


def test_what_a_running_job_needs_and_what_jobs_wrote_stays(
    fab, digits_there, rented, tmp_path, on_machine
):
    """Through two deployments, and through the end of the job's supervisor."""
    if not on_machine(f"{NAME}-prev").exists():
        with changed(fab.folder / "changing.txt", "0"):
            fab("deploy", "--skip-env-setup", "--dirty")
    following = fab.start("run", "--command", LONG.format(data=digits_there, out="runs/stays"))
    version, older = on_machine(NAME).resolve(), on_machine(f"{NAME}-prev").resolve()
    until(lambda: (on_machine(f"{FILES}/runs/stays") / "metrics.csv").is_file())
    training = until(lambda: training_process(rented))
    rented.signal(training, signal.SIGSTOP)  # so that the rest is not slowed down
    for folder in (older / "searches" / "a", older / "datasets" / "mine"):
        folder.mkdir(parents=True)
        (folder / "trials").write_text("written by a job")
    (older / "datasets" / "__pycache__").mkdir(exist_ok=True)
    environments = on_machine(f"{FILES}/environments")
    for name in ("held", "unused"):
        (environments / name).mkdir()
        shutil.chown(environments / name, rented.user)
    job = newest_job(on_machine) / "job.json"
    job.write_text(
        json.dumps(json.loads(job.read_text()) | {"environment": str(environments / "held")})
    )

    for text in ("1", "2"):
        with changed(fab.folder / "changing.txt", text):
            fab("deploy", "--skip-env-setup", "--dirty")
    assert version.is_dir()
    assert version not in {on_machine(NAME).resolve(), on_machine(f"{NAME}-prev").resolve()}
    used = {on_machine(f".virtualenvs/{NAME}").resolve(), environments / "held"}
    assert {*environments.iterdir()} == used
    assert {"searches/a/trials", "datasets/mine/trials"} <= digests(older).keys()
    assert not (older / "manage.py").exists()
    fab("fetch", "--to", str(tmp_path))
    assert digests(tmp_path / fab.name / "versions" / older.name) == digests(older)

    supervisor = int(Path(f"/proc/{training}/stat").read_text().rpartition(")")[2].split()[1])
    rented.signal(supervisor, signal.SIGKILL)
    rented.signal(training, signal.SIGCONT)
    assert re.search(r"running for \d+ .*: .*runs/stays", fab("jobs"))
    assert "SIGTERM: the run stops after this batch" in fab("stop")
    results = on_machine(f"{FILES}/runs/stays") / "results.json"
    assert json.loads(results.read_text())["stopped"] == "interrupted"
    said = following.communicate(timeout=60)[0]
    assert "lost: it ended without a word" in said
    assert following.returncode == 1


def test_a_job_that_fails(fab, deployed):
    output = fab("run", "--command", "create_demo_dataset", status=2)
    assert re.search(r"job \d+ failed after \d+ s, status 2", output)
    assert "Did you mean 'run_experiment'?" in fab("run", "--command", "run_experimnt", status=2)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({"state": "finished", "status": 0}, "finished after 2 min"),
        (
            {"state": "failed", "status": 137},
            "failed after 2 min: killed, most often because memory",
        ),
        ({"state": "stopped", "status": 143}, "stopped after 2 min, status 143"),
    ],
)
def test_how_a_job_ended(end, words):
    assert _end({"started": 0, "ended": 120} | end).startswith(words)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("check", ["check"]),
        ("python manage.py check --device cpu", ["check", "--device", "cpu"]),
        ("manage.py check", ["check"]),
        ("A=1 B='a b' python manage.py check A=2", ["A=1", "B=a b", "check", "A=2"]),
        ("check '*' \"a b\" $HOME", ["check", "*", "a b", "$HOME"]),
    ],
)
def test_a_command_is_split_as_a_shell_does(command, words):
    assert parse_command(command, VALID) == words


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "--command is empty"),
        ("check 'a", "can't be read: No closing quotation"),
        ("rm -rf /", "Unknown command 'rm'"),
    ],
)
def test_what_is_no_command(command, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_command(command, VALID)
