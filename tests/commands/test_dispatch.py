"""The command line as a person types it, in real processes."""

import ast
import inspect
import itertools
import os
import shutil
import subprocess
import sys

import pytest

import commands
from commands import listing, load, main, names
from common.errors import CommandError
from tests.datasets.sounds import make_folder
from tests.paths import ROOT

MANAGE = str(ROOT / "manage.py")


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, MANAGE, *arguments], capture_output=True, text=True)


def test_every_command_is_listed_with_a_line():
    shown = listing()
    for name in names():
        (line,) = [line for line in shown.splitlines() if line.split()[:1] == [name]]
        assert line.strip() != name


def test_commands_are_grouped(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line and not line.startswith((" ", "usage", "'"))]
    assert heads == sorted(heads)
    assert {"Datasets", "Experiments"} <= set(heads)


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_in_every_form(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out == listing() + "\n"


@pytest.mark.parametrize("name", names())
def test_help_name_equals_name_help(name):
    asked, option = manage("help", name), manage(name, "--help")
    assert asked.returncode == option.returncode == 0
    assert asked.stdout == option.stdout
    assert "usage: manage.py" in asked.stdout


@pytest.mark.parametrize("arguments", [[], *([name, "--help"] for name in names())])
def test_listing_and_help_import_nothing_heavy(arguments):
    code = (
        "import sys, commands\n"
        "try: commands.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'scipy', 'matplotlib', 'PIL', 'pydantic', 'yaml'}\n"
        "heavy.add('soundfile')\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.splitlines()[-1] == "HEAVY []", result.stderr


def test_a_new_command_is_one_new_file(tmp_path):
    for name in ("manage.py", "commands", "common"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "commands" / "say_hello.py").write_text(
        '"""Says hello."""\n'
        "from dataclasses import dataclass\n"
        'GROUP = "Greetings"\n'
        "@dataclass(frozen=True)\n"
        "class Options:\n"
        '    """Whom."""\n'
        '    name: str = "world"\n'
        '    """Whom to greet."""\n'
        "    loud: bool = False\n"
        '    """Shout."""\n'
        "def run(options):\n"
        "    print('hello', options.name.upper() if options.loud else options.name)\n"
    )

    def run(*arguments: str) -> str:
        command = [sys.executable, str(tmp_path / "manage.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "Greetings\n    say_hello" in run()
    assert "Whom to greet." in run("help", "say_hello")
    assert run("say_hello", "--name", "you", "--loud") == "hello YOU\n"
    assert run("say_hello", "--no-loud") == "hello world\n"
    (tmp_path / "recipe.yaml").write_text("name: recipe\nloud: true\n")
    assert run("say_hello", "--config", str(tmp_path / "recipe.yaml")) == "hello RECIPE\n"
    won = run("say_hello", f"--config={tmp_path / 'recipe.yaml'}", "--name", "line", "--no-loud")
    assert won == "hello line\n"


def test_an_unknown_command_gets_the_near_name_and_the_valid_list():
    result = manage("run_experiments")
    assert result.returncode == 2
    assert "Unknown command 'run_experiments'. Did you mean 'run_experiment'?" in result.stderr
    assert "create_datasets" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_option_gets_the_near_name():
    result = manage("run_experiment", "--dataset-pth", "x", "--model-architecture", "ConvNet")
    assert result.returncode == 2
    assert "--dataset-path" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_users_mistake_is_one_sentence_and_status_1():
    arguments = ["run_experiment", "--dataset-path", "none", "--model-architecture", "ConvNet"]
    result = manage(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("manage.py: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" in manage("--traceback", *arguments).stderr


def test_names_that_no_encoding_has_are_printed(tmp_path):
    make_folder(tmp_path / "music", 2)
    (tmp_path / "music" / "a" / "x\udcff.txt").touch()
    result = subprocess.run(
        [sys.executable, MANAGE, "create_spectrograms", "music", "x.pkl.zip"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert r"a/x\udcff.txt" in result.stdout


def test_in_process_a_command_raises_and_never_exits(tmp_path):
    from commands.run_experiment import Options, run

    with pytest.raises(CommandError, match="none"):
        run(Options(dataset_path=tmp_path / "none", model_architecture="ConvNet"))


def test_ctrl_c_is_130(monkeypatch, capsys):
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_dispatch", interrupted)
    assert main(["run_experiment"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_programming_error_keeps_its_traceback(monkeypatch):
    def broken(arguments: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "_dispatch", broken)
    with pytest.raises(ZeroDivisionError):
        main(["run_experiment"])


def test_config_without_a_file_is_a_usage_error(capsys):
    assert main(["run_experiment", "--config"]) == 2
    assert "--config needs the name of a YAML file" in capsys.readouterr().err


def test_every_option_of_every_command_is_described():
    for name in names():
        options = load(name).Options
        (body,) = [
            statement.body
            for statement in ast.parse(inspect.getsource(inspect.getmodule(options))).body
            if isinstance(statement, ast.ClassDef) and statement.name == options.__name__
        ]
        for field, following in itertools.pairwise([*body, None]):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(following, ast.Expr), f"{name}: {ast.unparse(field)}"
