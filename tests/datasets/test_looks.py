import numpy as np
import pytest
from PIL import Image

from commands.create_datasets import Options, run
from datasets import dataset as dataset_module
from datasets import looks
from datasets.container import open_dataset, write_dataset
from datasets.dataset import Subset
from datasets.describe import describe
from datasets.looks import as_rgb, label_means, look

RNG = np.random.default_rng(0)


def smooth(count, channels=3):
    coarse = RNG.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    images = [Image.fromarray(one).resize((20, 20), Image.Resampling.BICUBIC) for one in coarse]
    pictures = np.stack([np.asarray(image) for image in images])
    return pictures if channels == 3 else pictures[..., :1]


def make(path, subsets, layout="nhwc", scale=255, shape=(20, 20, 3)):
    labels = {"ape": 0, "bee": 1}
    write_dataset(path, subsets, labels, layout=layout, scale=scale, picture_shape=shape)
    return open_dataset(path)


@pytest.mark.parametrize("layout", ["nhwc", "nchw", "flat", "float"])
def test_duplicates_and_grey_in_every_layout(tmp_path, layout):
    training, testing = smooth(20), smooth(6)
    training[7] = training[3]
    testing[0] = np.clip(training[4].astype(int) + 1, 0, 255)
    testing[1] = training[5]
    training[9] = training[9, :, :, :1]
    subsets = {"training": training, "testing": testing}
    labels = {"training": np.array([0, 1] * 10), "testing": np.array([0, 0, 1, 1, 1, 1])}
    if layout == "nchw":
        subsets = {name: one.transpose(0, 3, 1, 2) for name, one in subsets.items()}
    if layout in ("flat", "float"):
        subsets = {name: one.reshape(len(one), -1) for name, one in subsets.items()}
    if layout == "float":
        subsets = {name: (one / 255).astype(np.float32) for name, one in subsets.items()}
    pairs = {name: (subsets[name], labels[name]) for name in subsets}
    kind, scale = ("flat", 1) if layout == "float" else (layout, 255)
    dataset = make(tmp_path / "x.pkl.zip", pairs, kind, scale)
    found = look(dataset)
    assert (found.num_pictures, found.num_grey) == (26, 1)
    assert (found.num_groups, found.num_in_groups) == (3, 6)
    assert (found.num_across_labels, found.num_leaking) == (1, 2)
    np.testing.assert_array_equal(as_rgb(dataset, dataset.subsets["training"].instances), training)
    means = label_means(dataset, (20, 20))
    for label in (0, 1):
        expected = training[labels["training"] == label].mean(axis=0)
        np.testing.assert_allclose(means[label], expected)


@pytest.mark.parametrize("sum_bytes", [1, 2 * 8 * 20 * 20 * 3, 2**28])
def test_means_are_read_once_and_reduced(tmp_path, sum_bytes, monkeypatch):
    monkeypatch.setattr(looks, "SUM_BYTES", sum_bytes)
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", 5000)
    pictures, labels = smooth(30), np.arange(30) % 4
    names = {"ape": 0, "bee": 1, "none": 2, "cat": 3, "dog": 4}
    labels[labels >= 2] += 1
    path = tmp_path / "x.pkl.zip"
    form = {"layout": "nhwc", "scale": 255, "picture_shape": (20, 20, 3)}
    write_dataset(path, {"training": (pictures, labels)}, names, **form)
    read, counts = Subset.read, []

    def counting(subset, positions):
        counts.append(len(positions))
        return read(subset, positions)

    monkeypatch.setattr(Subset, "read", counting)
    means = label_means(open_dataset(path), (30, 20))
    assert list(means) == [0, 1, 3, 4] and sum(counts) == 30
    for label, mean in means.items():
        np.testing.assert_allclose(mean, pictures[labels == label].mean(axis=0))
    small = label_means(open_dataset(path), (10, 5))[1]
    expected = pictures[labels == 1].mean(axis=0).reshape(5, 4, 10, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small, expected, rtol=1e-5)


def test_what_is_not_finite_is_black_or_white(tmp_path):
    values = np.zeros((1, 1, 4, 3))
    values[0, 0, :, 0] = np.nan, np.inf, -np.inf, 1e308
    dataset = make(tmp_path / "x.pkl.zip", {"training": (values, [0])}, scale=1, shape=(1, 4, 3))
    assert as_rgb(dataset, dataset.subsets["training"].instances)[..., 0].tolist() == [
        [[0, 255, 0, 255]]
    ]


def line(dataset, name):
    (found,) = [one for one in describe(dataset).splitlines() if one.startswith(name)]
    return found.removeprefix(name).strip()


def test_the_description_names_what_was_found(tmp_path):
    pictures = smooth(10)
    pictures[1] = pictures[0]
    validation = smooth(4)
    subsets = {"training": (pictures, [0] * 7 + [1] * 3), "validation": (validation, [0, 0, 0, 1])}
    dataset = make(tmp_path / "x.pkl.zip", subsets)
    assert line(dataset, "grey") == "0 of 14 pictures (0.0 %)"
    assert line(dataset, "duplicates") == (
        "2 pictures in 1 group of (nearly) the same; none across subsets"
    )
    assert line(dataset, "balance") == (
        "from 3 (bee) to 7 (ape) of a label in training; "
        "always answering ape scores 75.0 % in validation"
    )
    subsets = {"training": (smooth(6, 1), [0, 1] * 3)}
    dataset = make(tmp_path / "y.pkl.zip", subsets, shape=(20, 20, 1))
    assert line(dataset, "grey") == "6 of 6 pictures (100.0 %)"
    assert line(dataset, "duplicates") == "none, not even nearly the same"
    assert line(dataset, "balance").startswith("3 of each label in training; always answering ape")


def test_the_sizes_before_resizing_are_known(tmp_path):
    for label in ("ape", "bee"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number, picture in enumerate(smooth(12)):
            image = Image.fromarray(picture)
            image = image.resize((30 + number // 6, 40)) if label == "ape" else image
            image.save(tmp_path / "pictures" / label / f"{number}.{'png' if number else 'jpg'}")
    run(Options(tmp_path / "pictures", tmp_path / "out", image_size=8))
    dataset = open_dataset(tmp_path / "out" / "full.rgb.pkl.zip")
    assert line(dataset, "originals") == (
        "20x20 (12), 30x40 (6), 31x40 (6) pixels; JPEG (2), PNG (22)"
    )
    for number in range(12):
        path = tmp_path / "pictures" / "bee" / f"{number}.{'png' if number else 'jpg'}"
        Image.fromarray(smooth(1)[0]).resize((30 + number, 50)).save(path)
    run(Options(tmp_path / "pictures", tmp_path / "out", image_size=8))
    dataset = open_dataset(tmp_path / "out" / "full.rgb.pkl.zip")
    assert line(dataset, "originals") == (
        "30x40 to 41x50 pixels, median 31x50, 14 sizes, most often 30x40 (6), 31x40 (6), "
        "30x50 (1); JPEG (2), PNG (22)"
    )


@pytest.mark.parametrize("note", [{"sizes": 3}, {}, {"sizes": [[1]]}, "text", {"formats": []}])
def test_notes_of_other_programs_do_no_harm(tmp_path, note):
    path = tmp_path / "x.pkl.zip"
    write_dataset(
        path,
        {"training": (smooth(4), [0, 1, 0, 1])},
        {"ape": 0, "bee": 1},
        layout="nhwc",
        scale=255,
        picture_shape=(20, 20, 3),
        created_by={"pictures": note},
    )
    description = describe(open_dataset(path))
    assert ("originals  not known" in description) == bool(note)
    assert ("originals" in description) == bool(note)
