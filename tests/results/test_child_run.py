"""A run in a process: its devices, its lock, and its end with the starter's; a search's folder."""

import signal
import time
from pathlib import Path

import pytest

from commands import main
from common.errors import CommandError
from common.host import usable_cores
from results import child_run, places
from results.child_run import ChildRun
from results.places import environments
from results.search.folder import SearchFolder, key_of
from training.experiment import Experiment
from training.search.options import Search


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_keeps_its_log_locked(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import sys, time\nprint(sys.argv[1:], flush=True)\ntime.sleep(60)\n")
    monkeypatch.setattr(child_run, "MANAGE", program)
    first, second = ChildRun(tmp_path / "eval"), ChildRun(tmp_path / "eval")
    assert first.take()
    assert not second.take()
    first.go_on_or_begin(["--num-epochs", "3"], experiment(), {})
    assert not second.take()
    log = tmp_path / "eval" / "log.txt"
    until(lambda: log.read_text().count("\n") == 2)
    assert first.poll() is None
    first.stop()
    until(lambda: first.poll() is not None)
    assert first.poll() == -signal.SIGTERM
    assert second.take()
    second.release()
    command, arguments = log.read_text().splitlines()
    folder = tmp_path / "eval"
    assert command == f"$ python manage.py run_experiment --num-epochs 3 --out-dir {folder}"
    assert arguments == f"['run_experiment', '--num-epochs', '3', '--out-dir', '{folder}']"


def test_one_that_does_not_end_is_killed(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(child_run, "MANAGE", program)
    monkeypatch.setattr(child_run, "GRACE", 0.2)
    stubborn = ChildRun(tmp_path / "eval")
    assert stubborn.take()
    stubborn.go_on_or_begin([], experiment(), {})
    until(lambda: (tmp_path / "eval" / "log.txt").read_text().count("\n") == 2)
    stubborn.stop()
    until(lambda: stubborn.poll() is not None)
    assert stubborn.poll() == -signal.SIGKILL


def command_line(folder: Path, arguments: list[str], **options) -> str:
    """Starts an evaluation's process and kills it at once; returns what its log begins with."""
    one = ChildRun(folder)
    assert one.take()
    one.go_on_or_begin(arguments, experiment(**options), {})
    one.kill()
    lines = (folder / "log.txt").read_text().splitlines()
    return [line for line in lines if line.startswith("$ ")][-1].partition("manage.py ")[2]


def test_a_run_goes_on_from_a_whole_snapshot_and_else_begins_anew(digits, tmp_path):
    folder = tmp_path / "eval"
    network = ["--dataset-path", str(digits), "--model-architecture", "SingleLayerMlp"]
    run = [*network, "--num-epochs", "2", "--snapshot-every", "1", "--device", "cpu"]
    assert main(["run_experiment", *run, "--out-dir", str(folder)]) == 0
    resumed = f"run_experiment --resume {folder} --device auto --num-devices 4"
    last, first = (folder / f"model.snapshot-{epoch}.safetensors" for epoch in (2, 1))
    last.write_bytes(last.read_bytes()[:-1])  # a power failure
    assert ChildRun(folder).can_go_on
    assert command_line(folder, run, num_devices=4) == resumed
    first.rename(folder / "model.snapshot-1.before-1.safetensors")  # as `set_aside` does
    assert not ChildRun(folder).can_go_on
    assert (folder / "metrics.csv").exists()
    assert command_line(folder, ["--seed", "3"]) == f"run_experiment --seed 3 --out-dir {folder}"
    assert not (folder / "metrics.csv").exists()
    assert not (folder / "results.json").exists()


def experiment(**options) -> Experiment:
    return Experiment(Path("d"), "ConvNet", **options)


def test_gpus_are_dealt_out_and_cores_shared(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7,GPU-8")
    threads = str(max(1, int(usable_cores() / 3)))
    assert environments(3, experiment(), {"A": "b"}) == [
        {"A": "b", "OMP_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": gpu}
        for gpu in ("3", "5", "7")
    ]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    several = environments(3, experiment(num_devices=2), {})
    assert [one["CUDA_VISIBLE_DEVICES"] for one in several] == ["3,5", "7,GPU-8", "3,5"]
    for chosen in ({"device": "cpu"}, {"device": "cuda:1"}):
        assert environments(2, experiment(**chosen), {}) == [{}, {}]
    assert (
        environments(2, experiment(), {"THEANO_FLAGS": "device=gpu1"})
        == [{"THEANO_FLAGS": "device=gpu1"}] * 2
    )
    assert environments(1, experiment(), {}) == [{}]


def test_the_gpus_are_those_that_pytorch_sees(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(places, "COUNT", "print(2)")
    assert environments(2, experiment(), {}) == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]


def search(folder: Path, base_cmd: str = "run_experiment --seed 1", **options) -> Search:
    return Search(base_cmd, folder, **options)


def test_a_folder_is_one_searchs(tmp_path):
    with SearchFolder(search(tmp_path)), pytest.raises(CommandError, match="Another search_hyper"):
        SearchFolder(search(tmp_path))
    SearchFolder(search(tmp_path, "run_experiment   --seed '1'", max_evals=50)).close()
    with pytest.raises(
        CommandError, match=r"another --algorithm, --seed; .*--config .*search.yaml"
    ):
        SearchFolder(search(tmp_path, algorithm="random", seed=3))
    with pytest.raises(CommandError, match="another BASE_CMD"):
        SearchFolder(search(tmp_path, "run_experiment --seed 2"))


def test_a_folder_of_anything_else_is_left_alone(tmp_path):
    results = tmp_path / "results.json"
    results.write_text("of a run")
    with pytest.raises(CommandError, match=r"holds no search, but results.json; choose a LOG_DIR"):
        SearchFolder(search(tmp_path))
    assert [*tmp_path.iterdir()] == [results]
    assert results.read_text() == "of a run"


def test_an_evaluations_folder_is_found_by_its_arguments(tmp_path):
    with SearchFolder(search(tmp_path)) as folder:
        first = folder.evaluation(3, ["--seed", "1"], ())
        assert first == tmp_path / f"eval-0003-{key_of(['--seed', '1'])}"
        first.mkdir()
        assert folder.evaluation(7, ["--seed", "1"], ()) == first
        assert folder.evaluation(7, ["--seed", "1"], [first]).name.startswith("eval-0007-")
        assert folder.evaluation(3, ["--seed", "2"], ()) != first
    assert key_of(["a b"]) != key_of(["a", "b"])
