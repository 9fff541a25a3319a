"""download_ballroom and download_gtzan; what they do is tested with datasets.music."""

import tarfile

import pytest

from commands import download_ballroom, download_gtzan, main
from tests.datasets.sounds import make_folder

COMMANDS = {"ballroom": download_ballroom, "gtzan": download_gtzan}


@pytest.fixture
def archive(tmp_path):
    make_folder(tmp_path / "top", 4)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "top", "top")
    return tmp_path / "x.tar.gz"


@pytest.mark.parametrize("name", COMMANDS)
def test_says_what_it_wrote(archive, tmp_path, capsys, name):
    module, data = COMMANDS[name], tmp_path / "data"
    for line in (
        f"Wrote 4 recordings to {data / name}.",
        f"{data / name} is there already; remove it to download it again.",
    ):
        assert module.run(module.Options(data, source=str(archive))) == data / name
        assert capsys.readouterr().out.splitlines() == [
            line,
            f"For their spectrograms: create_spectrograms {data / name} NAME.pkl.zip.",
        ]


def test_a_mistake_is_one_sentence(tmp_path, capsys):
    assert main(["download_gtzan", str(tmp_path), "--source", "nothing.tar.gz"]) == 1
    assert capsys.readouterr().err == (
        "manage.py: --source nothing.tar.gz is no file; give the collection's archive (.tar.gz), "
        "or its http address.\n"
    )
