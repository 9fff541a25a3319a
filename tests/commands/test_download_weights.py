"""download_weights; what it does is tested with datasets.published_weights."""

import hashlib

import pytest

from commands import main
from datasets.published_weights import WEIGHTS
from tests.datasets.range_server import RangeServer


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "vgg16.pkl").write_bytes(b"a pickle")
    with RangeServer(tmp_path / "served") as server:
        yield server


def test_says_what_it_wrote_and_what_to_do_with_it(server, tmp_path, capsys):
    path = tmp_path / "my weights" / "vgg16.pkl"
    arguments = ["download_weights", "lasagne-vgg16", str(path.parent)]
    arguments += ["--source", f"{server.address}/vgg16.pkl"]
    for line in (f"Wrote {path}.", f"{path} is there already; remove it to download it again."):
        assert main(arguments) == 0
        assert capsys.readouterr().out.splitlines() == [
            line,
            f"No checksum of it was published; its SHA-256 is "
            f"{hashlib.sha256(b'a pickle').hexdigest()}.",
            f"For a snapshot of it: python manage.py import_weights '{path}' vgg16.safetensors "
            "--model-architecture TorchvisionVgg16",
        ]
    assert path.read_bytes() == b"a pickle"


def test_lists_the_names(capsys):
    assert main(["download_weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(WEIGHTS)
    assert "torchvision-resnet18     resnet18-f37072fd.pth      TorchvisionResNet18" in lines


def test_a_mistake_is_one_sentence(tmp_path, capsys):
    assert main(["download_weights", "torchvision-resnet81", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        "manage.py: Unknown weights 'torchvision-resnet81'. Did you mean 'torchvision-resnet18'? "
        "Valid: lasagne-caffe-reference, "
    )
    assert len(error.splitlines()) == 1
