import io
import time

import numpy as np
import pytest
from PIL import Image

from datasets import pictures
from datasets.pictures import PictureError, decode
from datasets.whole_picture import fault
from tests.datasets.misbehaving_server import bomb, many_scans, picture

KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


@pytest.mark.parametrize("kind", KINDS)
def test_whole_pictures(kind):
    assert fault(io.BytesIO(picture(kind))) is None


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_cut_anywhere_are_found_as_by_a_full_decoding(tmp_path, mode, progressive):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", progressive=progressive)
    content = file.getvalue()
    assert fault(io.BytesIO(content)) is None
    for length in range(0, len(content), 97):
        (tmp_path / "cut.jpg").write_bytes(content[:length])
        with pytest.raises(PictureError):
            decode(tmp_path / "cut.jpg")
        assert fault(io.BytesIO(content[:length]))


def test_bombs_are_refused_unread():
    assert fault(io.BytesIO(bomb())) == "it has more than 89,478,485 pixels"


def test_a_jpeg_of_many_scans_is_refused_undecoded():
    file = io.BytesIO(many_scans())
    start = time.process_time()
    assert fault(file) == "it has 10,010 scans, more than a picture needs"
    assert time.process_time() - start < 1
    assert fault(io.BytesIO(many_scans(50))) is None


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 1000])
def test_scans_are_counted_once_wherever_the_file_is_cut_in_reading(monkeypatch, step):
    monkeypatch.setattr(pictures, "READ_AT_ONCE", step)
    assert fault(io.BytesIO(many_scans(100))).startswith("it has 110 scans")


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(1000), b"\xff\xd8\xff"])
def test_no_pictures(content):
    assert fault(io.BytesIO(content))


def test_large_pictures_pass_too():
    file = io.BytesIO()
    Image.new("L", (2500, 2000)).save(file, "PNG")
    assert fault(file) is None
