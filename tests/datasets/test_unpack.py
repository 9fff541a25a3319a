import gzip
import io
import os
import tarfile

import pytest

from common.errors import CommandError
from datasets import unpack as module
from datasets.unpack import unpack

FILES = {
    "./top/jazz/a.wav": b"a" * 1000,
    "top/jazz/deep/b.WAV": b"b" * 100,
    "top/metal/c.au": b"c",
    "top/metal/._c.au": b"of macOS",
    "top/metal/notes.txt": b"text",
    "top/list.wav": b"beside the folders",
    "top/.hidden/x.wav": b"hidden",
}


def make(path, files=FILES, mode="w:gz", special=()):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, kind, target in special:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return path


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:bz2", "w:xz"])
def test_recordings_go_to_their_labels(tmp_path, mode):
    archive = make(tmp_path / "x.tar.gz", mode=mode)
    assert unpack(archive, tmp_path / "new" / "out") == 3
    assert contents(tmp_path / "new" / "out") == {
        "jazz/a.wav": b"a" * 1000,
        "jazz/deep/b.WAV": b"b" * 100,
        "metal/c.au": b"c",
    }
    assert os.listdir(tmp_path / "new") == ["out"]


def test_labels_can_be_put_together(tmp_path):
    archive = make(tmp_path / "x.tar.gz")
    unpack(archive, tmp_path / "out", lambda label: f"all/{label}")
    assert sorted(contents(tmp_path / "out"))[-1] == "all/metal/c.au"


@pytest.mark.parametrize(
    "name",
    ["../x.wav", "top/../../x.wav", "/etc/x.wav", "top/a/../../../x.wav", "top\\..\\..\\x.wav"],
)
def test_a_member_outside_refuses_the_archive(tmp_path, name):
    archive = make(tmp_path / "x.tar.gz", FILES | {name: b"x"})
    with pytest.raises(CommandError, match="would lie outside of its folder, and nothing of it"):
        unpack(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.tar.gz"]


def test_links_and_devices_are_not_made(tmp_path):
    (tmp_path / "secret.wav").write_bytes(b"secret")
    special = [
        ("top/jazz/link.wav", tarfile.SYMTYPE, "../../../secret.wav"),
        ("top/jazz/hard.wav", tarfile.LNKTYPE, "../secret.wav"),
        ("top/out", tarfile.SYMTYPE, ".."),
        ("top/jazz/pipe.wav", tarfile.FIFOTYPE, ""),
        ("top/jazz/device.wav", tarfile.CHRTYPE, ""),
    ]
    unpack(make(tmp_path / "x.tar.gz", special=special), tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.*"))) == 3
    assert (tmp_path / "secret.wav").read_bytes() == b"secret"


def test_damage_is_told_and_leaves_nothing(tmp_path):
    archive = make(tmp_path / "x.tar.gz", {f"top/a/{n}.wav": os.urandom(5000) for n in range(9)})
    content = archive.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 255
    for damaged in (content[: len(content) // 2], content[:100], b"text" * 99, b"", changed):
        archive.write_bytes(damaged)
        with pytest.raises(CommandError, match=r"x\.tar\.gz (is damaged|holds no recordings)"):
            unpack(archive, tmp_path / "out")
        assert os.listdir(tmp_path) == ["x.tar.gz"]


def test_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10**6)
    archive = make(tmp_path / "x.tar.gz", {"top/a/x.wav": bytes(10**6 + 1)})
    with pytest.raises(CommandError, match=r"holds more than .* GB of recordings"):
        unpack(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.tar.gz"]


def test_an_archive_of_something_else(tmp_path):
    archive = make(tmp_path / "x.tar.gz", {"top/a/x.txt": b"text"})
    with pytest.raises(CommandError, match=r"holds no recordings in folders, as <top>/<label>/x"):
        unpack(archive, tmp_path / "out")
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(CommandError):
        unpack(archive, tmp_path / "out")


def test_what_a_killed_run_has_left_goes(tmp_path):
    (tmp_path / ".out.partial" / "jazz").mkdir(parents=True)
    (tmp_path / ".out.partial" / "jazz" / "old.wav").touch()
    unpack(make(tmp_path / "x.tar.gz"), tmp_path / "out")
    assert "jazz/old.wav" not in contents(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "x.tar.gz"]
