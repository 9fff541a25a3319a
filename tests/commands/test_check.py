"""The self-test: what it tells, and a sentence for what is wrong."""

import importlib.metadata
import os
import re
import subprocess
import sys

import pytest
import torch

from commands.check import Options, run
from common.errors import CommandError
from results import self_check
from tests.paths import ROOT


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), "check", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


def lines(output: str) -> dict[str, str]:
    return dict(re.findall(r"^(.{15}) (.*)$", output, re.MULTILINE))


def test_a_machine_that_is_well():
    result = manage("--speed", OMP_NUM_THREADS="1", PATH="/usr/bin:/bin")
    assert result.returncode == 0, result.stdout + result.stderr
    told = {label.strip(): text for label, text in lines(result.stdout).items()}
    assert told["Python"] == f"{sys.version.split()[0]} ({sys.executable})"
    assert told["torch"].startswith(torch.__version__)
    assert told["threads"] == "1, as OMP_NUM_THREADS=1 says"
    assert re.fullmatch(r"[\d,.]+ [GT]FLOP/s.*", told["matrix product"])
    assert re.fullmatch(r"[\d,.]+ [GT]FLOP/s.*", told["convolution"])
    assert told["all is well"] == "experiments can run here"
    if not torch.cuda.is_available():
        assert told["device"] == "cpu: torch sees no GPU"


def test_the_choices_are_explained(capsys, monkeypatch):
    monkeypatch.setenv("THEANO_FLAGS", "device=cpu,floatX=float32")
    run(Options())
    output = capsys.readouterr().out
    assert "device          cpu: as THEANO_FLAGS says" in output
    assert "precision       float32: as THEANO_FLAGS says" in output
    run(Options(device="cpu", precision="float64"))
    output = capsys.readouterr().out
    assert "device          cpu: as --device says" in output
    assert "precision       float64: as --precision says" in output
    monkeypatch.setenv("THEANO_FLAGS", "gpuarray.preallocate=1,init_gpu_device=,warn_floatX=0")
    with pytest.warns(UserWarning, match="means nothing here"):
        run(Options())
    assert "as THEANO_FLAGS says" not in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there():
    result = manage("--device", "cuda")
    assert result.returncode == 1
    assert "wrong           The device 'cuda' is not there" in result.stdout
    assert "manage.py: 1 thing is wrong with this machine, as listed above.\n" in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="they would answer")
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_gpus_that_do_not_answer(device, monkeypatch, capsys):
    """Two are said to be there; all else is what PyTorch says where it can't reach one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if device == "auto":
        sentences = run(Options())
    else:
        with pytest.raises(CommandError):
            run(Options(device=device))
        sentences = capsys.readouterr().out.splitlines()
        assert any(one.startswith("wrong           The device cuda can't be") for one in sentences)
    for index in (0, 1):
        (sentence,) = [one for one in sentences if f"cuda:{index} does not answer: " in one]
        assert sentence.endswith("; restart the machine, or choose another device.")


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch has CUDA")
def test_a_gpu_that_this_torch_can_t_use(tmp_path, monkeypatch, capsys):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 580.95.05\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    sentences = run(Options())
    (sentence,) = [one for one in sentences if "There is a GPU" in one]
    assert "(driver 580.95.05), but torch is built for the CPU" in sentence
    assert f"look out        {sentence}" in capsys.readouterr().out


def test_packages_that_differ_or_are_missing(tmp_path, monkeypatch, capsys):
    version = importlib.metadata.version("numpy")
    (tmp_path / "requirements.txt").write_text(
        "numpy==1.0.0  # said by a person\n# no == line\nno-such-package==1.0.0\n"
        "other==1; python_version < '3'\n"
    )
    monkeypatch.setattr(self_check, "ROOT", tmp_path)
    with pytest.raises(CommandError, match="1 thing is wrong"):
        run(Options())
    output = capsys.readouterr().out
    assert f"numpy is {version} and not 1.0.0: numbers may differ" in output
    assert "wrong           no-such-package is not installed" in output


def test_a_device_that_computes_wrongly(monkeypatch, capsys):
    product = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: product(a, b) * (1 + (len(a) > 100))
    )
    with pytest.raises(CommandError, match="1 thing is wrong"):
        run(Options(device="cpu", precision="float32"))
    assert "A matrix product on cpu in float32 is off by 100.0%" in capsys.readouterr().out


def test_more_threads_than_cores(monkeypatch, capsys):
    monkeypatch.setattr(self_check, "usable_cores", lambda: 0.5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    (sentence,) = [one for one in run(Options(device="cpu")) if "threads" in one]
    assert "torch uses 2 threads on 0.5 cores" in sentence
    assert sentence.endswith("set OMP_NUM_THREADS=1.")


def test_little_disk(monkeypatch, capsys):
    monkeypatch.setattr(self_check, "LITTLE_DISK", 10**18)
    assert any("of disk are free" in one for one in run(Options(device="cpu")))
    monkeypatch.setattr(self_check, "TOO_LITTLE_DISK", 10**18)
    with pytest.raises(CommandError):
        run(Options(device="cpu"))
    assert "free some." in capsys.readouterr().out
