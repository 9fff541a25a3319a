import struct
from pathlib import Path

import numpy as np
import pytest

from commands.download_mnist import Options, run
from common.errors import CommandError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def test_from_a_folder(tmp_path, capsys):
    for part, size in (("train", 12), ("t10k", 4)):
        images = bytes([0, 0, 8, 3]) + struct.pack(">3I", size, 4, 5) + bytes(size * 20)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = bytes([0, 0, 8, 1]) + struct.pack(">I", size) + bytes(size)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    dataset = run(Options(tmp_path / "data", source=str(tmp_path), name="tiny"))
    path = tmp_path / "data" / "tiny.pkl.zip"
    sizes = "10 training, 2 validation, 4 testing"
    assert capsys.readouterr().out.splitlines() == [
        f"Wrote {path}: {sizes} pictures of 5x4 pixels, flat.",
        "For a convolutional network give run_experiment --reshape-to '(1, 4, 5)'.",
    ]
    assert dataset.created_by["command"] == "download_mnist"


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Fashion-MNIST is not installed")
def test_fashion_mnist(tmp_path):
    dataset = run(Options(tmp_path, source=str(FASHION_MNIST), name="fashion-mnist"))
    sizes = {name: len(subset) for name, subset in dataset.subsets.items()}
    assert sizes == {"training": 50_000, "validation": 10_000, "testing": 10_000}
    assert dataset.instance_shape == (784,)
    total = sum(np.bincount(subset.labels, minlength=10) for subset in dataset.subsets.values())
    assert total.tolist() == [7000] * 10
    assert dataset.label_names[:3] == ["T-shirt/top", "Trouser", "Pullover"]
    assert dataset.label_to_index["Ankle boot"] == 9 == dataset.subsets["training"].labels[0]
    shoes = dataset.keep_labels(["Sneaker", "Ankle boot"])
    assert shoes.label_names == ["Ankle boot", "Sneaker"]
    assert shoes.subsets["training"].labels[0] == 0


def test_a_source_without_the_files(tmp_path):
    with pytest.raises(CommandError, match=r"has no file train-images-idx3-ubyte.gz"):
        run(Options(tmp_path / "data", source=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
