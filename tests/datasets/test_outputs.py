"""What create_datasets writes besides the datasets, and what it never overwrites or removes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import CommandError
from datasets import outputs
from datasets.create import create_datasets

REPORTS = ["unreadable.txt", "duplicates.tsv"]
FOREIGN = ["", "my own notes\n", "a.jpg: too dark\n", "group\tpath\n1\ta.jpg\n", "\xff\0\n"]


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("text", FOREIGN)
def test_somebody_elses_file_is_neither_overwritten_nor_removed(
    make_pictures, tmp_path, name, text
):
    clean, image_dir = make_pictures({"a": 12, "b": 12}, folder="clean"), make_pictures({"a": 12})
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / name
    file.write_text(text, encoding="latin-1")
    for folder in (clean, image_dir):  # nothing to report; not even scanned
        with pytest.raises(CommandError, match=f"{name} is not of create_datasets, which .*; move"):
            create_datasets(folder, tmp_path / "out")
    assert file.read_text(encoding="latin-1") == text
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "duplicates.tsv")
    with pytest.raises(CommandError, match="duplicates.tsv is not of create_datasets"):
        outputs.check_reports(tmp_path)


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    (tmp_path / "unreadable.txt").write_text("my own notes\n")
    outputs.remove_older(tmp_path, [])
    assert (tmp_path / "unreadable.txt").exists()


def test_reports_of_an_earlier_run_are_replaced_and_removed(make_pictures, tmp_path):
    image_dir, out = make_pictures({"a": 12, "b": 12}), tmp_path / "out"
    (image_dir / "a" / "copy.png").write_bytes((image_dir / "a" / "000.png").read_bytes())
    (image_dir / "a" / "text.png").write_text("text")
    for _ in range(2):
        create_datasets(image_dir, out)
        assert all((out / name).exists() for name in REPORTS)
    (image_dir / "a" / "copy.png").unlink()
    (image_dir / "a" / "text.png").unlink()
    create_datasets(image_dir, out)
    assert not any((out / name).exists() for name in REPORTS)


@given(
    path=st.text(min_size=1), reason=st.text(min_size=1).map(str.split).map(" ".join).filter(bool)
)
def test_every_report_is_known_again(tmp_path_factory, path, reason):
    folder = tmp_path_factory.mktemp("reports")
    outputs.write_unreadable(folder, {path: reason})
    outputs.check_reports(folder)
    outputs.remove_older(folder, [])
    assert not list(folder.iterdir())
