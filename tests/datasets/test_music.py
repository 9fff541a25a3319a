"""Ballroom and GTZAN from a server on 127.0.0.1, with small archives of their layout."""

import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from common.errors import CommandError
from datasets.dances import DANCES
from datasets.music import BALLROOM, GTZAN, fetch
from datasets.scan import find_files
from datasets.spectrograms import KIND
from tests.datasets.range_server import RangeServer
from tests.datasets.sounds import noise, write
from tests.paths import ROOT

DANCE_FOLDERS = [
    *("ChaChaCha", "Jive", "Quickstep", "Rumba-American", "Rumba-International", "Rumba-Misc"),
    *("Samba", "Tango", "VienneseWaltz", "Waltz"),
]


@pytest.fixture
def served(tmp_path):
    """A folder with small archives of the collections' layout."""
    folder = tmp_path / "served"
    for index, name in enumerate(DANCE_FOLDERS):
        write(tmp_path / "BallroomData" / name / f"Media-{index}.wav", noise(1, seed=index))
    (tmp_path / "BallroomData" / "allBallroomFiles").write_text("./Samba/x.wav\n")
    for name in ("blues", "rock"):
        write(tmp_path / "genres" / name / f"{name}.00000.wav", noise(1))
        (tmp_path / "genres" / name / f"._{name}.00000.wav").write_bytes(b"of macOS")
    folder.mkdir()
    for name in ("BallroomData", "genres"):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / name, name)
    return folder


@pytest.fixture
def server(served):
    with RangeServer(served) as server:
        yield server


def at(collection, server, name):
    """The collection, as the server has it."""
    digest = hashlib.sha256((server.folder / name).read_bytes()).hexdigest()
    return dataclasses.replace(collection, mirrors={f"{server.address}/{name}": f"sha256:{digest}"})


def test_ballroom(server, tmp_path):
    fetched = fetch(at(BALLROOM, server, "BallroomData.tar.gz"), tmp_path / "data")
    assert (fetched.folder, fetched.count) == (tmp_path / "data" / "ballroom", 10)
    listing = find_files(fetched.folder, KIND)
    assert list(listing.pictures) == list(DANCES)
    assert listing.pictures["Rumba"] == [
        "Rumba-American/Media-3.wav",
        "Rumba-International/Media-4.wav",
        "Rumba-Misc/Media-5.wav",
    ]
    assert listing.others == []
    assert os.listdir(tmp_path / "data") == ["ballroom"]


def test_gtzan(server, tmp_path):
    collection = at(GTZAN, server, "genres.tar.gz")
    fetched = fetch(collection, tmp_path / "data", keep_archive=True)
    assert find_files(fetched.folder, KIND).pictures == {
        "blues": ["blues.00000.wav"],
        "rock": ["rock.00000.wav"],
    }
    assert sorted(os.listdir(tmp_path / "data")) == ["gtzan", "gtzan.tar.gz"]
    assert fetch(collection, tmp_path / "data").count == 0
    (fetched.folder / "blues").rename(tmp_path / "blues")
    (fetched.folder / "rock").rename(tmp_path / "rock")
    assert fetch(collection, tmp_path / "data").count == 2  # of the archive that was kept, and is
    assert sorted(os.listdir(tmp_path / "data")) == ["gtzan", "gtzan.tar.gz"]
    assert len(server.requests) == 1


def test_a_download_that_broke_off_goes_on(server, tmp_path):
    collection = at(BALLROOM, server, "BallroomData.tar.gz")
    size = (server.folder / "BallroomData.tar.gz").stat().st_size
    server.breaks_after = size // 2
    with pytest.raises(CommandError, match=rf"broke off after {size // 2:,} bytes; the same comm"):
        fetch(collection, tmp_path / "data")
    server.breaks_after = size
    assert fetch(collection, tmp_path / "data").count == 10
    assert server.requests[-1][1] == f"bytes={size // 2}-"


def test_another_archive_than_the_published_one(server, tmp_path):
    collection = at(GTZAN, server, "genres.tar.gz")
    (server.folder / "genres.tar.gz").write_bytes(b"something else")
    with pytest.raises(CommandError, match=r"genres\.tar\.gz has another checksum than the coll"):
        fetch(collection, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_from_a_file_or_an_address_of_ones_own(server, served, tmp_path):
    for number, source in enumerate(
        (str(served / "genres.tar.gz"), f"{server.address}/genres.tar.gz")
    ):
        assert fetch(GTZAN, tmp_path / f"{number}", source=source).count == 2
        assert os.listdir(tmp_path / f"{number}") == ["gtzan"]
    assert (served / "genres.tar.gz").is_file()
    with pytest.raises(CommandError, match=r"^--source nothing is no file; give the collection's"):
        fetch(GTZAN, tmp_path / "2", source="nothing")
    with pytest.raises(CommandError, match=r"^--timeout is -1; give"):
        fetch(GTZAN, tmp_path / "2", timeout=-1)


def test_another_source_is_another_archive(server, tmp_path):
    sources = [f"{server.address}/{name}.tar.gz" for name in ("genres", "BallroomData")]
    fetch(GTZAN, tmp_path, source=sources[0], keep_archive=True)
    shutil.rmtree(tmp_path / "gtzan")
    assert fetch(GTZAN, tmp_path, source=sources[1]).count == 10


@pytest.mark.parametrize("collection", [BALLROOM, GTZAN], ids=["ballroom", "gtzan"])
def test_checksums_are_of_their_algorithms(collection):
    for address, checksum in collection.mirrors.items():
        algorithm, _, digits = checksum.partition(":")
        assert len(bytes.fromhex(digits)) == hashlib.new(algorithm).digest_size
        assert address.endswith(".tar.gz")


def test_killed_and_run_again(server, tmp_path):
    """The whole command, killed while the server is silent in the middle."""
    name = "BallroomData.tar.gz"
    size = (server.folder / name).stat().st_size
    server.breaks_after = size // 3
    command = [sys.executable, "manage.py", "download_ballroom", str(tmp_path / "data")]
    command += ["--source", f"{server.address}/{name}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1 and "broke off after" in result.stderr
    part = tmp_path / "data" / "ballroom.tar.gz.download"
    server.breaks_after = size
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while len(server.requests) < 2:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert (
        part.exists()
        or (tmp_path / "data" / "ballroom.tar.gz").exists()
        or (tmp_path / "data" / "ballroom").exists()
    )
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "create_spectrograms" in result.stdout
    assert len(list((tmp_path / "data" / "ballroom").rglob("*.wav"))) == 10
