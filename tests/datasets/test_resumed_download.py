import os

import numpy as np
import pytest

from common.errors import CommandError
from datasets.download import DownloadError
from datasets.resumed_download import download_resumed, from_first
from tests.datasets.range_server import RangeServer

CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x.tar.gz").write_bytes(CONTENT)
    with RangeServer(tmp_path / "served") as server:
        yield server


def get(server, path, name="x.tar.gz"):
    download_resumed(f"{server.address}/{name}", path, timeout=5)


def test_at_once(server, tmp_path):
    path = tmp_path / "new" / "x"
    get(server, path)
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["x"]
    assert server.requests == [("/x.tar.gz", None)]


def test_in_three_parts(server, tmp_path):
    path = tmp_path / "new" / "x"
    server.breaks_after = 120_000
    for received in (120_000, 240_000):
        with pytest.raises(DownloadError, match=rf"broke off after {received:,} bytes; the same c"):
            get(server, path)
        assert not path.exists()
    get(server, path)
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["x"]
    assert [part for _, part in server.requests] == [None, "bytes=120000-", "bytes=240000-"]


@pytest.mark.parametrize(
    "change",
    [
        {"ranges": False},
        {"etag": '"two"'},  # another version of the file
    ],
)
def test_a_server_that_sends_it_all_again(server, tmp_path, change):
    server.breaks_after = 100_000
    with pytest.raises(DownloadError):
        get(server, tmp_path / "x")
    other = CONTENT[::-1]
    (server.folder / "x.tar.gz").write_bytes(other)
    vars(server).update(breaks_after=10**9, **change)
    get(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == other
    assert server.requests[-1] == ("/x.tar.gz", "bytes=100000-")


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_name_of_the_version_it_starts_again(server, tmp_path, etag):
    server.etag, server.breaks_after = etag, 100_000
    with pytest.raises(DownloadError, match="after 100,000 bytes; try again"):
        get(server, tmp_path / "x")
    server.breaks_after = 10**9
    get(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.requests[-1] == ("/x.tar.gz", None)


def test_what_is_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "x.download").write_bytes(CONTENT + b"more")
    (tmp_path / "x.download.etag").write_text(server.etag)
    get(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert [part for _, part in server.requests] == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_server_that_does_not_say_how_long_it_is(server, tmp_path):
    server.length = False
    get(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_what_is_not_there(server, tmp_path):
    with pytest.raises(DownloadError, match=r"/y answers 404 Not Found$"):
        get(server, tmp_path / "new" / "x", "y")
    assert not (tmp_path / "new").exists()


def test_nobody_answers(tmp_path):
    with pytest.raises(DownloadError, match=r"^http://127\.0\.0\.1:9/x: the server can't be reac"):
        download_resumed("http://127.0.0.1:9/x", tmp_path / "x", timeout=5)


def test_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"can't be written"):
        get(server, tmp_path / "file" / "x")


def test_mirrors_are_tried_in_turn(server, tmp_path):
    addresses = [f"{server.address}/{name}" for name in ("nothing", "bad", "x.tar.gz")]
    (server.folder / "bad").write_bytes(b"bad")

    def fault(path):
        return "" if path.read_bytes() == CONTENT else "is bad"

    from_first(addresses, tmp_path / "x", 5, fault)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert sorted(os.listdir(tmp_path)) == ["served", "x"]
    with pytest.raises(CommandError, match=r"^y can't be .*/nothing answers 404.*/bad is bad\. Tr"):
        from_first(addresses[:2], tmp_path / "y", 5, fault)
    assert sorted(os.listdir(tmp_path)) == ["served", "x"]
