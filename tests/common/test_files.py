import os
import resource
import signal
import subprocess
import sys

import pytest

from common.errors import CommandError
from common.files import make_folder, whole_file, write_whole
from tests.paths import ROOT

WRITE = """
import sys
from pathlib import Path
from common.files import whole_file
with whole_file(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print(partial.name, flush=True)
    sys.stdin.read()
"""


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path):
    write_whole(tmp_path / "new" / "a.txt", "grün\n")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "grün\n"
    assert os.listdir(tmp_path / "new") == ["a.txt"]


def test_an_error_keeps_the_old_file_and_removes_the_new_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_system_that_refuses_to_write_more_gives_a_sentence(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CommandError, match=r"big\.txt can't be written: File too large"):
            write_whole(tmp_path / "big.txt", "x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert os.listdir(tmp_path) == []


def test_a_folder_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"can't be written: .*; choose"):
        make_folder(tmp_path / "file" / "folder")
    with pytest.raises(CommandError, match=r"can't be written: .*; choose"):
        write_whole(tmp_path / "file" / "a.txt", "")


def test_make_folder_leaves_no_probe(tmp_path):
    assert os.listdir(make_folder(tmp_path / "a" / "b")) == []


@pytest.mark.parametrize("name", ["a.txt", "[a]*?.txt"])
def test_what_a_killed_process_has_left_goes_with_the_next_file_of_that_name(tmp_path, name):
    path = tmp_path / name
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    others = [f"{name}.x.partial", f"{name}.more.1.partial", f"b{name}.1.partial"]
    for other in [*others, f"{name}.{10**30}.partial"]:
        (tmp_path / other).touch()  # no file of whole_file(path)
    with subprocess.Popen([sys.executable, "-c", WRITE, str(path)], cwd=ROOT, **pipes) as process:
        left = tmp_path / process.stdout.readline().strip()
        write_whole(path, "first")
        assert left.exists()  # its process is at work
        process.send_signal(signal.SIGKILL)
    assert left.read_text() == "half"
    write_whole(path, "second")
    assert not left.exists() and path.read_text() == "second"
    assert len(os.listdir(tmp_path)) == 5
