"""The docs' programs run as they stand there."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.paths import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "lasagne.md").read_text(), re.DOTALL)


def program(pattern: str) -> str:
    """Return the one code block in which `pattern` occurs."""
    (found,) = [block for block in BLOCKS if pattern in block]
    return found


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(folder)
    (folder / "program.py").write_text(code)
    return runpy.run_path(str(folder / "program.py"))


def test_every_program_is_run_or_is_theanos():
    assert len(BLOCKS) == 6


def test_ported_script_learns(tmp_path, monkeypatch, capsys):
    run(program("load_digits"), tmp_path, monkeypatch)
    accuracy = float(capsys.readouterr().out.partition("accuracy: ")[2])
    assert accuracy > 0.88
    with np.load(tmp_path / "model.npz") as model:
        assert [model[f"arr_{i}"].shape for i in range(4)] == [(64, 200), (200,), (200, 10), (10,)]


def test_both_scripts_define_the_same_network():
    """What stands before Theano's function and the loop is the point of the guide."""
    network = r"    net = lasagne.*?    \)\n(?=\n\n)"
    before, after = (
        re.search(network, program(name), re.DOTALL)[0] for name in ("import theano", "load_digits")
    )
    assert before == after


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_network_as_module(tmp_path, monkeypatch, capsys):
    run(program("torch.compile(network)"), tmp_path, monkeypatch)
    assert capsys.readouterr().out == (
        "['conv.W', 'conv.b', 'dense.W', 'dense.b']\ntorch.bfloat16\n"
    )


def test_update_rules(tmp_path, monkeypatch):
    names = run(program("rate_multiplier"), tmp_path, monkeypatch)
    W = names["weights"][0]
    W.data.fill_(7)
    for param in names["weights"] + names["biases"]:
        param.grad = param.detach().clone().zero_()
    names["optimizer"].step()
    np.testing.assert_allclose(W.detach().norm(dim=0), 2, rtol=1e-5)


def test_weights_of_the_script_above(tmp_path, monkeypatch):
    names = run(program("load_digits"), tmp_path, monkeypatch)
    W = names["params"][0]
    trained = W.detach().clone()
    W.data.zero_()
    exec(compile(program('load_param_values("model.npz")'), "docs", "exec"), names)
    assert W.equal(trained)
