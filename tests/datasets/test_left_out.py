import os

from datasets.left_out import REASON, begins_with, text_of


def test_what_is_written_is_known_again(tmp_path):
    text = text_of({"a/ü.wav": "it is silent", "b/'x'\n.wav": "its name has a line break"})
    assert text.splitlines() == [
        "'a/\\xfc.wav': it is silent",
        "\"b/'x'\\n.wav\": its name has a line break",
    ]
    (tmp_path / "list").write_text(text)
    assert begins_with(tmp_path / "list", REASON)
    (tmp_path / "list").write_text(f"mine\n{text}")
    assert not begins_with(tmp_path / "list", REASON)


def test_what_is_no_file_does_not_begin_with_anything(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing", "."):
        assert not begins_with(tmp_path / name, REASON)
