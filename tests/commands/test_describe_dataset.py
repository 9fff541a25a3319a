import numpy as np
import pytest
from PIL import Image

from commands.describe_dataset import Options, run
from common.errors import CommandError
from datasets.container import write_dataset


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.pkl.zip"
    pictures = np.full((6, 5, 5, 3), 51, np.uint8)
    subsets = {"training": (pictures, np.arange(6) % 2)}
    write_dataset(
        path, subsets, {"ape": 0, "bee": 1}, layout="nhwc", scale=255, picture_shape=(5, 5, 3)
    )
    return path


def test_prints_and_draws(path, tmp_path, capsys):
    dataset = run(Options(path, contact_sheet=tmp_path / "sheet.png", per_label=2))
    output = capsys.readouterr().out
    assert "mean 51, standard deviation 0, from 51 to 51 (training)" in output
    assert output.endswith(f"\nWrote {tmp_path / 'sheet.png'}.\n")
    assert dataset.label_names == ["ape", "bee"]
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 2 * 80


def test_an_unknown_kind_of_picture_is_refused_at_once(path, tmp_path, capsys):
    with pytest.raises(CommandError, match=r"give a name that ends in .png"):
        run(Options(path, contact_sheet=tmp_path / "sheet.xyz"))
    assert capsys.readouterr().out == ""
