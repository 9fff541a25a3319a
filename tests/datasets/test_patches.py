"""Patches against loops over the recordings, and against MIRdl's own rule."""

import mmap
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.errors import CommandError
from datasets import dataset as dataset_module
from datasets.patches import patch_dataset, patch_starts
from tests.recorded import spectra, write

LENGTHS = [12, 3, 7, 8, 21, 4]


def of_mirdl(length: int, frames: int, hop: int) -> list[int]:
    """As `chunk` in MIRdl's source has it."""
    return list(range(0, int((length - frames) / hop) * hop, hop))


def whole(length: int, frames: int, hop: int) -> list[int]:
    return [start for start in range(0, length, hop) if start + frames <= length]


def parts(**subsets):
    return {name: np.array(numbers, np.int64) for name, numbers in subsets.items()}


@pytest.fixture
def recordings(tmp_path):
    return write(tmp_path / "x.pkl.zip", spectra(LENGTHS))


@pytest.mark.parametrize(("policy", "rule"), [("all", whole), ("original", of_mirdl)])
@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    frames=st.integers(1, 20),
    hop=st.integers(1, 25),
)
@example(lengths=[5, 4, 6], frames=5, hop=1)
@example(lengths=[1], frames=20, hop=1)
def test_patches_begin_where_the_rule_says(policy, rule, lengths, frames, hop):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts, recordings = patch_starts(offsets, frames, hop, policy)
    expected = [
        (offsets[number] + start, number)
        for number, length in enumerate(lengths)
        for start in rule(length, frames, hop)
    ]
    assert list(zip(starts, recordings, strict=True)) == expected


@pytest.mark.parametrize("gathered", [2**20, 100])
@pytest.mark.parametrize("policy", ["all", "original"])
@pytest.mark.parametrize(("frames", "hop"), [(4, 4), (4, 1), (3, 5), (1, 1), (7, 2)])
def test_a_patch_is_the_transposed_slice_of_its_recording(
    recordings, frames, hop, policy, gathered, monkeypatch
):
    monkeypatch.setattr(dataset_module, "GATHERED_BYTES", gathered)
    chosen = parts(training=[4, 0, 2], validation=[1, 5], testing=[3])
    dataset = patch_dataset(recordings, chosen, frames, hop, policy)
    assert dataset.instance_shape == (1, 5, frames)
    rule = whole if policy == "all" else of_mirdl
    for name, numbers in chosen.items():
        expected = [
            (recordings[number][start : start + frames].T[np.newaxis], number)
            for number in sorted(numbers)
            for start in rule(LENGTHS[number], frames, hop)
        ]
        subset = dataset.subset(name)
        instances = subset.read(slice(None))
        assert len(instances) == len(subset) == len(expected)
        for instance, (values, _) in zip(instances, expected, strict=True):
            assert np.array_equal(instance, values)
        assert subset.recordings.tolist() == [number for _, number in expected]
        assert np.array_equal(subset.labels, recordings.labels[subset.recordings])


def test_nothing_is_copied(recordings):
    subset = patch_dataset(recordings, parts(training=range(6)), 4, 1).subset("training")
    assert np.shares_memory(subset.instances, recordings.frames)
    assert subset.instances[0].ctypes.data == recordings.frames.ctypes.data
    assert not subset.instances.flags.writeable
    base = recordings.frames.base
    assert isinstance(base, mmap.mmap)


def mapped_bytes(path) -> int:
    """How much of a file this process has in its memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))
        for line in lines
        if line.endswith(str(path))
    )


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
@pytest.mark.parametrize("stays", [True, False])
def test_a_file_stays_mapped_by_its_size_not_by_that_of_its_patches(tmp_path, monkeypatch, stays):
    """Else all that a batch reads of a small one would have to be mapped anew for the next."""
    recordings = write(tmp_path / "x.pkl.zip", spectra([3000, 3000]))
    subset = patch_dataset(recordings, parts(training=[0, 1]), 20, 1).subset("training")
    frames = recordings.frames.nbytes
    monkeypatch.setattr(dataset_module, "KEPT_MAPPED", frames if stays else frames - 1)
    subset.read(np.random.default_rng(0).permutation(len(subset)))
    assert (mapped_bytes(recordings.path) > 0.9 * frames) == stays


def test_recordings_that_are_too_short_are_counted(recordings):
    dataset = patch_dataset(recordings, parts(training=range(6)), 8, 4)
    assert dataset.num_too_short == 3
    assert np.unique(dataset.subset("training").recordings).tolist() == [0, 3, 4]
    dataset = patch_dataset(recordings, parts(training=range(6)), 8, 4, "original")
    assert dataset.num_too_short == 4  # the original needs a hop more, and one of 8 has none


def test_no_recording_is_as_long_as_a_patch(recordings):
    assert len(patch_dataset(recordings, parts(training=range(6)), 21, 9).subset("training")) == 1
    with pytest.raises(CommandError) as caught:
        patch_dataset(recordings, parts(training=range(6)), 22, 9)
    assert str(caught.value) == (
        "--patch-frames 22 needs recordings of 22 frames, but the longest in "
        f"{recordings.path} has 21 (0.5 s); give fewer."
    )
    with pytest.raises(CommandError, match="--patch-frames 21 needs recordings of 22 frames"):
        patch_dataset(recordings, parts(training=range(6)), 21, 1, "original")
    assert len(patch_dataset(recordings, parts(training=[4]), 20, 1, "original").subset("training"))


@pytest.mark.parametrize(("frames", "hop", "option"), [(0, 4, "frames"), (4, 0, "hop")])
def test_lengths_that_make_no_sense(recordings, frames, hop, option):
    with pytest.raises(CommandError, match=re.escape(f"--patch-{option} is 0; give at least 1.")):
        patch_dataset(recordings, parts(training=range(6)), frames, hop)


def test_labels_to_keep_keep_their_patches_and_recordings(recordings):
    labelled = write(recordings.path, spectra(LENGTHS), [0, 1, 2, 1, 2, 0])
    dataset = patch_dataset(labelled, parts(training=range(6)), 4, 2).keep_labels(["polka", "jazz"])
    subset = dataset.subset("training")
    expected = [
        (number, start) for number in (0, 2, 4, 5) for start in whole(LENGTHS[number], 4, 2)
    ]
    assert subset.recordings.tolist() == [number for number, _ in expected]
    assert subset.labels.tolist() == [int(number in (2, 4)) for number, _ in expected]
    for instance, (number, start) in zip(subset.read(slice(None)), expected, strict=True):
        assert np.array_equal(instance[0], labelled[number][start : start + 4].T)
