"""create_datasets as it is used: many pictures of every kind, several processes, interruptions."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from commands.create_datasets import Options, run
from common.errors import CommandError
from datasets.container import open_dataset
from datasets.create import create_datasets
from datasets.pictures import decode
from tests.paths import ROOT

KINDS = {
    "plain.jpg": {"quality": 95},
    "UPPER.JPG": {"quality": 95},
    "x.png": {},
    "x.webp": {"lossless": True},
    "x.GIF": {"save_all": True},
    "x.bmp": {},
    "x.TIFF": {},
}
MANAGE = str(ROOT / "manage.py")


def blob(seed, size=(40, 56)):
    """A smooth picture in colour that no other seed's resembles."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def image_dir(tmp_path):
    """150 pictures of every kind, some in deeper folders, links among them."""
    for label in ("jazz", "metal"):
        for number in range(75):
            name, options = list(KINDS.items())[number % len(KINDS)]
            folder = tmp_path / "pictures" / label / ("" if number % 3 else f"artist {number % 4}")
            folder.mkdir(parents=True, exist_ok=True)
            image = blob(1000 * (label == "metal") + number)
            if name == "x.GIF":
                options = {**options, "append_images": [Image.new("RGB", image.size)]}
            image.save(folder / f"{number:02} {name}", **options)
    (tmp_path / "elsewhere.png").write_bytes(b"")
    blob(5000).save(tmp_path / "elsewhere.png")
    (tmp_path / "pictures" / "jazz" / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    return tmp_path / "pictures"


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def lists(out):
    return json.loads((out / "full-dataset-filenames.json").read_text())


def test_every_kind_is_read_and_the_number_of_workers_changes_no_byte(image_dir, tmp_path):
    outs = [tmp_path / f"out-{number}" for number in (1, 2)]
    for number, out in enumerate(outs, start=1):
        created = create_datasets(image_dir, out, image_size=16, num_workers=number)
        assert created.unreadable == {} and created.others == []
        assert created.duplicates.num_groups == 0
    assert contents(outs[0]) == contents(outs[1])
    names = [name for chosen in lists(outs[0]).values() for name in chosen]
    assert len(names) == 151
    training = open_dataset(outs[0] / "full.rgb.pkl.zip").subset("training")
    for row, name in enumerate(lists(outs[0])["training"]):
        np.testing.assert_array_equal(training.instances[row], decode(image_dir / name, (16, 16)))
        number = int(re.match(r".*?(\d\d) [^/]*$|", name)[1] or 0)
        if name.endswith((".png", ".webp", ".bmp", ".TIFF")) and "linked" not in name:
            shown = blob(1000 * name.startswith("metal") + number).resize((16, 16), 3)
            np.testing.assert_array_equal(training.instances[row], np.asarray(shown))


def test_the_order_of_the_file_system_does_not_matter(image_dir, tmp_path, monkeypatch):
    create_datasets(image_dir, tmp_path / "one", image_size=8)
    scandir = os.scandir

    class Shuffled:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = list(entries)
            random.Random(3).shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    create_datasets(image_dir, tmp_path / "two", image_size=8)
    monkeypatch.undo()
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("mode", ["stretch", "crop", "fit"])
@pytest.mark.parametrize("size", [(60, 90), (91, 60), (300, 200), (20, 10)])
def test_resize_modes(tmp_path, mode, size):
    image = blob(1, size)
    image.save(tmp_path / "x.png")
    found = decode(tmp_path / "x.png", (24, 24), mode).astype(int)
    expected = {
        "stretch": lambda: image.resize((24, 24), Image.Resampling.BICUBIC),
        "crop": lambda: ImageOps.fit(image, (24, 24), Image.Resampling.BICUBIC),
        "fit": lambda: ImageOps.pad(image, (24, 24), Image.Resampling.BICUBIC, color="black"),
    }[mode]()
    assert np.abs(found - np.asarray(expected)).max() <= 1


def test_crop_of_a_very_long_picture_takes_no_memory(tmp_path):
    Image.new("RGB", (60_000, 1), "red").save(tmp_path / "x.png")
    assert (decode(tmp_path / "x.png", (64, 64), "crop") == [255, 0, 0]).all()
    assert decode(tmp_path / "x.png", (64, 64), "fit").any(axis=(1, 2)).sum() == 1


def covers(tmp_path, count=30):
    folder = tmp_path / "covers"
    for index, label in enumerate(("folk", "jazz")):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            artist = "Duo" if number % 10 == 0 else f"{label} {number // 3}"
            name = f"{artist} - {number:03}.png"
            blob(1000 * index + number).save(folder / label / name)
    return folder


def test_a_reissue_under_another_label_stays_in_one_subset(tmp_path):
    folder = covers(tmp_path)
    for number in range(1, 9):
        image = blob(number, (80, 112))
        image.save(folder / "jazz" / f"reissue {number}.jpg", quality=80)
    (folder / "folk" / "copy.png").write_bytes((folder / "folk" / "folk 0 - 001.png").read_bytes())
    created = create_datasets(folder, tmp_path / "out", image_size=16)
    found = created.duplicates
    assert (found.num_groups, found.num_pictures, found.num_across_labels) == (8, 17, 8)
    lines = (tmp_path / "out" / "duplicates.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:4] == ["group", "path", "label", "subset"]
    rows = [line.split("\t") for line in lines[1:]]
    subset_of = {
        name: subset for subset, names in lists(tmp_path / "out").items() for name in names
    }
    by_group = {}
    for group, path, label, subset, width, height, content, bits in rows:
        assert subset_of[path] == subset and path.startswith(label)
        assert (width, height) == (("112", "80") if "reissue" in path else ("56", "40"))
        assert content == "same" if path == "folk/folk 0 - 001.png" else content != "same"
        assert int(bits) <= 4
        by_group.setdefault(group, set()).add(subset)
    assert len(by_group) == 8 and all(len(subsets) == 1 for subsets in by_group.values())
    create_datasets(folder, tmp_path / "out", image_size=16, duplicate_distance=None)
    assert len((tmp_path / "out" / "duplicates.tsv").read_text().splitlines()) == 3
    created = create_datasets(folder, tmp_path / "out", image_size=16, drop_duplicates=True)
    assert created.duplicates.num_dropped == 9
    assert sum(created.counts["full"].values()) == 60
    assert "\tdropped\t" in (tmp_path / "out" / "duplicates.tsv").read_text()
    for number in range(1, 9):
        (folder / "jazz" / f"reissue {number}.jpg").unlink()
    (folder / "folk" / "copy.png").unlink()
    create_datasets(folder, tmp_path / "out", image_size=16)
    assert not (tmp_path / "out" / "duplicates.tsv").exists()


def test_unreadable_pictures_are_no_duplicates(tmp_path):
    folder = covers(tmp_path)
    for number in range(5):
        (folder / "jazz" / f"bad {number}.jpg").write_text("text")
    created = create_datasets(folder, tmp_path / "out", image_size=16)
    assert created.duplicates.num_groups == 0 and len(created.unreadable) == 5


@pytest.mark.parametrize("pattern", [r"^[^/]+(?= - )", r"^(.*) - "])
def test_pictures_of_an_artist_stay_together(tmp_path, pattern):
    folder = covers(tmp_path)
    created = create_datasets(folder, tmp_path / "out", image_size=8, group_by=pattern)
    assert created.grouped.num_groups == 21
    subsets = {}
    for subset, names in lists(tmp_path / "out").items():
        for name in names:
            subsets.setdefault(name.split("/")[1].split(" - ")[0], set()).add(subset)
    assert all(len(found) == 1 for found in subsets.values())
    assert len(subsets["Duo"]) == 1
    sizes = created.counts["full"]
    assert abs(sizes["training"] - 48) <= 3 and min(sizes.values()) >= 3


def test_labels_and_numbers_of_pictures(tmp_path):
    folder = covers(tmp_path)
    (folder / "soul").mkdir()
    blob(9).save(folder / "soul" / "only.png")
    created = create_datasets(
        folder, tmp_path / "out", image_size=8, labels=["jazz", "folk"], max_per_label=20
    )
    assert created.labels == ["folk", "jazz"] and created.others == []
    assert created.counts["full"] == {"training": 32, "validation": 4, "testing": 4}


BAD = [
    ({"group_by": "("}, r"--group-by '\(' is no regular expression: .*; give one"),
    ({"group_by": "nothing"}, "--group-by 'nothing' is found in none of the paths below"),
    ({"labels": ["jazz", "flok"]}, "Unknown label 'flok'. Did you mean 'folk'"),
    ({"max_per_label": 0}, "--max-per-label is 0; give a number of pictures from 1"),
    (
        {"max_per_label": 5},
        "--max-per-label is 5, and a label needs at least 10 .* give 10 or more",
    ),
    ({"num_workers": 0}, "--num-workers is 0; give a number of processes from 1"),
    ({"duplicate_distance": 40}, "--duplicate-distance is 40; give a number of bits"),
    ({"resize_mode": "crop"}, "--resize-mode crop needs a size; give --image-size"),
    ({"group_by": "()"}, "The validation subset would be empty"),
]


@pytest.mark.parametrize(("options", "sentence"), BAD)
def test_bad_options(tmp_path, options, sentence):
    folder = covers(tmp_path, 12)
    with pytest.raises(CommandError, match=sentence):
        create_datasets(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_label_that_a_subset_lacks_is_named(tmp_path, capsys):
    folder = covers(tmp_path)
    for number in range(12):
        (folder / "soul").mkdir(exist_ok=True)
        blob(9).save(folder / "soul" / f"{number}.png")
    created = run(Options(folder, tmp_path / "out"))
    sentence = "has no 'soul': the groups of its pictures that must stay together are too few or"
    assert f"The testing subset {sentence} too large." in capsys.readouterr().out.splitlines()
    assert created.missing == [("validation", "soul"), ("testing", "soul")]


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    folder, out = covers(tmp_path), tmp_path / "out"
    code = (
        "import sys\nfrom pathlib import Path\nfrom datasets.outputs import all_or_nothing\n"
        "with all_or_nothing(Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(CommandError, match="Another create_datasets is writing to"):
            create_datasets(folder, out)
        other.kill()
    assert [file.name.startswith(".create_datasets-") for file in out.iterdir()] == [True]
    create_datasets(folder, out)
    assert not [file for file in out.iterdir() if file.name.startswith(".")]


def alive_below(folder):
    """Returns the processes that have a file of this folder open or were told of it."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            told = (process / "cmdline").read_bytes()
            opened = [str(file.readlink()) for file in (process / "fd").iterdir()]
        except OSError:
            continue
        if str(folder) in os.fsdecode(told) or any(str(folder) in name for name in opened):
            found.append(process.name)
    return found


def test_killed_at_any_moment_and_run_again(tmp_path):
    folder = covers(tmp_path, 150)
    options = ["--image-size", "200", "--num-workers", "2"]
    command = [sys.executable, MANAGE, "create_datasets", str(folder)]
    start = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole"), *options], check=True, capture_output=True)
    duration = time.monotonic() - start
    expected, out = contents(tmp_path / "whole"), tmp_path / "out"
    generator = random.Random(0)
    for share in [*(generator.uniform(0.1, 1) for _ in range(6)), 0.9, 0.97]:
        with subprocess.Popen(
            [*command, str(out), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(share * duration)
            process.send_signal(signal.SIGKILL)
        if out.exists():
            for file in out.iterdir():  # whatever has its name is whole
                hidden = file.name.startswith(".create_datasets-")
                assert hidden or file.read_bytes() == expected[file.name]
    deadline = time.monotonic() + 10
    while alive_below(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive_below(out)
    subprocess.run([*command, str(out), *options], check=True, capture_output=True)
    assert contents(out) == expected
