"""The tasks and options in docs/gpu-machine.md and the README are those of the fabfile."""

import re
import shlex
import sys

import pytest
from fabric.main import make_program
from invoke import Collection
from invoke.parser import Parser

from tests.paths import ROOT

PAGES = [ROOT / "docs" / "gpu-machine.md", ROOT / "README.md"]
COMMANDS = [
    match.replace("\\\n", " ")
    for page in PAGES
    for match in re.findall(r"(?:^\$ |`)fab ((?:[^`\\\n]|\\\n)*)", page.read_text(), re.MULTILINE)
]


@pytest.fixture(scope="module")
def fabfile():
    sys.path.insert(0, str(ROOT))
    import fabfile

    yield fabfile
    sys.path.remove(str(ROOT))


def test_there_are_some():
    assert len(COMMANDS) > 7


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page(fabfile, command):
    words = shlex.split(command)
    fabfile.take_user(words)
    tasks = Collection.from_module(fabfile).to_contexts()
    core, *found = Parser(initial=make_program().initial_context, contexts=tasks).parse_argv(words)
    assert core.args.hosts.value
    (task,) = found
    for required in task.positional_args:
        assert required.got_value


def test_every_task_is_told_of(fabfile):
    page = PAGES[0].read_text()
    for task in Collection.from_module(fabfile).task_names:
        assert f"`{task}" in page
