import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets import decoding, outputs
from datasets.container import open_dataset
from datasets.create import create_datasets
from datasets.split import parse_shares
from datasets.workers import in_order

ROOT = Path(__file__).parents[2]
NAMES = ["full.pkl.zip", "full.rgb.pkl.zip", "local.pkl.zip", "local.rgb.pkl.zip"]
LISTS = [
    f"{part}{rest}"
    for part in ("full", "local")
    for rest in ("-dataset-filenames.json", ".training.txt", ".validation.txt", ".testing.txt")
]


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def out_dir(tmp_path):
    return tmp_path / "out"


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_every_picture_is_where_the_lists_say(make_pictures, out_dir, layout):
    image_dir = make_pictures({"rock": 110, "jazz": 100})
    created = create_datasets(image_dir, out_dir, layout=layout)
    assert names_in(out_dir) == sorted(NAMES + LISTS)
    assert sorted(file.name for file in created.files) == sorted(NAMES + LISTS)
    assert created.counts == {
        "full": {"training": 168, "validation": 21, "testing": 21},
        "local": {"training": 16, "validation": 2, "testing": 3},
    }
    assert created.labels == ["jazz", "rock"]
    for part in ("full", "local"):
        lists = json.loads((out_dir / f"{part}-dataset-filenames.json").read_text())
        grey = open_dataset(out_dir / f"{part}.pkl.zip")
        rgb = open_dataset(out_dir / f"{part}.rgb.pkl.zip")
        assert (grey.layout, grey.scale, grey.picture_shape) == ("flat", 255, (12, 10, 1))
        assert (rgb.layout, rgb.scale, rgb.picture_shape) == (layout, 255, (12, 10, 3))
        for subset, paths in lists.items():
            caffe = (out_dir / f"{part}.{subset}.txt").read_text().splitlines()
            labels = [{"jazz": 0, "rock": 1}[path.split("/")[0]] for path in paths]
            assert caffe == [f"{p} {i}" for p, i in zip(paths, labels, strict=True)]
            assert grey.subset(subset).labels.tolist() == labels
            assert rgb.subset(subset).labels.tolist() == labels
            for row, path in enumerate(paths):
                with Image.open(image_dir / path) as image:
                    pixels, luma = np.asarray(image), np.asarray(image.convert("L"))
                stored = rgb.subset(subset).instances[row]
                stored = stored if layout == "nhwc" else stored.transpose(1, 2, 0)
                np.testing.assert_array_equal(stored, pixels)
                np.testing.assert_array_equal(grey.subset(subset).instances[row], luma.ravel())


def test_grey_is_the_luma_of_itu_r_601():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(outputs.grey(pixels) - luma.reshape(5, 42)).max() < 0.51


def test_two_runs_are_equal_and_another_seed_is_not(make_pictures, tmp_path):
    image_dir = make_pictures({"a": 30, "b": 20})
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        create_datasets(image_dir, tmp_path / name, seed=seed)
    one, two, three = (
        (tmp_path / n / "full.pkl.zip").read_bytes() for n in ("one", "two", "three")
    )
    assert one == two != three


def test_sizes_are_stretched_and_pictures_are_decoded_once(make_pictures, out_dir, monkeypatch):
    image_dir = make_pictures({"a": 12, "b": 11})
    Image.new("RGB", (31, 40), "red").save(image_dir / "a" / "other.jpg")
    calls = Counter()
    read = decoding.read_picture
    monkeypatch.setattr(
        decoding,
        "read_picture",
        lambda path, *args, **kwargs: (calls.update([path]), read(path, *args, **kwargs))[1],
    )
    created = create_datasets(image_dir, out_dir, image_size=6)
    assert created.picture_shape == (6, 6, 3)
    assert open_dataset(out_dir / "full.rgb.pkl.zip").instance_shape == (3, 6, 6)
    assert set(calls.values()) == {1}
    assert len(calls) == 24


def test_different_sizes_without_image_size(make_pictures, out_dir):
    image_dir = make_pictures({"a": 12, "b": 11})
    Image.new("RGB", (31, 40), "red").save(image_dir / "a" / "other.jpg")
    sentence = "different sizes, 10x12 .23., 31x40 .1., and .*--image-size 10"
    with pytest.raises(CommandError, match=sentence):
        create_datasets(image_dir, out_dir)
    assert not out_dir.exists()


def test_what_is_no_picture_is_left_out_before_the_split(make_pictures, out_dir):
    image_dir = make_pictures({"a": 12, "b": 10})
    (image_dir / "a" / "text.jpg").write_text("text")
    (image_dir / "a" / "line\nbreak.png").write_bytes((image_dir / "a" / "000.png").read_bytes())
    (image_dir / "a" / "notes.txt").write_text("text")
    (image_dir / "a" / ".hidden.jpg").write_text("text")
    (image_dir / ".git").mkdir()
    (image_dir / "empty").mkdir()
    (image_dir / "a" / "deeper").mkdir()
    (image_dir / "README.md").write_text("text")
    (image_dir / "download-report.tsv").write_text("text")  # download_dataset_images' own
    (image_dir / "a" / "download-report.tsv").write_text("text")
    created = create_datasets(image_dir, out_dir)
    assert created.counts["full"] == {"training": 17, "validation": 2, "testing": 3}
    others = ["README.md", "a/deeper", "a/download-report.tsv", "a/notes.txt", "empty/"]
    assert created.others == others
    assert created.unreadable == {
        "a/line\nbreak.png": "its name has a line break",
        "a/text.jpg": "it is no picture of a known format",
    }
    lines = (out_dir / "unreadable.txt").read_text().splitlines()
    assert lines == [
        r"'a/line\nbreak.png': its name has a line break",
        "'a/text.jpg': it is no picture of a known format",
    ]
    (image_dir / "a" / "text.jpg").unlink()
    (image_dir / "a" / "line\nbreak.png").unlink()
    create_datasets(image_dir, out_dir)
    assert "unreadable.txt" not in names_in(out_dir)


def test_file_names_that_are_not_utf_8(make_pictures, out_dir):
    image_dir = make_pictures({"a": 11, "b": 10})
    (image_dir / "a" / "000.png").rename(image_dir / "a" / os.fsdecode(b"\xff.png"))
    created = create_datasets(image_dir, out_dir)
    assert list(created.unreadable.values()) == ["its name is not UTF-8"]
    assert r"\udcff" in (out_dir / "unreadable.txt").read_text()


def test_strict_refuses_unreadable_pictures(make_pictures, out_dir):
    image_dir = make_pictures({"a": 12, "b": 10})
    (image_dir / "a" / "text.jpg").write_text("text")
    for image_size in (None, 5):
        with pytest.raises(
            CommandError, match=r"a/text\.jpg' can't be used: it is no picture.*--str"
        ):
            create_datasets(image_dir, out_dir, strict=True, image_size=image_size)
    assert not out_dir.exists()


def test_strict_refuses_bad_names(make_pictures, out_dir):
    image_dir = make_pictures({"a": 12, "b": 10})
    (image_dir / "a" / "000.png").rename(image_dir / "a" / "line\nbreak.png")
    with pytest.raises(
        CommandError, match=r"a/line\\nbreak\.png' can't be used: its name has a line"
    ):
        create_datasets(image_dir, out_dir, strict=True)
    assert not out_dir.exists()


def test_too_few_pictures_for_local(make_pictures, out_dir):
    image_dir = make_pictures({"a": 100, "b": 50})
    created = create_datasets(image_dir, out_dir)
    assert list(created.counts) == ["full"]
    assert not list(out_dir.glob("local*"))
    with pytest.raises(CommandError, match="--skip-full-pickle leaves nothing to write"):
        create_datasets(image_dir, out_dir / "new", skip_full_pickle=True)
    assert not (out_dir / "new").exists()


def test_skip_full_pickle_writes_the_lists_of_full(make_pictures, out_dir):
    create_datasets(make_pictures({"a": 100, "b": 100}), out_dir, skip_full_pickle=True)
    assert names_in(out_dir) == sorted([*LISTS, "local.pkl.zip", "local.rgb.pkl.zip"])


def test_an_output_folder_within_the_pictures_is_no_label(make_pictures):
    image_dir = make_pictures({"a": 10, "b": 10})
    for _ in range(2):
        created = create_datasets(image_dir, image_dir / "out")
        assert created.labels == ["a", "b"]


BAD = [
    ({}, "has no labels' folders; put every label's pictures in a folder"),
    ({"a": 20}, "has a single label's folder, 'a', and a network needs at least two"),
    ({"a": 20, "b": 9}, "needs at least 10 pictures .* in .*pictures the label 'b' has 9; add"),
    ({"a": 20, "b": 0}, "has a single label's folder, 'a'"),
    ({"a": 10, "b\nc": 10}, "can't be a label: its name has a line break"),
]


@pytest.mark.parametrize(("counts", "sentence"), BAD)
def test_folders_that_cannot_be_split(make_pictures, tmp_path, out_dir, counts, sentence):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "loose.png")
    with pytest.raises(CommandError, match=sentence):
        create_datasets(make_pictures(counts) if counts else tmp_path / "pictures", out_dir)
    assert not out_dir.exists()


def test_a_label_whose_readable_pictures_are_too_few(make_pictures, out_dir):
    image_dir = make_pictures({"a": 10, "b": 10})
    (image_dir / "a" / "000.png").write_text("text")
    with pytest.raises(CommandError, match=r"the label 'a' has 9 .1 more can't be read."):
        create_datasets(image_dir, out_dir)
    assert not out_dir.exists()


def test_what_has_become_of_a_label_with_too_few_is_told(make_pictures, out_dir):
    image_dir = make_pictures({"a": 12, "b": 30, "c": 12})
    for number in range(29):
        (image_dir / "b" / f"{number:03}.png").write_bytes(
            (image_dir / "b" / "029.png").read_bytes()
        )
    for label in "ac":
        (image_dir / label / "text.png").write_text("text")
    (image_dir / "c" / "001.png").unlink()
    sentence = (
        f"A label needs at least 10 pictures for training and validation, but in {image_dir} the "
        "label 'b' has 1 (29 more dropped by --drop-duplicates); add pictures or remove"
    )
    options = {"drop_duplicates": True, "shares": parse_shares("0.9,0.1,0")}
    with pytest.raises(CommandError, match=re.escape(sentence)):
        create_datasets(image_dir, out_dir, **options)
    options |= {"labels": ["a", "c"], "max_per_label": 10, "seed": 1}
    text = r"'c' has 9 \(1 more can't be read, 2 more not drawn by --max-per-label\); add"
    with pytest.raises(CommandError, match=f"the label {text}"):
        create_datasets(image_dir, out_dir, **options)


def test_a_label_without_any_picture_left_for_training_alone(make_pictures, out_dir):
    image_dir = make_pictures({"a": 3, "b": 1})
    (image_dir / "b" / "000.png").write_text("text")
    sentence = r"at least 1 picture for training, but .*'b' has 0 .1 more can't be read.; add"
    with pytest.raises(CommandError, match=sentence):
        create_datasets(image_dir, out_dir, shares=parse_shares("1,0,0"))


@pytest.mark.parametrize(
    ("counts", "pattern", "groups"),
    [
        ((12, 12), r"^\d\d", "2 groups"),
        ((12, 12), "", "1 group"),
        ((11, 10), "^00", "2 groups"),  # one of 20 and a single picture
    ],
)
def test_groups_too_few_for_the_subsets(make_pictures, out_dir, counts, pattern, groups):
    image_dir = make_pictures(dict(zip("ab", counts, strict=True)))
    sentence = (
        rf"The (validation|testing) subset would be empty, as the pictures make up {groups} that "
        r"must stay together .--group-by; a picture that is in none counts as one., too few for "
        r"training, validation and testing; add pictures, or give another --group-by\."
    )
    with pytest.raises(CommandError, match=sentence):
        create_datasets(image_dir, out_dir, group_by=pattern)
    assert not out_dir.exists()


def test_duplicates_too_few_for_the_subsets(make_pictures, out_dir):
    image_dir = make_pictures({"a": 10, "b": 10})
    for label in "ab":
        for number in range(10):
            first = (image_dir / label / "000.png").read_bytes()
            (image_dir / label / f"{number:03}.png").write_bytes(first)
    sentence = r"2 groups .*together \(duplicates; a .*; add pictures, or give --drop-duplicates\."
    with pytest.raises(CommandError, match=sentence):
        create_datasets(image_dir, out_dir)
    sentence = r"together \(duplicates and --group-by; .* give --drop-duplicates or another --group"
    with pytest.raises(CommandError, match=sentence):
        create_datasets(image_dir, out_dir, group_by="0")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_more_memory_than_there_is(make_pictures, out_dir, num_workers):
    image_dir = make_pictures({"a": 70, "b": 70})
    arguments = [str(image_dir), str(out_dir), "--image-size", "16384"]
    command = [sys.executable, str(ROOT / "manage.py"), "create_datasets", *arguments]
    limited = f"ulimit -v 1000000; exec {shlex.join(command)} --num-workers {num_workers}"
    result = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    sentence = "--image-size 16384 needs more memory than there is; give a smaller one."
    assert (result.returncode, result.stderr) == (1, f"manage.py: {sentence}\n")
    assert not out_dir.exists()


def test_a_worker_that_dies_is_not_told_as_a_file_that_cannot_be_written(out_dir):
    sentence = "has died .signal 9.*smaller --image-size"
    with pytest.raises(CommandError, match=sentence), outputs.all_or_nothing(out_dir):
        list(in_order(partial(signal.raise_signal), [signal.SIGKILL] * 200, 2))


def test_missing_folder_and_wrong_size(tmp_path, make_pictures, out_dir):
    with pytest.raises(CommandError, match=r"The folder .*nowhere does not exist; put"):
        create_datasets(tmp_path / "nowhere", out_dir)
    with pytest.raises(CommandError, match="--image-size is 0; give a number"):
        create_datasets(make_pictures({"a": 10, "b": 10}), out_dir, image_size=0)
    with pytest.raises(CommandError, match="--image-size is 16385; give 16,384 pixels at most"):
        create_datasets(tmp_path / "pictures", out_dir, image_size=16_385)


def test_a_failure_keeps_the_old_outputs_and_leaves_nothing_new(
    make_pictures, out_dir, monkeypatch
):
    image_dir = make_pictures({"a": 100, "b": 100})
    create_datasets(image_dir, out_dir, seed=0)
    before = {file.name: file.read_bytes() for file in out_dir.iterdir()}
    write_dataset = outputs.write_dataset

    def interrupted(path, *args, **options):
        if path.name == "local.rgb.pkl.zip":
            raise KeyboardInterrupt
        write_dataset(path, *args, **options)

    monkeypatch.setattr(outputs, "write_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_datasets(image_dir, out_dir, seed=1)
    assert {file.name: file.read_bytes() for file in out_dir.iterdir()} == before


FULL_DISK_SCRIPT = """
import resource, signal, sys
from pathlib import Path
from common.errors import CommandError
from datasets.create import create_datasets
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    create_datasets(Path(sys.argv[1]), Path(sys.argv[2]))
except CommandError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [2000, 300_000, 650_000])  # within the scratch file, a zip
def test_a_file_system_that_takes_no_more(make_pictures, out_dir, limit):
    image_dir = make_pictures({"a": 120, "b": 120}, size=(30, 30))
    command = [sys.executable, "-c", FULL_DISK_SCRIPT, str(image_dir), str(out_dir), str(limit)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == f"{out_dir} can't be written: File too large; choose another place.\n"
    assert not out_dir.exists()
