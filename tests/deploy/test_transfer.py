"""Runs brought and data sent: only what is new, after a break the rest, and nothing elsewhere."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from deploy.remote.trees import BLOCK, LENGTH
from tests.deploy.helpers import FILES, NAME, away, digests, until

LYING = """#!{python}
import sys
boot, call = sys.argv[2], 'sys.modules["deploy.remote.base"].answer('
assert call in boot
sys.argv = ["-c", *sys.argv[3:]]
exec(boot.replace(call, {lies!r} + call))
"""
LIES = """
trees = sys.modules["deploy.remote.trees"]
def list_there(root, names):
    files = {{{name!r}: [4, 1]}} if root == "runs" else {{}}
    return {{"files": files, "partials": {{}}, "free": 0, "folder": ""}}
def send(root, wanted):
    yield None
    yield {sent!r}
trees.list_there, trees.send = list_there, send
"""


@pytest.fixture
def lying(deployed, on_machine):
    """Lets the machine list one file, and send some bytes for it."""
    place = on_machine(f".virtualenvs/{NAME}")

    def lie(name: str, sent: bytes) -> None:
        python = place / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        lies = LIES.format(name=name, sent=sent)
        python.write_text(LYING.format(python=os.path.realpath(sys.executable), lies=lies))
        python.chmod(0o755)

    with away(place):
        yield lie
        shutil.rmtree(place)


def test_only_what_is_new_is_fetched(fab, deployed, tmp_path, rented, on_machine):
    runs = on_machine(f"{FILES}/runs")
    for name, content in (("one/a", "1"), ("one/b", "2"), ("two/a b", "3")):
        (runs / name).parent.mkdir(exist_ok=True)
        (runs / name).write_text(content)
    (runs / "two" / "half.123.partial").write_text("is being written")
    (runs / "linked").symlink_to(runs / "two")
    (runs / "itself").symlink_to(runs)
    fab("fetch", "--to", str(tmp_path))
    mine = tmp_path / fab.name
    assert (mine / "linked" / "a b").read_text() == (mine / "two" / "a b").read_text() == "3"
    assert not [path for path in mine.rglob("*") if path.is_symlink() or path.suffix == ".partial"]
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*")}
    assert f"0 files new in {mine}; " in fab("fetch", "--to", str(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*")} == before
    (runs / "one" / "a").write_text("changed")
    assert "1 file new in" in fab("fetch", "--to", str(tmp_path))
    assert (mine / "one" / "a").read_text() == "changed"

    (mine / ".machine").write_text("another machine, which had the name before")
    assert f" new in {mine}-2; " in fab("fetch", "--to", str(tmp_path))
    assert digests(tmp_path / f"{fab.name}-2").keys() == digests(mine).keys()
    secret = runs / "one" / "b"
    secret.chmod(0)
    os.utime(secret)
    output = fab("fetch", "--to", str(tmp_path), status=1)
    assert f"{secret}: Permission denied; see to it there." in output
    for path in ("one", "two"):
        shutil.rmtree(runs / path)
    for path in ("linked", "itself"):
        (runs / path).unlink()


def test_a_broken_transfer_goes_on(fab, deployed, tmp_path, rented, on_machine):
    large = tmp_path / "large"
    large.mkdir()
    (large / "part-0").write_bytes(os.urandom(16_000_000))
    there = on_machine(f"{FILES}/data/large")

    def arrived(file: Path) -> bool:
        return file.is_file() and file.stat().st_size > 1_000_000

    sending = fab.start("push-data", str(large))
    until(lambda: arrived(there / "part-0.partial"))
    rented.drop_connections()
    said = sending.communicate(timeout=60)[0]
    assert sending.returncode == 1, said
    assert "was lost. To send the rest, run the same command again" in said
    until(lambda: not rented.processes("python"))
    half = (there / "part-0.partial").stat()
    assert 0 < half.st_size < 16_000_000
    assert "1 file sent to" in fab("push-data", str(large))
    assert (there / "part-0").stat().st_ino == half.st_ino
    assert digests(there) == digests(large)
    assert "nothing new" in fab("push-data", str(large))

    (there / "part-0").rename(on_machine(f"{FILES}/runs/large"))
    mine = tmp_path / "brought" / fab.name
    fetching = fab.start("fetch", "--to", str(mine.parent))
    until(lambda: arrived(mine / "large.partial"))
    rented.drop_connections()
    said = fetching.communicate(timeout=60)[0]
    assert fetching.returncode == 1, said
    assert "was lost. To get the rest, run the same command again" in said
    half = (mine / "large.partial").stat()
    fab("fetch", "--to", str(mine.parent))
    assert (mine / "large").stat().st_ino == half.st_ino
    assert (mine / "large").read_bytes() == (large / "part-0").read_bytes()
    on_machine(f"{FILES}/runs/large").unlink()


def test_a_link_is_sent_under_its_own_name(fab, deployed, digits, tmp_path, on_machine):
    link = tmp_path / "linked.pkl.zip"
    link.symlink_to(digits)
    assert "--dataset-path data/linked.pkl.zip" in fab("push-data", str(link))
    there = on_machine(f"{FILES}/data") / link.name
    assert not there.is_symlink()
    assert there.read_bytes() == digits.read_bytes()


@pytest.mark.parametrize(
    ("name", "sent", "sentence"),
    [
        ("../evil", b"", "named a file outside of"),
        ("{folder}/evil", b"", "named a file outside of"),
        ("evil", LENGTH.pack(BLOCK + 1), "sent more of evil than it had listed"),
        ("evil", LENGTH.pack(5) + b"12345", "sent more of evil than it had listed"),
        ("evil", LENGTH.pack(4) + b"12", "was lost. To get the rest"),
    ],
)
def test_a_machine_in_a_strangers_hands(fab, lying, tmp_path, name, sent, sentence):
    lying(name.format(folder=tmp_path), sent)
    assert sentence in fab("fetch", "--to", str(tmp_path / "brought"), status=1)
    assert not [path for path in tmp_path.rglob("evil")]
