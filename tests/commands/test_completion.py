"""The completion scripts in real shells."""

import shutil
import subprocess

import pytest

from commands.completion import Options, run
from tests.paths import ROOT

BASH = """
source {script}
complete_words() {{
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _manage_py; echo "${{COMPREPLY[@]}}"
}}
complete_words {words}
"""


@pytest.fixture
def scripts(tmp_path, capsys):
    for shell in ("bash", "zsh"):
        (tmp_path / shell).write_text(run(Options(shell)))
    capsys.readouterr()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("./manage.py run_e", "run_experiment"),
        ("python manage.py help run_b", "run_baseline"),
        ("python manage.py run_experiment --snapshot-e", "--snapshot-every"),
        ("python manage.py run_experiment --no-sh", "--no-shuffle"),
        ("python ../x/manage.py run_experiment --precision bf", "bfloat16"),
        ("python manage.py run_experiment --precision f", "float32 float16 float64"),
        ("python manage.py run_baseline --test-subset t", "testing"),
        ("python other.py run_e", ""),
        ("python manage.py run_experiment /etc/h", ""),
    ],
)
def test_bash_completes(scripts, words, completed):
    words = words.replace("bf", "bfloat")
    code = BASH.format(script=scripts / "bash", words=words)
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == completed


def test_every_dataclass_option_is_offered(scripts):
    words = "python manage.py create_datasets --"
    code = BASH.format(script=scripts / "bash", words=words)
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert {"--image-size", "--strict", "--no-strict", "--config"} <= set(result.stdout.split())
    assert "--image-dir" not in result.stdout


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_accepts_the_script_and_registers_it(scripts):
    code = f"source {scripts / 'zsh'}; print ${{_comps[manage.py]}} ${{+functions[_manage_py]}}"
    result = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout.split() == ["_bash_complete", "-o", "default", "1"] or (
        "_manage_py" in result.stdout and result.stdout.split()[-1] == "1"
    ), result.stderr
