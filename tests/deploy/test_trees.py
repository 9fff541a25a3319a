"""Files sent to another folder: the same bytes, whatever was there, wherever it broke off."""

import filecmp
import hashlib
import io
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.remote.base import Refused
from deploy.remote.trees import BLOCK, LENGTH, frames, inside, listing, plan, reader, store

NAMES = st.sampled_from(["a", "b", "c/d", "c/e f", "ü/x"])
CONTENTS = st.one_of(st.binary(max_size=40), st.just(bytes(range(256)) * (BLOCK // 200)))
TREES = st.dictionaries(NAMES, CONTENTS, max_size=4)


def write(folder: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def send(source: Path, there: Path, cut: int | None = None) -> tuple[list[str], int]:
    """Sends what is missing; returns the files that came wrong, and how many bytes were sent."""
    files, _ = listing(source)
    wanted = plan(files, *listing(there))
    sent = b"".join(frames(source, wanted))
    stream = io.BytesIO(sent[:cut])
    try:
        return store(there, wanted, files, reader(stream.read)), len(sent)
    except EOFError:
        return [], len(sent)


def contents(folder: Path) -> dict[str, bytes]:
    files, _ = listing(folder)
    return {name: (folder / name).read_bytes() for name in files}


@settings(deadline=None, max_examples=60)
@given(tree=TREES, before=TREES, cuts=st.lists(st.integers(0, 400_000), max_size=3))
def test_what_arrives_is_what_was_sent(tree, before, cuts):
    with tempfile.TemporaryDirectory() as folder:
        source, there = Path(folder, "source"), Path(folder, "there")
        source.mkdir()
        there.mkdir()
        write(source, tree)
        write(there, before)
        for name in before:
            os.utime(there / name, (1, 1))
        for cut in cuts:
            wrong, _ = send(source, there, cut)
            assert not wrong
        wrong, _ = send(source, there)
        assert not wrong
        assert contents(there) == before | tree
        assert not listing(there)[1]
        assert send(source, there) == ([], 0)


def test_only_the_rest_is_sent_after_a_break(tmp_path):
    source, there = tmp_path / "source", tmp_path / "there"
    write(source, {"large": os.urandom(10 * BLOCK)})
    there.mkdir()
    _, all_of_it = send(source, there, cut=9 * BLOCK)
    assert not (there / "large").exists()
    wrong, rest = send(source, there)
    assert not wrong
    assert rest < all_of_it / 4
    assert filecmp.cmp(source / "large", there / "large", shallow=False)


def test_a_partial_file_of_another_content_is_noticed(tmp_path):
    source, there = tmp_path / "source", tmp_path / "there"
    write(source, {"a": b"right and long"})
    write(there, {"a.partial": b"wrong"})
    assert send(source, there)[0] == ["a"]
    assert contents(there) == {}
    assert send(source, there)[0] == []
    assert contents(there) == {"a": b"right and long"}


def test_a_file_that_changes_or_goes_on_the_way(tmp_path):
    source, there = tmp_path / "source", tmp_path / "there"
    write(source, {"grows": b"1", "goes": b"2"})
    there.mkdir()
    files, _ = listing(source)
    wanted = plan(files, {}, {})
    (source / "grows").write_bytes(b"123")
    (source / "goes").unlink()
    sent = io.BytesIO(b"".join(frames(source, wanted)))
    assert store(there, wanted, files, reader(sent.read)) == ["goes"]
    assert contents(there) == {"grows": b"1"}
    assert [name for name, *_ in plan(listing(source)[0], *listing(there))] == ["grows"]


def test_a_byte_that_was_changed_on_the_way_is_noticed(tmp_path):
    source, there = tmp_path / "source", tmp_path / "there"
    write(source, {"a": b"content"})
    files, _ = listing(source)
    wanted = plan(files, {}, {})
    sent = bytearray(b"".join(frames(source, wanted)))
    assert hashlib.sha256(b"content").digest() in sent
    sent[6] ^= 1
    assert store(there, wanted, files, reader(io.BytesIO(bytes(sent)).read)) == ["a"]
    assert not (there / "a").exists()


def test_no_more_than_was_listed_is_taken(tmp_path):
    for sent in (LENGTH.pack(BLOCK + 1), LENGTH.pack(3) + b"123" + LENGTH.pack(1) + b"4"):
        with pytest.raises(Refused, match="more of a than it had listed"):
            store(tmp_path, [("a", 0, 3)], {"a": [3, 1]}, reader(io.BytesIO(sent).read))


def test_folders_behind_links_are_listed_but_none_below_itself(tmp_path):
    write(tmp_path, {"a/x": b"1", "b/y": b"2", "given/b/z": b"3"})
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "dangling").symlink_to("nowhere")
    (tmp_path / "linked").symlink_to(tmp_path / "given")
    assert set(listing(tmp_path, ["linked"])[0]) == {"linked/b/z"}
    assert set(listing(tmp_path, ["a"])[0]) == {"a/x", "a/to_b/y"}
    assert set(listing(tmp_path, ["b"])[0]) == {"b/y", "b/to_a/x"}


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_no_file_outside_of_the_folder(tmp_path, name):
    with pytest.raises(Refused, match="outside of"):
        inside(tmp_path, name)
    with pytest.raises(Refused, match="outside of"):
        store(tmp_path, [(name, 0, 1)], {name: [1, 1]}, reader(io.BytesIO().read))
