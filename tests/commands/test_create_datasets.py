import numpy as np
import pytest
from PIL import Image

from commands.create_datasets import Options, run
from common.errors import CommandError
from datasets.container import open_dataset


@pytest.fixture
def image_dir(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("ape", "bee"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{number}.png")
    return tmp_path / "pictures"


def test_says_what_it_wrote(image_dir, tmp_path, capsys):
    created = run(Options(image_dir, tmp_path / "out", image_size=5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "2 labels, pictures of 5x5 pixels.",
        "full: 18 training, 2 validation, 4 testing",
        "local: not written, as a label has too few pictures for it; 100 are always enough.",
    ]
    assert [line.split()[1] for line in lines[3:]] == [str(file) for file in created.files]
    dataset = open_dataset(tmp_path / "out" / "full.rgb.pkl.zip")
    assert dataset.created_by["options"]["image_size"] == 5


def test_says_what_it_left_out(image_dir, tmp_path, capsys):
    for number in range(11):
        (image_dir / "ape" / f"x{number:02}.jpg").write_text("text")
    (image_dir / "ape" / "notes.txt").write_text("text")
    run(Options(image_dir, tmp_path / "out"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Left out, being no picture in a label's folder: 1.", "  ape/notes.txt"]
    del lines[1]
    assert lines[1] == "Left out, being unreadable: 11."
    assert lines[2] == "  'ape/x00.jpg': it is no picture of a known format"
    assert lines[12] == f"  ... all of them are listed in {tmp_path / 'out' / 'unreadable.txt'}"


def test_says_how_many_are_in_no_group(image_dir, tmp_path, capsys):
    for number in range(12):
        folder = image_dir / "ape" / "deep" / "1999"
        folder.mkdir(parents=True, exist_ok=True)
        (image_dir / "ape" / f"{number}.png").rename(folder / f"Édith {number % 4} - {number}.png")
    pattern = "([^/]+?)(?= - )"
    created = run(Options(image_dir, tmp_path / "out", group_by=pattern))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "--group-by: 4 groups, each in one subset.",
        "--group-by: 12 of 24 pictures are in no group, such as '0.png'.",
    ]
    assert created.grouped.num_groups == 4
    run(Options(image_dir, tmp_path / "out", group_by=r"\d(?=\.png)"))
    assert "in no group" not in capsys.readouterr().out


def test_strict_leaves_nothing_behind(image_dir, tmp_path):
    (image_dir / "ape" / "x.jpg").write_text("text")
    with pytest.raises(CommandError, match=r"x\.jpg' can't be used"):
        run(Options(image_dir, tmp_path / "out", strict=True))
    assert not (tmp_path / "out").exists()
