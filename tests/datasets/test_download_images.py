"""Lists of links against the misbehaving server: what is written, reported and told."""

import errno
import os
import socket
import time

import pytest

from common.errors import CommandError
from datasets import download_images as module
from datasets.download_images import download_images
from datasets.fetch import Limits
from datasets.picture_folder import PictureFolder
from tests.datasets.misbehaving_server import Server, picture


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT", 0.05)


@pytest.fixture
def download(server, tmp_path):
    """Downloads paths of the server, or addresses, into tmp_path/out."""

    def start(*paths, **options):
        links = [path if "://" in path else f"{server.address}/{path}" for path in paths]
        lines = [f"{url}\tlabel{n % 3}/{n}.jpg" for n, url in enumerate(links)]
        (tmp_path / "links.tsv").write_text("\n".join(lines))
        options = {"limits": Limits(0.5, 50_000)} | options
        return download_images(tmp_path / "links.tsv", tmp_path / "out", **options)

    return start


def files(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.suffix != ".tsv"
    }


def report(out):
    head, *rows = (out / "download-report.tsv").read_text().splitlines()
    assert head == "line\tURL\tstatus\treason\tbytes\tseconds\tfile\tagain"
    return [row.split("\t") for row in rows]


def test_all_there(download, server, tmp_path):
    result = download("ok/0", "png", "chunked", "redirect/2", num_threads=3)
    assert result.num_missing == 0
    assert files(tmp_path / "out") == {
        "label0/0.jpg": picture(),
        "label1/1.jpg": picture("PNG"),
        "label2/2.jpg": picture(),
        "label0/3.jpg": picture(),
    }
    rows = report(tmp_path / "out")
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0][1:5] == [f"{server.address}/ok/0", "fetched", "", str(len(picture()))]
    assert 0 < float(rows[0][5]) < 5
    assert result.summary.startswith("4 of 4 pictures are there (0.0 MB): 4 fetched, 0 from before")


def test_every_fault_at_once_is_told_by_reason_and_host(download, server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        paths = ["ok/a", "404", "410", "404", "403", "500", "503-once/0", "500-once", "truncated",
                 "truncated-once", "html", "damaged", "bomb", "hang", "trickle", "large", "endless",
                 "circle/0", "to-file", f"http://{nobody}/"]  # fmt: skip
        result = download(*paths, retries=1)
    good = [paths.index(path) for path in ("ok/a", "503-once/0", "500-once", "truncated-once")]
    assert set(files(tmp_path / "out")) == {f"label{n % 3}/{n}.jpg" for n in good}
    assert set(files(tmp_path / "out").values()) == {picture()}
    host = server.address.removeprefix("http://")
    assert result.summary.splitlines()[1:] == [
        f"      3 gone (404, 410): {host} 3",
        f"      1 refused by the server: {host} 1",
        f"      1 unreachable: no connection, name or certificate: {nobody} 1",
        f"      1 server error, or too many requests: {host} 1",
        f"      2 timed out: {host} 2",
        f"      1 broken off: {host} 1",
        f"      3 no picture that decodes: {host} 3",
        f"      2 too large: {host} 2",
        f"      2 not allowed: a redirect or private address: {host} 2",
        "Another try may bring 5 of them (unreachable, server error, timed out, broken off): "
        "--retry-failed.",
    ]
    assert result.num_missing == 16
    asked = server.requested
    assert (asked["/404"], asked["/500"], asked["/truncated"], asked["/bomb"]) == (2, 2, 2, 1)
    by_line = {int(row[0]) - 1: row[2:4] for row in report(tmp_path / "out")}
    assert by_line[paths.index("403")] == ["refused", "403 Forbidden"]
    assert by_line[paths.index("hang")] == ["timed out", "not whole within 0.5 seconds"]
    assert by_line[paths.index("html")][1].endswith("(text/html)")


def test_goes_on_where_it_stopped(download, server, tmp_path):
    out = tmp_path / "out"
    download("ok/0", "ok/1", "500-once", retries=0)
    (out / "label0" / "0.jpg").write_bytes(picture()[:900])  # as the original left them
    (out / "label0" / "0.jpg.77.partial").touch()
    result = download("ok/0", "ok/1", "500-once", retries=0)
    assert result.num_missing == 0
    assert "2 fetched, 1 from before" in result.summary
    asked = [server.requested[path] for path in ("/ok/0", "/ok/1", "/500-once")]
    assert asked == [2, 1, 2]
    assert set(files(out).values()) == {picture()}
    assert len(files(out)) == 3


def test_retry_failed_goes_by_the_report(download, server, tmp_path, monkeypatch):
    out = tmp_path / "out"
    paths = ["ok/0", "ok/1", "500-once", "404", "ok/4"]
    with pytest.raises(CommandError, match="goes by the report of the last run, but .* No such"):
        download(*paths, retry_failed=True)
    download(*paths, retries=0)
    (out / "label1" / "4.jpg").unlink()
    looked = []
    really = PictureFolder.whole_size
    monkeypatch.setattr(
        PictureFolder, "whole_size", lambda *names: looked.append(names[2]) or really(*names)
    )
    result = download(*paths, retries=0, retry_failed=True)
    assert sorted(looked) == ["2.jpg", "4.jpg"]
    assert server.requested["/404"] == 1
    assert "4 of 5" in result.summary and "2 fetched, 2 from before" in result.summary
    assert [row[2] for row in report(out)] == ["there", "there", "fetched", "gone", "fetched"]
    assert report(out)[3][3] == "404 Not Found" and report(out)[3][7] == "no"
    (out / "download-report.tsv").write_text("something\n")
    with pytest.raises(CommandError, match="can't be read: its columns are not line, URL, status"):
        download(*paths, retry_failed=True)


def test_retry_failed_leaves_what_is_hopeless_alone(download, server, tmp_path):
    paths = ["ok/0", "404", "html", "500", "501", "410"]
    first = download(*paths, retries=0)
    assert [row[7] for row in report(tmp_path / "out")] == ["", "no", "no", "yes", "no", "no"]
    before = dict(server.requested)
    again = download(*paths, retries=0, retry_failed=True)
    assert dict(server.requested) == before | {"/500": 2}
    assert again.summary.splitlines()[1:] == first.summary.splitlines()[1:]
    rows = report(tmp_path / "out")
    assert [row[2] for row in rows[1:]] == [
        "gone", "no picture", "server error", "server error", "gone",
    ]  # fmt: skip
    (tmp_path / "out" / "label1").mkdir(exist_ok=True)
    (tmp_path / "out" / "label1" / "1.jpg").write_bytes(picture())  # found elsewhere, by hand
    paths[2] = "ok/2"  # another address
    assert download(*paths, retries=0, retry_failed=True).num_missing == 3
    assert server.requested["/404"] == server.requested["/410"] == 1
    assert download(*paths, retries=0).num_missing == 3
    assert server.requested["/410"] == 2


def test_a_report_without_the_last_column_is_gone_by(download, server, tmp_path):
    download("ok/0", "404", "png")
    path = tmp_path / "out" / "download-report.tsv"
    lines = [line.rpartition("\t")[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    assert download("ok/0", "404", "ok/2", retry_failed=True).num_missing == 1
    assert [server.requested[f"/{path}"] for path in ("ok/0", "404", "ok/2")] == [1, 2, 1]


def test_an_address_that_has_changed_in_the_list_is_fetched(download, server, tmp_path):
    """And a picture of the old one is never taken for the new one's."""
    out, png = tmp_path / "out", picture("PNG")
    download("ok/0", "ok/1", "ok/2")
    assert not download("png", "ok/1", "ok/2").num_missing
    assert files(out)["label0/0.jpg"] == png
    assert [row[2] for row in report(out)] == ["fetched", "there", "there"]
    for _ in range(2):
        assert download("404", "ok/1", "ok/2").num_missing == 1
        assert files(out)["label0/0.jpg"] == png
        assert [row[1:3] for row in report(out)[:2]] == [
            [f"{server.address}/404", "gone"],
            [f"{server.address}/png", "former"],
        ]
    assert server.requested["/404"] == 2
    download("png", "ok/1", "ok/2", retry_failed=True)  # and back
    assert [row[2] for row in report(out)] == ["there", "there", "there"]
    download("png", "ok/1", "chunked", retry_failed=True)
    assert [server.requested[f"/{path}"] for path in ("png", "ok/1", "ok/2", "chunked")] == [1] * 4


def test_a_changed_address_is_still_known_after_ctrl_c(download, server, tmp_path, monkeypatch):
    download("ok/0", "ok/1")

    def stopped(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module._Run, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            download("png", "ok/1")
    rows = report(tmp_path / "out")
    assert [row[2] for row in rows] == ["not tried", "former", "not tried"]
    assert rows[0][6] == rows[1][6] == "label0/0.jpg"
    assert "1 fetched, 1 from before" in download("png", "ok/1").summary
    assert files(tmp_path / "out")["label0/0.jpg"] == picture("PNG")


def test_lines_that_have_moved_are_not_fetched(download, server, tmp_path):
    download("ok/0", "ok/1", "ok/2")
    text = (tmp_path / "links.tsv").read_text()
    (tmp_path / "links.tsv").write_text("\n".join(reversed(text.split("\n"))))
    for retry_failed in (False, True):
        result = download_images(
            tmp_path / "links.tsv", tmp_path / "out", retry_failed=retry_failed
        )
        assert "0 fetched, 3 from before" in result.summary
    assert sum(server.requested.values()) == 3


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "bytes"])
def test_a_report_that_is_none_is_not_gone_by(download, tmp_path, kind):
    path = tmp_path / "out" / "download-report.tsv"
    download("ok/0")
    path.rename(tmp_path / "mine.tsv")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "mine.tsv")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="can't be read: it is no (regular file|text in UTF-8)"):
        download("ok/0", retry_failed=True)
    if kind != "folder":
        assert "1 from before" in download("ok/0").summary
        assert not path.is_symlink()
        assert report(tmp_path / "out")[0][2] == "there"


@pytest.mark.parametrize(("kind", "others_wait"), [("503-once", False), ("429-once", True)])
def test_retry_after(download, server, kind, others_wait):
    start = time.monotonic()
    result = download(f"{kind}/1/a", *[f"slow/{n}" for n in range(5)], num_threads=1)
    assert not result.num_missing
    assert 1 <= time.monotonic() - start < 4
    assert result.outcomes[0].seconds < 0.9  # the waiting is not counted
    others = server.first_time["/slow/0"] - server.first_time[f"/{kind}/1/a"]
    assert (others >= 1) == others_wait


def test_who_asks_for_too_long_is_not_waited_for(download, tmp_path):
    assert download("503-once/3600/a").num_missing == 1
    assert report(tmp_path / "out")[0][3] == "503 Service Unavailable, asks to wait 3,600 seconds"


def test_no_header_costs_more_than_its_own_picture(download, tmp_path):
    """Each of these has ended a whole run, or its report."""
    bad = [f"503-once/{'9' * 400}", "escapes", "digits", "gzip-bomb", "scans/200"]
    result = download(*bad, *[f"ok/{n}" for n in range(20)], num_threads=1)
    assert result.num_missing == len(bad)
    rows = report(tmp_path / "out")
    assert [row[2] for row in rows[:5]] == [
        "server error", "no picture", "too large", "too large", "no picture",
    ]  # fmt: skip
    assert rows[0][3] == "503 Service Unavailable, asks to wait 31,622,400 seconds"
    for row in rows:
        assert row[3].isprintable()
        assert len(row[3]) <= 200


def test_another_try_is_promised_only_where_it_may_help(download, tmp_path):
    (tmp_path / "out" / "label1" / "1.jpg").mkdir(parents=True)
    result = download("http://☃.test/0.jpg", "ok/1", "501", retries=0)
    rows = report(tmp_path / "out")
    assert [row[2] for row in rows] == ["unreachable", "not written", "server error"]
    assert rows[0][3] == "'http://☃.test/0.jpg' is no http or https address"
    assert result.summary.endswith("Another try is not likely to bring any of them.")


def test_a_host_that_never_answers_is_given_up(download, server, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "GIVE_UP_AFTER", 5)
    with Server() as dead:
        paths = [f"{dead.address}/hang/{n}" for n in range(40)] + [f"ok/{n}" for n in range(10)]
        (tmp_path / "out" / "label0").mkdir(parents=True)
        (tmp_path / "out" / "label0" / "39.jpg").write_bytes(picture())
        start = time.monotonic()
        result = download(*paths, num_threads=4)
        assert time.monotonic() - start < 4
        assert sum(dead.requested.values()) <= 5 + 4
    assert result.num_missing == 39
    rows = report(tmp_path / "out")
    assert rows[39][2] == "there"
    assert rows[38][2] == "unreachable"
    assert rows[38][3].startswith("given up, as the host did not answer")
    assert "unreachable" in result.summary.splitlines()[-1]


def test_connections_of_one_host_are_bounded(download, server):
    assert not download(*[f"slow/{n}" for n in range(60)], num_threads=30).num_missing
    assert 4 <= server.most_busy <= module.PER_HOST
    assert server.connections <= module.PER_HOST


def test_those_of_a_host_that_others_redirect_to_are_bounded_too(download, server):
    port = server.server_port
    names = [f"http://{'localhost' if n % 2 else '127.0.0.1'}:{port}" for n in range(40)]
    paths = [f"{name}/to/127.0.0.1:{port}/slow/{n}" for n, name in enumerate(names)]
    assert not download(*paths, num_threads=30, limits=Limits(10)).num_missing
    assert server.connections <= 2 * module.PER_HOST


def test_none_times_out_for_want_of_a_connection(download, monkeypatch, tmp_path):
    """64 hosts that lead to one, which has few connections and takes its time."""
    really = socket.getaddrinfo

    def lookup(name, *rest):
        return really("127.0.0.1" if name.endswith(".test") else name, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with Server() as many, Server() as one:
        paths = [
            f"http://{n}.test:{many.server_port}/to/one.test:{one.server_port}/wait/0.4/{n}"
            for n in range(64)
        ]
        limits = Limits(1.5, allow_private=True)
        assert not download(*paths, num_threads=64, retries=0, limits=limits).num_missing
        assert one.connections <= module.PER_HOST
        assert one.most_busy == module.PER_HOST


def test_nothing_is_fetched_where_the_list_is_wrong(server, tmp_path):
    lines = [f"{server.address}/ok/1\ta/1.jpg", f"{server.address}/ok/2\t../1.jpg"]
    (tmp_path / "links.tsv").write_text("\n".join(lines))
    with pytest.raises(CommandError, match=r"(?s)1 line .*line 2: '\.\./1\.jpg' has a part"):
        download_images(tmp_path / "links.tsv", tmp_path / "out")
    assert not server.requested
    assert not (tmp_path / "out").exists()


def test_planted_symbolic_links(download, server, tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "mine.jpg").write_bytes(b"mine")
    (out / "label0").mkdir()
    (out / "label0" / "0.jpg").symlink_to(outside / "mine.jpg")
    (out / "download-report.tsv").symlink_to(outside / "mine.jpg")
    assert not download("ok/0").num_missing
    assert (outside / "mine.jpg").read_bytes() == b"mine"
    assert not (out / "label0" / "0.jpg").is_symlink()
    server.requested.clear()
    (out / "label1").symlink_to(outside)
    with pytest.raises(CommandError, match="symbolic link or a file.*'label1'"):
        download("ok/0", "ok/1")
    assert not server.requested
    assert os.listdir(outside) == ["mine.jpg"]


def test_a_folder_in_a_pictures_place_is_one_failure(download, tmp_path):
    (tmp_path / "out" / "label0" / "0.jpg").mkdir(parents=True)
    assert download("ok/0", "ok/1").num_missing == 1
    assert [row[2:4] for row in report(tmp_path / "out")] == [
        ["not written", "Is a directory"],
        ["fetched", ""],
    ]


def test_a_full_disk_ends_it_in_one_sentence(download, tmp_path, monkeypatch):
    really = PictureFolder.write

    def write(self, label, name, content):
        if label != ".":
            raise OSError(errno.ENOSPC, "No space left on device")
        really(self, label, name, content)

    monkeypatch.setattr(PictureFolder, "write", write)
    with pytest.raises(CommandError, match="can't be written: No space left on device; free some"):
        download(*[f"ok/{n}" for n in range(30)])
    assert {row[2] for row in report(tmp_path / "out")} == {"not tried"}


def test_a_programming_error_keeps_its_traceback(download, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(module.Fetcher, "fetch", broken)
    with pytest.raises(ZeroDivisionError):
        download("ok/0")


def test_a_programming_error_costs_no_other_picture(download, tmp_path, monkeypatch):
    really = module.Fetcher.fetch

    def broken(self, url):
        if url.endswith("/3"):
            raise ZeroDivisionError("a\nfault" + "!" * 1000)
        return really(self, url)

    monkeypatch.setattr(module.Fetcher, "fetch", broken)
    with pytest.raises(ZeroDivisionError):
        download(*[f"ok/{n}" for n in range(20)], num_threads=2)
    rows = report(tmp_path / "out")
    assert [row[2] for row in rows] == ["fetched"] * 3 + ["program fault"] + ["fetched"] * 16
    assert rows[3][3].startswith("ZeroDivisionError: a fault!!!")
    assert len(rows[3][3]) == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_threads": 0}, "--num-threads is 0; give 1 to 128"),
        ({"retries": -1}, "--retries is -1; give 0 to 20"),
        ({"limits": Limits(timeout=0)}, "--timeout is 0; give seconds above 0"),
        ({"limits": Limits(timeout=float("nan"))}, "--timeout is nan"),
        ({"limits": Limits(max_bytes=0)}, "--max-bytes is 0; give"),
    ],
)
def test_options_out_of_range(download, options, message):
    with pytest.raises(CommandError, match=message):
        download("ok/0", **options)
