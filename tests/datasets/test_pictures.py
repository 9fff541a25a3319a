import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import pictures
from datasets.pictures import UPRIGHT, PictureError, decode, displayed_size, resized, suffixes
from tests.datasets.misbehaving_server import many_scans

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)


def save(tmp_path, image, name, **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "tga"])
def test_lossless_formats_in_colour_and_grey(tmp_path, suffix):
    path = save(tmp_path, Image.fromarray(RGB), f"x.{suffix}")
    decoded = decode(path)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, RGB)
    path = save(tmp_path, Image.fromarray(GREY), f"y.{suffix}")
    np.testing.assert_array_equal(decode(path), np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize("suffix", ["webp", "gif", "avif", "jp2"])
def test_other_formats_open(tmp_path, suffix):
    path = save(tmp_path, Image.new("RGB", (16, 16), (200, 100, 50)), f"x.{suffix}")
    assert np.abs(decode(path).astype(int) - [200, 100, 50]).max() < 12


def test_one_bit_and_palette(tmp_path):
    bits = Image.fromarray(GREY > 127)
    expected = np.stack([np.where(GREY > 127, 255, 0)] * 3, axis=2)
    np.testing.assert_array_equal(decode(save(tmp_path, bits, "x.png")), expected)
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    path = save(tmp_path, palette, "y.png")
    np.testing.assert_array_equal(decode(path), [[[10, 20, 30], [40, 50, 60]]])


def test_transparency_is_laid_over_white(tmp_path):
    alpha = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
    over_white = (RGB * (alpha[..., None] / 255) + 255 - alpha[..., None]).round()
    rgba = Image.fromarray(np.dstack([RGB, alpha]))
    assert np.abs(decode(save(tmp_path, rgba, "x.png")) - over_white).max() <= 1
    over_white = GREY * (alpha / 255) + 255 - alpha
    la = Image.fromarray(np.dstack([GREY, alpha]))
    assert la.mode == "LA"
    difference = decode(save(tmp_path, la, "y.png")) - over_white[..., None]
    assert np.abs(difference).max() <= 1


def test_transparent_palette_and_colour_key(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    path = save(tmp_path, palette, "x.png", transparency=0)
    np.testing.assert_array_equal(decode(path), [[[255, 255, 255], [40, 50, 60]]])
    key = Image.new("RGB", (1, 1), (1, 2, 3))
    path = save(tmp_path, key, "y.png", transparency=(1, 2, 3))
    np.testing.assert_array_equal(decode(path), [[[255, 255, 255]]])


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 128, 257, 32768, 65279, 65535]], np.uint16)
    expected = np.round(values / 65535 * 255).astype(int)
    path = save(tmp_path, Image.fromarray(values), "x.png")
    np.testing.assert_array_equal(decode(path)[..., 0], expected)
    path = save(tmp_path, Image.fromarray(values), "x.tif")
    np.testing.assert_array_equal(decode(path)[..., 1], expected)
    (tmp_path / "x.pgm").write_bytes(b"P5 6 1 65535\n" + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(decode(tmp_path / "x.pgm")[..., 2], expected)


def test_numbers_without_a_known_range_are_refused(tmp_path):
    path = save(tmp_path, Image.fromarray(np.full((2, 2), 70000, np.int32)), "x.tif")
    with pytest.raises(PictureError, match="32-bit integers of no known range"):
        decode(path)
    path = save(tmp_path, Image.fromarray(np.ones((2, 2), np.float32)), "y.tif")
    with pytest.raises(PictureError, match="floating-point numbers of no known range"):
        decode(path)


def test_cmyk(tmp_path):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert np.abs(decode(save(tmp_path, cmyk, "x.tif")).astype(int) - [255, 0, 0]).max() == 0
    assert np.abs(decode(save(tmp_path, cmyk, "x.jpg")).astype(int) - [255, 0, 0]).max() < 8


# Where the picture's top left corner stands in a file of each orientation (EXIF 2.3, tag 0x0112).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
}


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", STORED)
def test_rotated_by_exif(tmp_path, orientation, suffix):
    assert set(UPRIGHT) == set(STORED) - {1}
    corners = np.zeros((16, 24, 3), np.uint8)
    corners[:8, :8], corners[:8, 16:], corners[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](corners)))
    options = {"subsampling": 0, "quality": 95} if suffix == "jpg" else {}
    path = save(tmp_path, stored, f"x.{suffix}", exif=exif, **options)
    assert displayed_size(path) == (16, 24)
    assert np.abs(decode(path).astype(int) - corners).max() < 20
    resized = decode(path, (8, 12))
    assert resized.shape == (8, 12, 3)
    assert np.abs(resized[1, 1].astype(int) - [255, 0, 0]).max() < 40
    assert np.abs(resized[1, 10].astype(int) - [0, 255, 0]).max() < 40


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(path), np.full((4, 4, 3), [255, 0, 0]))


def test_resizing_stretches_and_a_draft_is_close_to_the_whole(tmp_path):
    y, x = np.mgrid[:400, :600]
    smooth = np.dstack([x * 255 // 599, y * 255 // 399, (x + y) * 255 // 998]).astype(np.uint8)
    path = save(tmp_path, Image.fromarray(smooth), "x.jpg", quality=95)
    resized = decode(path, (30, 40))
    whole = Image.fromarray(smooth).resize((40, 30), Image.Resampling.BOX)
    assert resized.shape == (30, 40, 3)
    assert np.abs(resized.astype(int) - np.asarray(whole)).max() <= 4


def test_damaged_exif_data_does_not_cost_the_picture(tmp_path):
    path = save(tmp_path, Image.fromarray(RGB), "x.png", exif=b"Exif\0\0MM\0*\xff\xff")
    np.testing.assert_array_equal(decode(path), RGB)


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_text_truncated_and_missing_files(tmp_path, name):
    path = tmp_path / name
    path.write_text("no picture at all")
    with pytest.raises(PictureError, match="it is no picture of a known format"):
        decode(path)
    with pytest.raises(PictureError, match="it is no picture of a known format"):
        displayed_size(path)
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PictureError, match="truncated"):
        decode(path)
    path.unlink()
    with pytest.raises(PictureError, match="No such file"):
        decode(path)


def test_damaged_pixels(tmp_path):
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[200:260] = bytes(60)
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureError):
        decode(tmp_path / "x.png")


def test_decompression_bombs_are_refused(tmp_path):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    for side in (10_000, 30_000):  # above Pillow's limit, and above twice that
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
        (tmp_path / "bomb.png").write_bytes(content + chunk(b"IEND", b""))
        with pytest.raises(PictureError, match="it has more than 89,478,485 pixels"):
            decode(tmp_path / "bomb.png")


def test_a_jpeg_of_many_scans_is_refused_undecoded(tmp_path):
    (tmp_path / "x.jpg").write_bytes(many_scans())
    start = time.process_time()
    with pytest.raises(PictureError, match="it has 10,010 scans, more than a picture needs"):
        decode(tmp_path / "x.jpg")
    assert time.process_time() - start < 1
    assert displayed_size(tmp_path / "x.jpg") == (1990, 1990)


def test_postscript_is_never_opened(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(PictureError, match="it is no picture of a known format"):
        decode(tmp_path / "x.jpg")
    assert ".eps" not in suffixes()


def test_suffixes_are_those_of_pictures():
    assert {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".webp", ".mpo"} <= suffixes()
    assert not {".txt", ".pdf", ".db", ""} & suffixes()
    assert set(pictures.FORMATS) <= set(Image.OPEN)


@pytest.mark.parametrize("side", [20, 49])
def test_the_middle_of_any_size_is_taken(side):
    """Rounding makes the box around the middle of some begin before the picture."""
    for width in range(40, 80):
        for height in range(40, 80, 3):
            assert resized(Image.new("RGB", (width, height)), (side, side), "crop").width == side
