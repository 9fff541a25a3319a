import numpy as np
import pytest

from commands import main
from commands.resize_rgb_dataset import Options, run
from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from datasets.describe import describe


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.pkl.zip"
    write_dataset(
        path,
        {"training": (np.zeros((6, 5, 5, 3), np.uint8), np.zeros(6))},
        {"a": 0},
        layout="nhwc",
        scale=255,
        picture_shape=(5, 5, 3),
        created_by={"command": "create_datasets", "pictures": SIZES},
    )
    return path


SIZES = {"sizes": [[7, 9, 6]], "num_sizes": 1, "formats": {"PNG": 6}}


def test_writes_a_resized_copy(path, tmp_path, capsys):
    out = tmp_path / "y.pkl.zip"
    assert run(Options(path, out, x_size=8, y_size=4)) == out
    assert capsys.readouterr().out == f"Wrote {out}: 6 pictures of 8x4 pixels in one file.\n"
    dataset = open_dataset(out)
    assert dataset.picture_shape == (4, 8, 3)
    assert dataset.created_by["from"] == {"command": "create_datasets"}


def test_writes_a_folder_as_convert_dataset_does(path, tmp_path, capsys):
    line = ["resize_rgb_dataset", str(path), "small", "--x-size", "8", "--y-size", "4"]
    assert main([*line, "--shard-size", "4"]) == 0
    said = "Wrote small: 6 pictures of 8x4 pixels in 2 shards of up to 4.\n"
    assert capsys.readouterr().out == said
    assert open_dataset(tmp_path / "small").picture_shape == (4, 8, 3)
    line[2] = "small.zip"
    assert main(line) == 1
    assert "small.zip ends in .zip; give NAME.pkl.zip for a file" in capsys.readouterr().err


def test_the_originals_sizes_stay_known(path, tmp_path):
    for out in ("y", "z.pkl.zip"):
        path = run(Options(path, tmp_path / out, x_size=8, y_size=4))
        assert "originals  7x9 (6) pixels; PNG (6)" in describe(open_dataset(path))


def test_a_missing_dataset_leaves_nothing_behind(tmp_path):
    with pytest.raises(CommandError, match="does not exist"):
        run(Options(tmp_path / "x", tmp_path / "y", x_size=8, y_size=4))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_dataset_is_left_as_it_is(path):
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(CommandError, match="is damaged, and nothing was written: its member 'arr"):
        run(Options(path, path, x_size=8, y_size=4))
    assert path.read_bytes() == content
