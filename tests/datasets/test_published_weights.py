"""Published weights from a server on 127.0.0.1, with small files under their names."""

import dataclasses
import hashlib
import os
import zipfile

import numpy as np
import pytest

from common.errors import CommandError
from datasets.checksums import has_checksum
from datasets.published_weights import WEIGHTS, fetch
from tests.datasets.range_server import RangeServer

CONTENT = np.random.default_rng(0).bytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
THEANO = WEIGHTS["theano-alexnet"]


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    with RangeServer(tmp_path / "served") as server:
        yield server


def at(server, content=CONTENT, checksum=f"sha256:{SHA256[:8]}"):
    """Weights that the server has."""
    weights = WEIGHTS["torchvision-resnet18"]
    (server.folder / weights.file).write_bytes(content)
    return dataclasses.replace(weights, site=server.address, checksum=checksum)


def test_downloads_once(server, tmp_path):
    weights, path = at(server), tmp_path / "weights" / "resnet18-f37072fd.pth"
    for was_there in (False, True):
        fetched = fetch(weights, tmp_path / "weights")
        assert (fetched.path, fetched.was_there, fetched.sha256) == (path, was_there, SHA256)
        assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1
    path.write_bytes(CONTENT[1:])
    assert not fetch(weights, tmp_path / "weights").was_there
    assert path.read_bytes() == CONTENT
    assert os.listdir(tmp_path / "weights") == [path.name]


def test_a_download_that_broke_off_goes_on(server, tmp_path):
    weights = at(server)
    server.breaks_after = 60_000
    with pytest.raises(CommandError, match=r"broke off after 60,000 bytes; the same command goes"):
        fetch(weights, tmp_path)
    assert not (tmp_path / weights.file).exists()
    assert fetch(weights, tmp_path).path.read_bytes() == CONTENT
    assert [span for _, span in server.requests] == [None, "bytes=60000-"]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    weights = at(server, content=b"something else")
    with pytest.raises(CommandError, match=r"18-f37072fd.pth has another checksum than the publ"):
        fetch(weights, tmp_path / "weights")
    source = server.folder / weights.file
    with pytest.raises(CommandError, match=r"^--source \S+ has another checksum than the publishe"):
        fetch(weights, tmp_path / "weights", source=str(source))
    assert not (tmp_path / "weights").exists()


def test_without_a_published_checksum(server, tmp_path):
    weights = at(server, checksum="")
    assert fetch(weights, tmp_path).sha256 == SHA256
    assert fetch(weights, tmp_path).was_there


def test_a_file_or_an_address_of_ones_own(server, tmp_path):
    weights = at(server)
    sources = str(server.folder / weights.file), f"{server.address}/{weights.file}"
    for number, source in enumerate(sources):
        fetched = fetch(
            dataclasses.replace(weights, site=""), tmp_path / f"{number}", source=source
        )
        assert fetched.path.read_bytes() == CONTENT
    with pytest.raises(CommandError, match=r"^--source nothing is no file; give resnet18-f37072fd"):
        fetch(weights, tmp_path / "2", source="nothing")
    with pytest.raises(CommandError, match=r"^--timeout is 0; give a number of seconds above 0\.$"):
        fetch(weights, tmp_path / "2", timeout=0)


def zipped(path, *names):
    """A zip of one .npy file for each name, as theano_alexnet's is; returns its weights."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, name in enumerate(names):
            with archive.open(name, "w") as member:
                member.write(b"no array" if number else b"")
                np.lib.format.write_array(member, np.full(3, number))
    return dataclasses.replace(
        THEANO, checksum=f"sha1:{hashlib.sha1(path.read_bytes()).hexdigest()}"
    )


def test_parameters_are_unpacked(tmp_path):
    source = tmp_path / "x.zip"
    names = (
        "parameters_releasing/W_0_65.npy",
        "../b_0_65.npy",
        "/c.npy",
        "__MACOSX/._d.npy",
        "e.txt",
    )
    weights = zipped(source, *names)
    folder = tmp_path / "weights" / "parameters_releasing"
    for was_there in (False, True):
        fetched = fetch(weights, tmp_path / "weights", source=str(source))
        assert (fetched.path, fetched.was_there) == (folder, was_there)
        assert sorted(os.listdir(folder)) == ["W_0_65.npy", "b_0_65.npy", "c.npy"]
    np.testing.assert_array_equal(np.load(folder / "W_0_65.npy"), np.zeros(3))
    assert sorted(os.listdir(tmp_path)) == ["weights", "x.zip"]
    assert os.listdir(tmp_path / "weights") == [folder.name]
    assert fetch(weights, tmp_path / "weights").was_there


def test_parameters_that_can_not_be_unpacked(tmp_path):
    source = tmp_path / "x.zip"
    weights = zipped(source, "x.txt")
    with pytest.raises(
        CommandError, match=r"is damaged or no zip archive \(it holds 0 \.npy files"
    ):
        fetch(weights, tmp_path / "weights", source=str(source))
    source.write_bytes(b"no zip")
    weights = dataclasses.replace(weights, checksum="")
    with pytest.raises(
        CommandError, match=r"is damaged or no zip archive \(File is not a zip file"
    ):
        fetch(weights, tmp_path / "weights", source=str(source))
    assert os.listdir(tmp_path) == ["x.zip"]


def test_what_only_a_person_can_get_says_where(tmp_path):
    with pytest.raises(CommandError, match=r"http://hdl\.handle\.net/10864/10911 .* --source para"):
        fetch(THEANO, tmp_path)


def test_first_digits_of_a_checksum_are_enough(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # of FIPS 180-2, appendix B.1
    assert has_checksum(tmp_path / "abc", "sha256:ba7816bf")
    assert not has_checksum(tmp_path / "abc", "sha256:ba7816be")
    assert has_checksum(tmp_path / "abc", "")


CHECKSUMS = {
    ("TorchvisionAlexNet", "alexnet-owt-7be5be79.pth"): "7be5be79",
    ("TorchvisionVgg16", "vgg16-397923af.pth"): "397923af",
    ("TorchvisionVgg19", "vgg19-dcbb9e9d.pth"): "dcbb9e9d",
    ("TorchvisionResNet18", "resnet18-f37072fd.pth"): "f37072fd",
    ("TorchvisionResNet50", "resnet50-0676ba61.pth"): "0676ba61",
    ("TorchvisionResNet50", "resnet50-11ad3fa6.pth"): "11ad3fa6",
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_names_hold_their_checksums(weights):
    if weights.file.endswith(".pth"):
        assert weights.checksum == f"sha256:{CHECKSUMS[weights.architecture, weights.file]}"
    assert weights.page or weights.address.startswith("https://")
