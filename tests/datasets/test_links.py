import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CommandError
from datasets.links import REPORT, parse_links, read_links

URL = "http://a.example/1.jpg"


def faults(text):
    return parse_links(text.split("\n"))[1]


def test_the_originals_form(tmp_path):
    path = tmp_path / "dataset-links.tsv"
    path.write_text(
        "http://f0.bcbits.com/img/a1_2.jpg\tambient/1.jpg\n"
        "https://F0.bcbits.com:8443/img/ü b.jpg?x=1&y=2#z\thiphop_rap/Ünï, cöde (1).JPEG\n"
    )
    first, second = read_links(path)
    assert (first.line, first.label, first.name) == (1, "ambient", "1.jpg")
    assert (first.url, first.host) == ("http://f0.bcbits.com/img/a1_2.jpg", "f0.bcbits.com")
    assert second.host == "f0.bcbits.com:8443"
    assert second.name == "Ünï, cöde (1).JPEG"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_line_ends_and_blank_lines(tmp_path, end, mark):
    path = tmp_path / "links.tsv"
    lines = ["", f"{URL}\ta/1.jpg", "", "  \t ", f" {URL} \t a/2.jpg ", ""]
    path.write_bytes((mark + end.join(lines)).encode())
    assert [(link.line, link.name) for link in read_links(path)] == [(2, "1.jpg"), (5, "2.jpg")]


@pytest.mark.parametrize(
    "file",
    ["1.jpg", "a/b/1.jpg", "/a/1.jpg", "/1.jpg", "a/", "a//1.jpg", "", "../1.jpg", "a/../1.jpg",
     "a/..", "./1.jpg", ".a/1.jpg", "a/.1.jpg", "C:/1.jpg", "C:\\1.jpg", "a\\..\\..\\1.jpg",
     "\\\\host\\1.jpg", "a/c:1.jpg", "a/1.jpg:stream.jpg", "a/1", "a/1.txt", "a/1.jpg.partial",
     "a/1.jpg.", "a ./1.jpg", "a./1.jpg", "a /1.jpg", "con/1.jpg", "a/NUL.jpg", "a/\0.jpg",
     "a/\x1b[31m.jpg", "a/\u2028.jpg", f"{REPORT}/1.jpg", f"a/{'x' * 197}.jpg", "a/<1>.jpg"],
)  # fmt: skip
def test_names_that_could_leave_the_folder_or_the_form(file):
    assert list(faults(f"{URL}\ta/0.jpg\n{URL}\t{file}")) == [2]


@pytest.mark.parametrize(
    "url",
    ["", "a.example/1.jpg", "file:///etc/passwd", "ftp://a.example/1.jpg", "http://", "http:///1",
     "http://a:99999/", "http://a:0/", "http://a:x/", "http://[::1/", "javascript:1", "//a/1.jpg",
     "http://a/\x01", "http://a.test\\@127.0.0.1/ok", "http://127.0.0.1\\.a.test/", "http://a b/1",
     "http://a\u2003b/1", "http://a/\u2028", "data:image/png;base64,AAAA", "url"],
)  # fmt: skip
def test_addresses_that_are_none(url):
    ((line, fault),) = faults(f"{url}\ta/1.jpg").items()
    assert line == 1
    assert "address" in fault or "control" in fault


def test_two_lines_that_write_one_file():
    """The same one, and what some disks take for the same."""
    names = ["a/1.jpg", "b/1.jpg", "a/1.jpg", "A/1.JPG", "a/\u00e9.jpg", "a/e\u0301.jpg"]
    found = faults("\n".join(f"{URL}\t{name}" for name in names))
    assert {line: fault.rpartition("as ")[2] for line, fault in found.items()} == {
        3: "line 1 does",
        4: "line 1 does",
        6: "line 5 does",
    }


def test_all_lines_are_named_at_once(tmp_path):
    path = tmp_path / "links.tsv"
    bad = [f"{URL} a/{number}.jpg" for number in range(40)]
    path.write_text("\n".join([f"{URL}\ta/1.jpg", *bad[:22], f"{URL}\ta/2.jpg", *bad[22:]]))
    with pytest.raises(CommandError) as error:
        read_links(path)
    message = str(error.value)
    assert (
        "has 40 lines that can't be used, and nothing was fetched; a line is an http or" in message
    )
    assert [int(n) for n in re.findall(r"line (\d+):", message)] == list(range(2, 22))
    lines = message.split("\n")
    assert lines[0].endswith("and <label>/<name>.jpg; correct or remove these:")
    assert lines[1] == f"  line 2: it has no tab: '{bad[0]}'"
    assert lines[-1] == "  and lines 22-23, 25-42"
    assert len(lines) == 22


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; a line is"),
        (b"\n\n", "is empty; a line is"),
        ("http://a\ta/1.jpg".encode("utf-16"), "is no text in UTF-8"),
        (b"http://a/\xff\ta/1.jpg", "is no text in UTF-8"),
        (
            b"http://a/1\ta/1.jpg\textra",
            r"(?s)1 line that can't be used.*this:\n  line 1: it has 3 columns instead of 2",
        ),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    (tmp_path / "links.tsv").write_bytes(content)
    with pytest.raises(CommandError, match=message):
        read_links(tmp_path / "links.tsv")


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(CommandError, match=r"none\.tsv can't be read: No such file"):
        read_links(tmp_path / "none.tsv")


TEXT = st.text(st.sampled_from("ab1./\\:\t\n\r é\u0301\ufeff\0~") | st.characters())
LINE = st.builds("{}\t{}".format, st.sampled_from([URL, "http://b/2", "file:///x"]) | TEXT, TEXT)


@given(st.lists(LINE | TEXT, max_size=8).map("\n".join))
def test_any_text_gives_safe_names_or_named_lines(tmp_path_factory, text):
    links, found = parse_links(text.split("\n"))
    used = [number for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    assert sorted([*found, *(link.line for link in links)]) == used
    root = tmp_path_factory.getbasetemp()
    paths = [root / link.label / link.name for link in links]
    for path in paths:
        assert path.resolve().parent.parent == root.resolve()
        assert "\0" not in str(path)
    assert len({str(path).casefold() for path in paths}) == len(paths)
    assert all(link.url.startswith(("http:", "https:")) for link in links)
