"""Which pictures are found, and what they are taken to show."""

import os
import shutil

import numpy as np
import pytest

from common.errors import CommandError
from datasets.imagenet.listing import list_pictures
from tests.datasets.imagenet.tree import CLASSES, SORTED, make_tree, truth_of, write_kit


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", 2, 6)


def listed(tree, kit="kit"):
    return list_pictures(tree / "train", tree / "val", kit and tree / kit, tree / "out")


def shown(pictures):
    return dict(zip(pictures.names, pictures.labels.tolist(), strict=True))


def into_folders(tree):
    """Sorts the validation pictures into folders, as is common."""
    for file, wordnet_id in zip(sorted((tree / "val").iterdir()), truth_of(tree), strict=True):
        (tree / "val" / wordnet_id).mkdir(exist_ok=True)
        file.rename(tree / "val" / wordnet_id / file.name)
    for wordnet_id in SORTED:
        (tree / "val" / wordnet_id).mkdir(exist_ok=True)
        if not list((tree / "val" / wordnet_id).iterdir()):
            file = next((tree / "train" / wordnet_id).iterdir())
            shutil.copy(file, tree / "val" / wordnet_id)


def test_labels_are_numbered_by_sorted_wordnet_ids(tree):
    found = listed(tree)
    assert found.label_names == [
        "n01440764 tench",
        "n01443537 goldfish",
        "n02084071 dog",
        "n02119789 kit fox",
    ]
    assert found.label_lines[3] == "3\tn02119789\tkit fox, Vulpes macrotis"
    assert shown(found.training) == {
        f"{name}/{name}_{number}.JPEG": label
        for label, name in enumerate(SORTED)
        for number in (0, 7)
    }
    assert shown(found.validation) == {
        f"ILSVRC2012_val_{number:08d}.JPEG": SORTED.index(name)
        for number, name in enumerate(truth_of(tree), start=1)
    }
    assert (found.others, found.bad_names, found.num_foreign) == ([], {}, 0)


def test_validation_pictures_in_folders_need_no_ground_truth(tree):
    flat = shown(listed(tree).validation)
    into_folders(tree)
    next((tree / "kit" / "data").glob("*.txt")).unlink()
    found = shown(listed(tree).validation)
    for path, label in found.items():
        folder, name = path.split("/")
        assert label == SORTED.index(folder) and flat.get(name, label) == label
    without = listed(tree, None)
    assert shown(without.validation) == found
    assert without.label_names == SORTED and without.label_lines[1] == "1\tn01443537"


@pytest.mark.parametrize("sorted_", [False, True])
def test_an_excerpt_of_the_classes(tree, sorted_):
    """Validation pictures of other classes are left out, and counted."""
    if sorted_:
        into_folders(tree)
    everything = {name: SORTED[label] for name, label in shown(listed(tree).validation).items()}
    shutil.rmtree(tree / "train" / SORTED[1])
    left = [SORTED[0], *SORTED[2:]]
    found = listed(tree)
    assert [name.split()[0] for name in found.label_names] == left
    assert shown(found.validation) == {
        name: left.index(one) for name, one in everything.items() if one in left
    }
    assert found.num_foreign == len(everything) - len(found.validation.names) > 0
    assert found.num_foreign_classes == 1


def test_shuffling_is_a_permutation_that_the_seed_decides(tree):
    training = listed(tree).training
    one, same, other = (training.shuffled(seed) for seed in ((0, 0), (0, 0), (1, 0)))
    assert one.names == same.names != other.names
    assert shown(one) == shown(training) == shown(other)
    order = np.random.default_rng((0, 0)).permutation(len(training.names))
    assert one.names == [training.names[index] for index in order]
    assert training.shuffled((0, 0), 3).names == one.names[:3]


def test_what_else_lies_there(tree):
    (tree / "train" / "README").touch()
    (tree / "train" / SORTED[0] / "list.txt").touch()
    (tree / "val" / ".hidden.JPEG").touch()
    os.mkfifo(tree / "val" / "pipe.JPEG")
    (tree / "train" / SORTED[0] / "two\nlines.JPEG").touch()
    found = listed(tree)
    train = tree / "train"
    assert found.others == [str(train / "README"), str(train / SORTED[0] / "list.txt")]
    path = str(train / SORTED[0] / "two\nlines.JPEG")
    assert found.bad_names == {path: "its name has a line break"}
    assert len(found.training.names) == 8


def refused(tree, match, kit="kit"):
    with pytest.raises(CommandError, match=match):
        listed(tree, kit)


def test_a_kit_of_other_classes(tree):
    (tree / "train" / SORTED[0]).rename(tree / "train" / "n99999999")
    (tree / "train" / SORTED[1]).rename(tree / "train" / "n02083346")  # an inner node of the kit
    refused(
        tree,
        r"2 of the 4 folders in .*/train, such as 'n02083346', are no WordNet id of the 4 "
        r"classes in .*/meta\.mat; take both",
    )


def test_a_ground_truth_of_other_pictures(tree):
    write_kit(tree / "kit", truth=[1, 2, 3])
    refused(tree, "val has 6 pictures, but the ground truth in .*/kit has 3 lines, one for each")
    write_kit(tree / "kit", truth=[1] * 6)
    (tree / "val" / "ILSVRC2012_val_00000003.JPEG").rename(
        tree / "val" / "ILSVRC2012_val_00000009.JPEG"
    )
    refused(tree, r"val has ILSVRC2012_val_00000004\.JPEG in the place 3 of its pictures, so ano")
    for number, file in enumerate(sorted((tree / "val").iterdir()), start=1):
        file.rename(tree / "val" / f"val_{number}.JPEG")  # of which 10 would come before 2
    refused(tree, r"val has 'val_1\.JPEG', but the ground truth says .* give them those names, or")


def test_validation_pictures_that_nothing_labels(tree):
    refused(tree, r"in no folder, such as 'ILSVRC2012_val_00000001\.JPEG'; give --devkit", None)
    shutil.rmtree(tree / "val")
    refused(tree, "The folder .*/val of validation pictures does not exist")


def test_folders_that_are_not_those_of_training(tree):
    into_folders(tree)
    shutil.rmtree(tree / "val" / SORTED[2])
    for kit in ("kit", None):
        refused(
            tree, f"no pictures in 1 of the 4 folders that .*/train has, such as '{SORTED[2]}'", kit
        )


def test_a_ground_truth_of_other_classes_only(tree):
    shutil.rmtree(tree / "train" / CLASSES[1][0])
    write_kit(tree / "kit", truth=[1] * 6)
    refused(tree, "No picture in .*/val shows a class that has a folder in .*/train; take both")
