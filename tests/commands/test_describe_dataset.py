import os

import numpy as np
import pytest
from PIL import Image

from commands.describe_dataset import Options, run
from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from datasets.looks import label_means
from results import drawing
from results.contact_sheet import contact_sheet
from results.mean_pictures import mean_pictures


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


def test_pictures_are_averaged_once_for_both_sheets(path, tmp_path, capsys, monkeypatch):
    averaged = []
    monkeypatch.setattr(
        drawing, "label_means", lambda *args: averaged.append(args) or label_means(*args)
    )
    run(Options(path, tmp_path / "sheet.png", mean_pictures=tmp_path / "means.png"))
    assert len(averaged) == 1
    assert capsys.readouterr().out.endswith(
        f"\n\nWrote {tmp_path / 'sheet.png'}.\nWrote {tmp_path / 'means.png'}.\n"
    )
    for name, function in (("sheet", contact_sheet), ("means", mean_pictures)):
        function(open_dataset(path)).save(tmp_path / f"{name}-alone.png")
        files = tmp_path / f"{name}.png", tmp_path / f"{name}-alone.png"
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("option", ["contact_sheet", "mean_pictures"])
def test_what_is_no_picture_is_refused_at_once(tmp_path, capsys, option):
    path = tmp_path / "flat.pkl.zip"
    subsets = {"training": (np.zeros((2, 4)), [0, 1])}
    form = {"layout": "flat", "scale": 1, "picture_shape": None}
    write_dataset(path, subsets, {"a": 0, "b": 1}, **form)
    with pytest.raises(CommandError, match=f"so no {option.replace('_', ' ')[:-1]}.* can be drawn"):
        run(Options(path, **{option: tmp_path / "x.png"}))
    assert capsys.readouterr().out == ""


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CommandError, match="is a pipe or a device"):
        run(Options(tmp_path / "pipe"))
