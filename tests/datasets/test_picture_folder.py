import os

import pytest

from common.errors import CommandError
from datasets.picture_folder import PictureFolder
from tests.datasets.misbehaving_server import picture


@pytest.fixture
def out(tmp_path):
    with PictureFolder(tmp_path / "out") as folder:
        yield folder


def test_writes_whole_files_into_new_folders(out):
    out.write("jazz", "1.jpg", picture())
    assert (out.path / "jazz" / "1.jpg").read_bytes() == picture()
    assert os.listdir(out.path / "jazz") == ["1.jpg"]
    assert out.whole_size("jazz", "1.jpg") == out.size("jazz", "1.jpg") == len(picture())


def test_what_is_not_whole(out):
    for name, content in {"half": picture()[:-500], "empty": b"", "text": b"text"}.items():
        out.write("jazz", name, content)
        assert out.whole_size("jazz", name) is None
    (out.path / "jazz" / "folder").mkdir()
    os.mkfifo(out.path / "jazz" / "fifo")
    for name in ("none", "folder", "fifo"):
        assert out.whole_size("jazz", name) is None
    assert out.whole_size("none", "none") is None


def test_planted_symbolic_links(out, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1.jpg").write_bytes(picture())
    (out.path / "linked").symlink_to(outside)
    (out.path / "jazz").mkdir()
    (out.path / "jazz" / "1.jpg").symlink_to(outside / "1.jpg")
    (out.path / "jazz" / "2.jpg").symlink_to(outside / "new.jpg")
    (out.path / "jazz" / f"3.jpg.{os.getpid()}.partial").symlink_to(outside / "new.jpg")
    (out.path / "file").touch()
    with pytest.raises(CommandError, match="symbolic link or a file.*'file', 'linked'; remove it"):
        out.refuse_symbolic_links(["linked", "jazz", "none", "file"])
    assert out.whole_size("linked", "1.jpg") is out.whole_size("jazz", "1.jpg") is None
    with pytest.raises(OSError, match="linked"):
        out.write("linked", "2.jpg", picture())
    for name in ("1.jpg", "2.jpg"):
        out.write("jazz", name, b"new")
        assert not (out.path / "jazz" / name).is_symlink()
    with pytest.raises(FileExistsError):
        out.write("jazz", "3.jpg", picture())
    assert {file.name: file.read_bytes() for file in outside.iterdir()} == {"1.jpg": picture()}


def test_a_failed_write_leaves_nothing(out):
    (out.path / "jazz" / "1.jpg").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        out.write("jazz", "1.jpg", picture())
    assert os.listdir(out.path / "jazz") == ["1.jpg"]


def test_unfinished_files_of_a_killed_process_go(out, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (out.path / "jazz").mkdir()
    (out.path / "linked").symlink_to(outside)
    stale = [out.path / "download-report.tsv.1.partial", out.path / "jazz" / "1.jpg.42.partial"]
    kept = [out.path / "jazz" / "1.partial", outside / "1.jpg.42.partial", out.path / "x.partial"]
    for file in stale + kept:
        file.touch()
    out.clean()
    assert not any(file.exists() for file in stale)
    assert all(file.exists() for file in kept)


def test_one_process_at_a_time(out):
    with pytest.raises(CommandError, match="Another download_dataset_images is writing to"):
        PictureFolder(out.path)
    out.write("jazz", "1.jpg", picture())
