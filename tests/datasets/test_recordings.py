"""Spectrograms in the container: written, mapped, refused where they make no sense."""

import json
import mmap
import zipfile

import numpy as np
import pytest

from commands import main
from common.errors import CommandError
from datasets.archive import Blocks
from datasets.container import is_dataset_file, open_dataset
from datasets.recordings import Recordings, open_any, open_recordings, write_recordings
from datasets.validate import validate

PARAMETERS = {"sample_rate": 8000, "frame_size": 16, "hop_size": 8}
NAMES = ["jazz/a.wav", "jazz/deep/b.wav", "metal/ü.mp3"]


def make(path, lengths=(4, 7, 2), labels=(0, 0, 1), names=NAMES, bands=5):
    generator = np.random.default_rng(0)
    arrays = [generator.random((length, bands), np.float32) for length in lengths]
    write_recordings(
        path,
        Blocks((sum(lengths), bands), np.dtype(np.float32), arrays),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.array(labels),
        names,
        {"jazz": 0, "metal": 1},
        parameters=PARAMETERS,
        created_by={"command": "test"},
    )
    return arrays


@pytest.fixture
def path(tmp_path):
    make(tmp_path / "x.pkl.zip")
    return tmp_path / "x.pkl.zip"


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "x.pkl.zip"
    arrays = make(path)
    recordings = open_recordings(path)
    assert len(recordings) == 3 and recordings.num_bands == 5
    for index, array in enumerate(arrays):
        assert np.array_equal(recordings[index], array)
    assert np.array_equal(recordings[-1], arrays[-1])
    with pytest.raises(IndexError):
        recordings[3]
    assert recordings.num_frames.tolist() == [4, 7, 2]
    assert recordings.labels.tolist() == [0, 0, 1]
    assert (recordings.names, recordings.label_names) == (NAMES, ["jazz", "metal"])
    assert recordings.frames_per_second == 1000
    assert recordings.created_by == {"command": "test"}
    assert recordings.num_bytes == path.stat().st_size
    assert isinstance(open_any(path), Recordings) and is_dataset_file(path)


def test_patches_are_views_of_the_mapped_file(path):
    recordings = open_recordings(path)
    patch = recordings[1][2:6]
    assert patch.flags.c_contiguous and not patch.flags.writeable
    base = patch
    while not isinstance(base, mmap.mmap):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    address = recordings.frames.__array_interface__["data"][0]
    assert patch.__array_interface__["data"][0] == address + (4 + 2) * 5 * 4


def test_numpy_and_zipfile_read_it_too(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["array_0", "array_1", "array_2", "pkl", "metadata.json"]
        with archive.open("array_2") as member:
            assert np.load(member).tolist() == [0, 4, 11, 13]
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["kind"] == "recordings" and metadata["names"] == NAMES


def test_equal_spectrograms_are_equal_files(path, tmp_path):
    make(tmp_path / "again.pkl.zip")
    assert path.read_bytes() == (tmp_path / "again.pkl.zip").read_bytes()


def test_pictures_are_pictures(digits):
    assert open_any(digits).label_names == open_dataset(digits).label_names
    with pytest.raises(CommandError, match=r"such as pictures.*create_spectrograms makes them\.$"):
        open_recordings(digits)


def test_a_missing_file_is_named(tmp_path):
    for opening in (open_any, open_recordings, open_dataset):
        with pytest.raises(CommandError, match=r"nothing\.pkl\.zip does not exist; create_dat"):
            opening(tmp_path / "nothing.pkl.zip")


@pytest.mark.parametrize(
    "command",
    ["run_baseline", "convert_dataset", "resize_rgb_dataset"],
)
def test_commands_for_pictures_refuse_it(path, tmp_path, capsys, command):
    more = {
        "convert_dataset": ["out"],
        "resize_rgb_dataset": ["out", "--x-size", "3", "--y-size", "3"],
        "run_baseline": ["random_forest"],
    }
    status = main([command, str(path), *more[command]])
    assert (status, capsys.readouterr().err) == (
        1,
        f"manage.py: {path} holds spectrograms of recordings, each of a length of its own, and "
        "this command takes instances of one shape, such as pictures; describe_dataset says what "
        "is in it, and create_datasets makes a dataset of pictures.\n",
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.pkl.zip"]


WRONG = [
    ({"lengths": (4, 0, 2)}, "its offsets do not rise from 0 to its 6 frames"),
    ({"labels": (0, 0, 2)}, "it has the label 2, but labels go from 0 to 1"),
    ({"labels": (0, -1, 1)}, "it has the label -1, but"),
    ({"labels": (0, 1)}, "it has 2 labels but 4 offsets"),
    ({"names": NAMES[:2]}, "its metadata does not name its 3 recordings"),
    ({"lengths": (0, 0, 0)}, "its frames are float32 of shape (0, 5), not float32, (frames, ban"),
]


@pytest.mark.parametrize(("change", "what"), WRONG)
def test_what_makes_no_sense_is_refused(tmp_path, change, what):
    path = tmp_path / "x.pkl.zip"
    make(path, **change)
    with pytest.raises(CommandError) as caught:
        open_recordings(path)
    assert str(caught.value).startswith(f"{path} can't be used as a dataset: {what}")
    assert what in str(validate(path).findings[0])


def rewritten(path, change):
    """Replaces the metadata by what `change` makes of them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"])
    change(metadata)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"metadata.json": json.dumps(metadata)}).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: metadata.pop("names"),
        lambda metadata: metadata.pop("parameters"),
        lambda metadata: metadata["parameters"].update(hop_size=0),
        lambda metadata: metadata.update(parameters=[1]),
        lambda metadata: metadata.update(format=2),
    ],
)
def test_metadata_that_make_no_sense_are_refused(path, change):
    rewritten(path, change)
    with pytest.raises(CommandError, match=r"x\.pkl\.zip can't be used as a dataset: it"):
        open_recordings(path)


def test_flipped_bytes_and_cut_files_end_in_a_sentence(path, tmp_path):
    content, generator = path.read_bytes(), np.random.default_rng(0)
    damaged = tmp_path / "damaged.pkl.zip"
    for number in range(300):
        changed = bytearray(content)
        if number % 3:
            for at in generator.integers(len(content), size=1 + number % 4):
                changed[at] ^= generator.integers(1, 256)
        else:
            del changed[generator.integers(len(content)) :]
        damaged.write_bytes(changed)
        try:
            recordings = open_any(damaged)
        except CommandError as error:
            assert str(damaged) in str(error)
        else:
            assert len(recordings[0]) == 4


def test_validate_and_what_it_finds(path, capsys):
    assert validate(path).findings == [] and validate(path).instances == 3
    assert main(["validate_dataset", str(path)]) == 0
    assert capsys.readouterr().out == f"{path} is fine: 3 instances read.\n"
    content = bytearray(path.read_bytes())
    at = content.find(np.float32(open_recordings(path).frames[5, 2]).tobytes())
    content[at : at + 4] = np.float32(np.nan).tobytes()
    path.write_bytes(content)
    first, second = map(str, validate(path).findings)
    assert first.startswith("recordings, member array_0: its bytes have changed since it was wr")
    assert second == (
        "recordings, member array_0: values that are NaN or infinite in 1 of the recordings "
        "('jazz/deep/b.wav')"
    )


def test_validate_looks_at_the_other_members_too(path):
    content = bytearray(path.read_bytes())
    content[content.find(b'"command": "test"') + 13] ^= 1
    path.write_bytes(content)
    (finding,) = validate(path).findings
    assert str(finding).startswith("member metadata.json: its bytes have changed")


def test_a_label_without_recordings_is_noted(tmp_path):
    make(tmp_path / "x.pkl.zip", labels=(0, 0, 0))
    (finding,) = validate(tmp_path / "x.pkl.zip").findings
    assert str(finding) == "note: recordings: no instance of 1 of the labels ('metal')"
