"""Several processes, on the CPU, train as one does, and end together."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from results.launch import run_processes
from tests.paths import ROOT
from tests.training.one_of_several import (
    AXES,
    TYPES,
    data,
    small_network,
    train_plainly,
)
from training.distributed import ALONE, Group, joined, synchronise

SCRIPT = ROOT / "tests" / "training" / "one_of_several.py"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def start(mode: str, folder: Path, number: int, device: str = "cpu") -> int:
    return run_processes([str(SCRIPT), mode, str(folder), device], number)


def results(folder: Path, number: int) -> list[dict[str, Any]]:
    files = [folder / f"{rank}" for rank in range(number)]
    return [torch.load(file, map_location="cpu", weights_only=False) for file in files]


@given(st.integers(0, 1000), st.integers(1, 40))
def test_rows_are_dealt_out_evenly(count, size):
    parts = [range(count)[Group(rank, size).rows(count)] for rank in range(size)]
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert Group(0, size).largest_part(count) == max(map(len, parts))


def test_alone_nothing_changes():
    network, numbers = small_network(True), torch.ones(3)
    with joined("cpu") as group:
        assert group is ALONE
        assert group.is_first
        assert group.wrap(network) is network
        assert group.sum(numbers) is numbers
        assert group.highest(-3) == -3
        with group.unsynchronised(network), group.watched():
            synchronise(network, group)
    assert all(getattr(layer, "process_group", None) is None for layer in network.modules())


def normalised_by_formula(shape, axes):
    """Returns what `one_of_several.normalise` does, in float64, by autograd over the formula."""
    x, gradient = data(shape)
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
    gamma, beta = torch.ones(sizes).double(), torch.zeros(sizes).double()
    for leaf in (x, gamma, beta):
        leaf.requires_grad_()
    mean = x.mean(axes, keepdim=True)
    inv_std = ((x - mean).square().mean(axes, keepdim=True) + 1e-4).rsqrt()
    output = (x - mean) * inv_std * gamma + beta
    output.backward(gradient)
    found = {"output": output, "x": x.grad, "gamma": gamma.grad, "beta": beta.grad}
    found |= {"mean": mean, "inv_std": inv_std}
    return {name: values.detach() for name, values in found.items()}


def check_networks(found) -> None:
    for name in ("normalised", "in parts"):
        network = small_network(name == "normalised")
        losses = train_plainly(network)
        for one in found:
            assert one["losses"][name] == pytest.approx(losses, rel=1e-9, abs=1e-12)
            for key, expected in network.state_dict().items():
                values = one["states"][name][key]
                torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)
                assert torch.equal(values, found[0]["states"][name][key])


def check_normalised(found) -> None:
    for shape, axes in AXES.items():
        expected = normalised_by_formula(shape, axes)
        for dtype in TYPES:
            tolerance = {torch.float64: 1e-11, torch.float32: 3e-5, torch.bfloat16: 0.04}[dtype]
            parts = [one["normalised"][shape, dtype] for one in found]
            whole = {name: torch.cat([part[name] for part in parts]) for name in ("output", "x")}
            assert whole["output"].dtype == whole["x"].dtype == dtype
            for name, wanted in expected.items():
                for values in [whole[name]] if name in whole else [part[name] for part in parts]:
                    error = (values.double().reshape(wanted.shape) - wanted).abs().max()
                    assert error <= tolerance * max(1, wanted.abs().max()), (shape, dtype, name)


def check_cores(found) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) >= len(found):
        assert set.union(*[one["cores"] for one in found]) == cores
        assert sum(len(one["cores"]) for one in found) == len(cores)
        assert all(1 <= one["threads"] <= len(one["cores"]) for one in found)


@pytest.mark.parametrize(("number", "mode"), [(2, "err"), (3, "die")])
def test_several_learn_what_one_learns_and_end_together(number, mode, tmp_path, capfd):
    assert start(mode, tmp_path, number) == 1
    ended = time.time()
    output, errors = capfd.readouterr()
    assert output == "learning 0\n"
    found = results(tmp_path, number)
    check_networks(found)
    check_normalised(found)
    check_cores(found)
    assert [one["highest"] for one in found] == [[number - 1, 0]] * number
    if mode == "err":
        assert errors == "one_of_several: All of them make the same mistake.\n"
        return
    assert ended - (tmp_path / "dies").stat().st_mtime < 10
    assert errors == (
        "one_of_several: Process 2 of the 3 that train together has died; what it told, if "
        "anything, stands above. Go on with --resume RUN.\n"
    )
    assert {file.name for file in tmp_path.glob("saved-*")} == {"saved-0", "saved-2"}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_gpus_learn_what_one_process_learns(tmp_path):
    assert start("err", tmp_path, 2, "cuda") == 1
    found = results(tmp_path, 2)
    check_networks(found)
    check_normalised(found)


def test_a_signal_ends_all_and_the_first_writes(tmp_path, capfd):
    def interrupt() -> None:
        while len(list(tmp_path.glob("ready-*"))) < 2:
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert start("stop", tmp_path, 2) == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (tmp_path / "written").exists()
    assert capfd.readouterr().err.count("interrupted") == 1
