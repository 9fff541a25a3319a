import numpy as np
import pytest

from commands import main
from commands.convert_dataset import Options as Convert
from commands.convert_dataset import run as convert
from commands.validate_dataset import Options, run
from common.errors import CommandError
from datasets.container import write_dataset


def test_what_is_fine(digits, tmp_path, capsys):
    shards = convert(Convert(digits, tmp_path / "digits.shards", shard_size=500))
    capsys.readouterr()
    for path in (digits, shards):
        assert main(["validate_dataset", str(path)]) == 0
        assert capsys.readouterr().out == f"{path} is fine: 1,797 instances read.\n"
    assert run(Options(shards)).instances == 1797


@pytest.fixture
def damaged(digits, tmp_path):
    shards = convert(Convert(digits, tmp_path / "digits.shards", shard_size=100))
    for number in range(9):
        file = shards / f"training-{number:05d}.npy"
        array = np.load(file)
        array[3] = 0
        np.save(file, array)
    (shards / "testing-00000.npy").unlink()
    return shards


def test_all_findings_at_once(damaged, capsys):
    capsys.readouterr()
    assert main(["validate_dataset", str(damaged)]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2 * 9 + 2
    assert lines[9].startswith("testing, testing-00000.npy: its shard 'testing-00000.npy' is miss")
    assert lines[10] == "mean.npy: it is not the mean of the training instances"
    assert lines[12] == (
        "note: training, training-00001.npy: one colour all over in 1 instance (103)"
    )  # fmt: skip
    assert err == (
        f"manage.py: {damaged} has 11 faults (1,697 instances read); see the list above.\n"
    )


def test_a_few_are_shown(damaged, capsys):
    capsys.readouterr()
    assert main(["validate_dataset", str(damaged), "--max-shown", "3"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "... and 17 more"
    with pytest.raises(CommandError, match="--max-shown is 0; give a number from 1"):
        run(Options(damaged, max_shown=0))


def test_notes_alone_are_no_fault(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 3, 3, 3), np.uint8)
    pixels[2] = 0
    subsets = {"training": (pixels, [0, 1, 0, 1]), "testing": (pixels[:1], [0])}
    options = {"layout": "nhwc", "scale": 255, "picture_shape": None}
    write_dataset(tmp_path / "x.pkl.zip", subsets, {"a": 0, "b": 1}, **options)
    assert main(["validate_dataset", "x.pkl.zip"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "note: training, member array_0: one colour all over in 1 instance (2)",
        "note: testing: no instance of 1 of the labels ('b')",
        "x.pkl.zip is fine: 5 instances read; 2 notes, see above.",
    ]


def test_what_is_not_there(capsys):
    assert main(["validate_dataset", "no.pkl.zip"]) == 1
    assert "The dataset no.pkl.zip does not exist" in capsys.readouterr().err
