"""Development kits, right and wrong ones."""

import numpy as np
import pytest
from scipy.io import savemat

from common.errors import CommandError
from datasets.imagenet.devkit import read_ground_truth, read_kit
from tests.datasets.imagenet.tree import CLASSES, write_kit


@pytest.mark.parametrize("year", [2012, 2014])
@pytest.mark.parametrize("as_row", [False, True])
def test_the_classes_are_the_synsets_without_children(tmp_path, year, as_row):
    folder = write_kit(tmp_path / "kit", year, [4, 1, 1], as_row=as_row)
    for devkit in (folder, folder / "data"):
        kit = read_kit(devkit)
        assert kit.wordnet_ids == {number: name for number, (name, _) in CLASSES.items()}
        assert list(kit.words.items()) == sorted(CLASSES.values())
        expected = ["n01443537", "n02119789", "n02119789"]
        assert read_ground_truth(devkit, kit) == expected


@pytest.mark.parametrize("number", ["ILSVRC2014_ID", "ILSVRC2015_CLSLOC_ID"])
def test_a_single_synset(tmp_path, number):
    synsets = np.zeros((1, 1), [(number, object), ("WNID", object), ("name", object)])
    synsets[0, 0] = (7.0, "n7", "a thing")
    savemat(tmp_path / "meta_clsloc.mat", {"synsets": synsets})
    kit = read_kit(tmp_path)
    assert (kit.wordnet_ids, kit.words) == ({7: "n7"}, {"n7": "a thing"})


def test_a_folder_that_is_no_kit(tmp_path):
    with pytest.raises(CommandError, match=r"kit .*/nowhere is no folder; give the unpacked dev"):
        read_kit(tmp_path / "nowhere")
    with pytest.raises(CommandError, match=r"has neither meta_clsloc\.mat nor meta\.mat, nor has"):
        read_kit(tmp_path)


def test_files_that_are_none_of_a_kit(tmp_path):
    file = tmp_path / "meta.mat"
    start = rf"{file} is not of a development kit of ImageNet: "
    for content in (b"", b"text", b"MATLAB 5.0 MAT-file" + bytes(200)):
        file.write_bytes(content)
        with pytest.raises(
            CommandError, match=f"{start}it is no MATLAB file, or a damaged one; give"
        ):
            read_kit(tmp_path)
    savemat(file, {"other": 1})
    with pytest.raises(CommandError, match=f"{start}it has no synsets; give"):
        read_kit(tmp_path)
    savemat(file, {"synsets": np.arange(3)})
    with pytest.raises(CommandError, match=f"{start}its synsets have the fields none; give"):
        read_kit(tmp_path)
    savemat(file, {"synsets": {"WNID": "n1", "words": "x"}})
    with pytest.raises(CommandError, match=f"{start}its synsets have the fields WNID, words; give"):
        read_kit(tmp_path)
    savemat(file, {"synsets": {"ILSVRC2012_ID": "one", "WNID": "n1", "words": "x"}})
    with pytest.raises(CommandError, match=f"{start}a synset has no number"):
        read_kit(tmp_path)
    savemat(file, {"synsets": {"ILSVRC2012_ID": 1, "WNID": "n1", "num_children": 2}})
    with pytest.raises(CommandError, match=f"{start}it has no class without children"):
        read_kit(tmp_path)


def test_a_damaged_file(tmp_path):
    file = write_kit(tmp_path / "kit") / "data" / "meta.mat"
    whole = file.read_bytes()
    for length in (50, 200, len(whole) // 2, len(whole) - 8):
        file.write_bytes(whole[:length])
        with pytest.raises(CommandError, match="is not of a development kit of ImageNet"):
            read_kit(tmp_path / "kit")


def test_ground_truth_that_fits_no_kit(tmp_path):
    folder = write_kit(tmp_path / "kit", truth=[1, 2, 5])
    kit = read_kit(folder)
    with pytest.raises(
        CommandError, match=r"Line 3 of .*truth\.txt is the class 5, which .* 4 classes go from 1 t"
    ):
        read_ground_truth(folder, kit)
    file = folder / "data" / "ILSVRC2012_validation_ground_truth.txt"
    file.write_text("1\ntwo\n")
    with pytest.raises(CommandError, match=r"Line 2 of .* is 'two', and must be the number of a"):
        read_ground_truth(folder, kit)
    file.write_text("1\n\n2\n")
    with pytest.raises(CommandError, match=r"Line 2 of .* is '', and must be"):
        read_ground_truth(folder, kit)
    file.write_bytes(b"\xff\xfe1\n")
    with pytest.raises(CommandError, match=r"can't be read: it is no plain text"):
        read_ground_truth(folder, kit)
    file.rename(file.with_name("truth.txt"))
    with pytest.raises(CommandError, match=r"has no ILSVRC20\*validation_ground_truth\.txt, nor h"):
        read_ground_truth(folder, kit)
