import gzip
import struct

import numpy as np
import pytest

from common.errors import CommandError
from datasets.idx import read_idx

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + VALUES.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_gzipped_or_not(tmp_path, pack):
    (tmp_path / "x").write_bytes(pack(CONTENT))
    np.testing.assert_array_equal(read_idx(tmp_path / "x", 3), VALUES)


BAD = [
    (b"", "begins with nothing, not 00 00 08 03; get"),
    (b"<html>", "begins with 3c 68 74 6d, not 00 00 08 03"),
    (bytes([0, 0, 8, 1]) + CONTENT[4:], "with 3 axes: it begins with 00 00 08 01"),
    (bytes([0, 0, 13, 3]) + CONTENT[4:], "begins with 00 00 0d 03"),
    (CONTENT[:10], "is no IDX file"),
    (CONTENT[:-1], r"declares the shape \(2, 3, 4\), 24 bytes, but holds 23; get a whole"),
    (CONTENT + b"x", "but holds 25"),
    (gzip.compress(CONTENT)[:-9], "can't be read: .*; get a whole copy"),
    (gzip.compress(CONTENT)[:20] + bytes(9), "can't be read: .*; get a whole copy"),
    (CONTENT[:4] + struct.pack(">3I", *[2**32 - 1] * 3), "declares the shape .4294967295, "),
]


@pytest.mark.parametrize(("content", "sentence"), BAD)
def test_bad_files(tmp_path, content, sentence):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CommandError, match=sentence):
        read_idx(tmp_path / "x", 3)


def test_missing_file(tmp_path):
    with pytest.raises(CommandError, match="can't be read: No such file"):
        read_idx(tmp_path / "x", 1)
