import os

import pytest
from PIL import Image

from common.errors import CommandError
from datasets.scan import find_pictures

SUFFIXES = ["jpg", "JPG", "Jpeg", "PNG", "webp", "gif", "BMP", "tif", "TIFF"]


@pytest.fixture
def image_dir(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "pictures" / label / "deep" / "deeper").mkdir(parents=True)
        for place in ("x.png", "deep/x.png", "deep/deeper/x.PNG"):
            Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / label / place)
    return tmp_path / "pictures"


def test_at_any_depth_in_any_case(image_dir, tmp_path):
    for suffix in SUFFIXES:
        (image_dir / "a" / f"y.{suffix}").touch()
    listing = find_pictures(image_dir, tmp_path / "out")
    expected = ["deep/deeper/x.PNG", "deep/x.png", "x.png"]
    assert listing.pictures["b"] == expected
    assert listing.pictures["a"] == sorted(expected + [f"y.{suffix}" for suffix in SUFFIXES])
    assert list(listing.pictures) == ["a", "b"]
    assert listing.others == []


def test_links_are_followed_once(image_dir, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (4, 4)).save(elsewhere / "z.jpg")
    (image_dir / "c").symlink_to(elsewhere)
    (image_dir / "a" / "linked").symlink_to(elsewhere)
    (image_dir / "a" / "one.jpg").symlink_to(elsewhere / "z.jpg")
    (image_dir / "a" / "deep" / "up").symlink_to(image_dir / "a")
    (image_dir / "a" / "self").symlink_to("self")
    (image_dir / "a" / "nowhere.png").symlink_to("missing")
    listing = find_pictures(image_dir, tmp_path / "out")
    assert listing.pictures["c"] == ["z.jpg"]
    assert {"linked/z.jpg", "one.jpg", "nowhere.png"} <= set(listing.pictures["a"])
    assert listing.others == ["a/deep/up", "a/self"]


def test_special_files_are_no_pictures(image_dir, tmp_path):
    os.mkfifo(image_dir / "a" / "pipe.jpg")
    listing = find_pictures(image_dir, tmp_path / "out")
    assert listing.others == ["a/pipe.jpg"]


def test_the_output_is_left_out_at_any_depth(image_dir):
    out = image_dir / "a" / "deep"
    assert find_pictures(image_dir, out).pictures["a"] == ["x.png"]
    (image_dir / "link").symlink_to(out)
    assert "link" not in find_pictures(image_dir, out).pictures


def test_chosen_labels(image_dir, tmp_path):
    (image_dir / "c").mkdir()
    Image.new("RGB", (4, 4)).save(image_dir / "c" / "x.png")
    assert list(find_pictures(image_dir, tmp_path, ["c", "a"]).pictures) == ["a", "c"]
    with pytest.raises(CommandError, match=r"Unknown label 'B'. Did you mean 'b'\? Valid: a, b, c"):
        find_pictures(image_dir, tmp_path, ["a", "B"])
    with pytest.raises(CommandError, match="a single label's folder, 'a'"):
        find_pictures(image_dir, tmp_path, ["a"])
