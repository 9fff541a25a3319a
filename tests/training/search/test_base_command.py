import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import load, parse
from common.errors import UsageError
from tests.paths import ROOT
from training.search.base_command import read_base_command, without

OPTIONS = "--dataset-path d --model-architecture ConvNet"


def read(text: str):
    return read_base_command(
        text, lambda arguments: parse(load("run_experiment"), "run_experiment", arguments)
    )


@pytest.mark.parametrize(
    ("program", "prefix"),
    [
        ("python manage.py run_experiment", "python manage.py run_experiment"),
        ("python3.12 ./manage.py run_experiment", "python3.12 ./manage.py run_experiment"),
        (f"/usr/bin/python {ROOT}/manage.py run_experiment", None),
        ("./manage.py run_experiment", "./manage.py run_experiment"),
        ("run_experiment", "python manage.py run_experiment"),
        (
            "THEANO_FLAGS=device=gpu,floatX=float32 python manage.py run_experiment",
            "THEANO_FLAGS=device=gpu,floatX=float32 python manage.py run_experiment",
        ),
        ("A='b c' run_experiment", "A='b c' python manage.py run_experiment"),
    ],
)
def test_the_forms_of_a_command_line(program, prefix):
    base = read(f"{program} {OPTIONS} --num-epochs 3")
    assert base.prefix == (prefix or program)
    assert base.experiment.dataset_path == Path("d")
    assert base.experiment.num_epochs == 3
    assert shlex.split(base.line(base.arguments))[-2:] == ["--num-epochs", "3"]


def test_variables_are_the_evaluations():
    assert read(f"A='b c' B= run_experiment {OPTIONS}").environment == {"A": "b c", "B": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no run_experiment of this project"),
        ("python train.py", "is no run_experiment of this project"),
        ("python manage.py run_baseline d linear", "is no run_experiment of this project"),
        ("python run_experiment", "is no run_experiment of this project"),
        ("rm -rf / ; run_experiment", "is no run_experiment of this project"),
        ("run_experiment 'unclosed", "can't be split into words: No closing quotation"),
        ("run_experiment --dataset-pth d", "can't be understood, as told above"),
        ("run_experiment --help", "can't be understood"),
        (f"run_experiment {OPTIONS} --num-epochs 3 | tee log", "can't be understood"),
        (
            f"run_experiment {OPTIONS} --out-dir x",
            "has --out-dir, but each evaluation has a folder",
        ),
        (f"run_experiment {OPTIONS} --test-only", "--test-only needs weights"),
    ],
)
def test_mistakes_are_named(text, said):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert said in str(caught.value)


def test_another_projects_manage_py(tmp_path):
    (tmp_path / "manage.py").write_text("")
    with pytest.raises(UsageError, match="of this project"):
        read(f"python {tmp_path}/manage.py run_experiment {OPTIONS}")


def test_a_shells_metacharacters_are_plain_text(tmp_path):
    base = read(f"run_experiment --dataset-path '$(touch {tmp_path}/x)' --model-architecture '`a`'")
    assert base.experiment.model_architecture == "`a`"
    assert not (tmp_path / "x").exists()
    assert shlex.split(base.line(base.arguments))[3:] == list(base.arguments)


def test_other_values_replace_those_of_base_cmd():
    base = read(
        f"run_experiment {OPTIONS} --learning_rate=0.1 --no-mirror-crops --num-crops 2 "
        "--learning-rate 3"
    )
    arguments = base.with_options({"--learning-rate": "0.5", "--mirror-crops": True})
    assert arguments == [*OPTIONS.split(), "--num-crops", "2", "--learning-rate", "0.5",
                         "--mirror-crops"]  # fmt: skip
    assert base.with_options({"--mirror-crops": False})[-1] == "--no-mirror-crops"


names = st.sampled_from(["--learning-rate", "--num-crops", "--model-params", "--seed"])
pairs = st.lists(st.tuples(names, st.sampled_from(["1", "-1", "a=b", "--x"]), st.booleans()))


@given(pairs, st.sets(names))
def test_without_leaves_the_others_as_they_are(given_pairs, left_out):
    def words(chosen) -> list[str]:
        return [w for n, v, joined in chosen for w in ([f"{n}={v}"] if joined else [n, v])]

    kept = [pair for pair in given_pairs if pair[0] not in left_out]
    assert without(words(given_pairs), left_out) == words(kept)
