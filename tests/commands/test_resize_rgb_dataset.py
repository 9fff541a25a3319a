import numpy as np
import pytest

from commands.resize_rgb_dataset import Options, run
from common.errors import CommandError
from datasets.container import open_dataset, write_dataset


def test_writes_a_resized_copy(tmp_path, capsys):
    path, out = tmp_path / "x.pkl.zip", tmp_path / "y.pkl.zip"
    pictures = np.zeros((6, 5, 5, 3), np.uint8)
    write_dataset(
        path,
        {"training": (pictures, np.zeros(6))},
        {"a": 0},
        layout="nhwc",
        scale=255,
        picture_shape=(5, 5, 3),
        created_by={"command": "create_datasets"},
    )
    assert run(Options(path, out, x_size=8, y_size=4)) == out
    assert capsys.readouterr().out == f"Wrote {out}: 6 pictures of 8x4 pixels.\n"
    dataset = open_dataset(out)
    assert dataset.picture_shape == (4, 8, 3)
    assert dataset.created_by["from"] == {"command": "create_datasets"}


def test_a_missing_dataset_leaves_nothing_behind(tmp_path):
    with pytest.raises(CommandError, match="does not exist"):
        run(Options(tmp_path / "x", tmp_path / "y", x_size=8, y_size=4))
    assert list(tmp_path.iterdir()) == []
