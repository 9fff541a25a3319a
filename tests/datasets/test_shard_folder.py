"""What a folder of shards may replace, and what is left alone."""

import fcntl
import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import CommandError
from datasets import shard_folder
from datasets.container import open_dataset
from datasets.convert import write, write_file, write_shards


@pytest.fixture
def dataset(make_dataset):
    return open_dataset(make_dataset()[0])


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_folders_with_other_files_are_left_alone(dataset, tmp_path):
    for name, file in (("x", "thesis.txt"), ("y.partial", "thesis.txt"), ("z", "index.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("years of work")
        with pytest.raises(CommandError, match=f"holds '{file}', which is no part of a folder"):
            write_shards(dataset, tmp_path / name.removesuffix(".partial"), 15)
        assert (tmp_path / name / file).read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    write_shards(dataset, tmp_path / "empty", 15)
    with pytest.raises(CommandError, match="is a file, and shards need a folder; choose a name"):
        write_shards(dataset, tmp_path / "small.pkl.zip", 15)


def test_arrays_of_ones_own_that_are_named_like_shards(dataset, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        np.save(folder / f"frame-{number:05d}.npy", np.arange(number))
    (folder / "mean.npy").write_bytes(b"mine")
    before = contents(folder)
    for old in ("frames", "frames.old.partial"):
        folder = folder.rename(tmp_path / old)
        with pytest.raises(CommandError, match="holds 'frame-00000.npy', which is no part of a f"):
            write_shards(dataset, tmp_path / "frames", 15)
        assert contents(folder) == before
    assert names(tmp_path) == ["frames.old.partial", "small.pkl.zip"]


@pytest.mark.parametrize("name", ["training-00009.npy", "training-00000.npy"])
def test_something_of_ones_own_among_the_shards(dataset, tmp_path, name):
    """Also a folder in the place of a shard."""
    write_shards(dataset, tmp_path / "out", 15)
    if name.endswith("9.npy"):
        np.save(tmp_path / "out" / name, np.arange(3))
    else:
        (tmp_path / "out" / name).unlink()
        (tmp_path / "out" / name).mkdir()
    before = names(tmp_path / "out")
    with pytest.raises(CommandError, match=f"holds '{name}', which is no part of a folder of sh"):
        write_shards(dataset, tmp_path / "out", 4)
    assert names(tmp_path / "out") == before


def test_what_comes_while_shards_are_written_is_left_alone(dataset, tmp_path, monkeypatch):
    write_shards(dataset, tmp_path / "out", 15)
    real = shard_folder._locked

    def locked(folder):
        (tmp_path / "out" / "thesis.txt").write_text("years of work")
        return real(folder)

    monkeypatch.setattr(shard_folder, "_locked", locked)
    with pytest.raises(CommandError, match="holds 'thesis.txt', which is no part of a folder"):
        write_shards(dataset, tmp_path / "out", 4)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "out" / "thesis.txt").unlink()
    monkeypatch.setattr(shard_folder, "_locked", real)
    assert write_shards(dataset, tmp_path / "out", 4).found == 14


def test_a_symbolic_link_to_a_folder_of_shards_stays_one(dataset, tmp_path):
    write_shards(dataset, tmp_path / "far" / "real", 15)
    write_shards(dataset, tmp_path / "expected", 4)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "real")
    for _ in range(2):
        write_shards(dataset, tmp_path / "link", 4)
        assert (tmp_path / "link").is_symlink()
        assert contents(tmp_path / "far" / "real") == contents(tmp_path / "expected")
        assert names(tmp_path / "far") == ["real"]
    (tmp_path / "new").symlink_to(tmp_path / "far" / "new")
    write_shards(dataset, tmp_path / "new", 4)
    assert contents(tmp_path / "far" / "new") == contents(tmp_path / "expected")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CommandError, match="loop is a symbolic link"):
        write_shards(dataset, tmp_path / "loop", 4)


@pytest.mark.parametrize("suffix", [".partial", ".old.partial"])
def test_symbolic_links_beside_it_are_not_followed(dataset, tmp_path, suffix):
    write_shards(dataset, tmp_path / "precious", 15)
    before = contents(tmp_path / "precious")
    (tmp_path / f"out{suffix}").symlink_to(tmp_path / "precious")
    with pytest.raises(CommandError, match="partial is a symbolic link; remove it, or choose"):
        write_shards(dataset, tmp_path / "out", 4)
    assert contents(tmp_path / "precious") == before
    assert names(tmp_path) == [f"out{suffix}", "precious", "small.pkl.zip"]


@pytest.mark.parametrize("left", [1, 4, 12])
def test_a_removal_that_was_broken_off_is_finished(dataset, tmp_path, left, monkeypatch):
    write_shards(dataset, tmp_path / "out", 15)
    unlink, removed = type(tmp_path).unlink, []

    def failing(path, *arguments, **options):
        if path.parent.name == "out.old.partial":
            removed.append(path)
            if len(removed) == left:
                raise KeyboardInterrupt
        return unlink(path, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(tmp_path), "unlink", failing)
        write_shards(dataset, tmp_path / "out", 4)
    assert len(contents(tmp_path / "out")) == 2 * (10 + 2 + 2) + 2
    assert len(contents(tmp_path / "out.old.partial")) == 13 - left
    write_shards(dataset, tmp_path / "out", 15)
    assert names(tmp_path) == ["out", "small.pkl.zip"]


@pytest.mark.parametrize("name", ["x" * 300, "x" * 250, "x" * 300 + ".pkl.zip"])
def test_names_that_the_system_refuses(dataset, tmp_path, name):
    with pytest.raises(CommandError, match="can't be written: File name too long; choose another"):
        write(dataset, tmp_path / name)
    assert names(tmp_path) == ["small.pkl.zip"]
    with pytest.raises(CommandError, match="/ is the root of all folders; choose another name"):
        write(dataset, Path("/"))


def test_two_conversions_at_once(dataset, tmp_path):
    (tmp_path / "out.partial").mkdir()
    descriptor = os.open(tmp_path / "out.partial", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(CommandError, match="is being written by another conversion; wait for it"):
        write_shards(dataset, tmp_path / "out", 15)
    os.close(descriptor)
    write_shards(dataset, tmp_path / "out", 15)


def test_only_a_dataset_file_is_replaced(dataset, tmp_path):
    other = tmp_path / "other.pkl.zip"
    for make in (lambda: other.write_text("holidays"), other.mkdir, lambda: os.mkfifo(other)):
        make()
        with pytest.raises(CommandError, match="can't be read as a dataset, and is left alone"):
            write_file(dataset, other)
        if other.is_dir():
            other.rmdir()
        else:
            assert other.is_fifo() or other.read_text() == "holidays"
            other.unlink()
    write_file(dataset, other)
    write_file(dataset, other)
    (tmp_path / "link.pkl.zip").symlink_to(other)
    other.write_bytes(dataset.path.read_bytes()[:-100])
    with pytest.raises(CommandError, match=r"other\.pkl\.zip can't be read as a dataset, and is"):
        write_file(dataset, tmp_path / "link.pkl.zip")
    other.unlink()
    write_file(dataset, tmp_path / "link.pkl.zip")
    assert (tmp_path / "link.pkl.zip").is_symlink()
    assert other.read_bytes() == dataset.path.read_bytes()


def test_the_name_says_whether_it_is_a_file(dataset, tmp_path):
    (tmp_path / "photos.zip").write_text("holidays")
    for name in ("photos.zip", "new.zip", "new.ZIP", "NEW.PKL.ZIP"):
        with pytest.raises(CommandError, match=r"ends in \.zip; give NAME\.pkl\.zip for a file"):
            write(dataset, tmp_path / name)
    assert (tmp_path / "photos.zip").read_text() == "holidays"
    assert str(write(dataset, tmp_path / "x.pkl.zip")) == "in one file"
    assert str(write(dataset, tmp_path / "x", shard_size=15)) == "in 5 shards of up to 15"
    assert (tmp_path / "x.pkl.zip").is_file() and (tmp_path / "x").is_dir()
    with pytest.raises(CommandError, match="--shard-size makes a folder of shards, but .*x.pkl.z"):
        write(dataset, tmp_path / "x.pkl.zip", shard_size=15)
