"""What a run says of its dataset."""

from dataclasses import replace

import pytest

from results.dataset_lines import LEAK, dataset_lines
from tests.recorded import spectra, write
from training.experiment import Experiment
from training.subsets import open_subsets

LEAK_LINE = (
    "spectrograms are normalised over all recordings, those tested on too, as in MIRdl's paper: "
    "what is known of them leaks into training"
)


def lines(experiment: Experiment) -> list[str]:
    return dataset_lines(open_subsets(experiment), experiment)


@pytest.fixture
def recordings(tmp_path):
    """Eight of one label: six of 12 frames, one of 5, one of 3."""
    arrays = spectra([12] * 6 + [5, 3])
    names = [f"jazz/{number}.wav" for number in range(8)]
    path = tmp_path / "x.pkl.zip"
    return Experiment(write(path, arrays, [0] * 8, names).path, "m", patch_frames=4, folds=8)


def test_pictures(digits):
    line = f"dataset {digits}: 1,433 training, 179 validation, 185 testing; 10 labels"
    assert lines(Experiment(digits, "m")) == [line]


def test_a_fold_of_pictures(digits):
    shown = lines(Experiment(digits, "m", folds=3, fold=2))
    assert shown == [
        f"dataset {digits}: 599 training, 599 validation, 599 testing; 10 labels",
        "fold 2 of 3 is tested on",
    ]


def test_recordings(recordings):
    shown = [lines(replace(recordings, fold=fold)) for fold in range(1, 9)]
    assert {line for one in shown for line in one[2:]} == {"1 recording has no patch of 4 frames"}
    assert [one[1] for one in shown] == [f"fold {fold} of 8 is tested on" for fold in range(1, 9)]
    # 19 patches of 7 recordings: three each of six, one of the seventh, of the eighth none.
    whole = "13 patches of 5 recordings training, 3 patches of 1 recording validation"
    assert any(whole in one[0] for one in shown)
    assert any("1 patch of 1 recording testing" in one[0] for one in shown)
    assert any("0 patches of 0 recordings testing" in one[0] for one in shown)
    assert all(one[0].startswith(f"dataset {recordings.dataset_path}: ") for one in shown)
    assert all(one[0].endswith("; 2 labels") for one in shown)


def test_recordings_without_a_fold_have_the_first(recordings):
    assert lines(recordings) == lines(replace(recordings, fold=1))


def test_mirdls_policy_leaves_recordings_without_a_patch_that_are_long_enough(recordings):
    original = replace(recordings, patch_frames=5, patch_policy="original", patch_hop=1)
    assert lines(original)[2] == "2 recordings have no patch of 5 frames"
    assert lines(replace(original, patch_policy="all"))[2] == "1 recording has no patch of 5 frames"


def test_a_leak_is_told(recordings):
    assert LEAK == LEAK_LINE
    shown = lines(replace(recordings, spectrogram_normalisation="global", patch_frames=3))
    assert shown[2:] == [LEAK_LINE]
    for normalisation in ("training", "local"):
        other = replace(recordings, spectrogram_normalisation=normalisation, patch_frames=3)
        assert lines(other)[2:] == []
