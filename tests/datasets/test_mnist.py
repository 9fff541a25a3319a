import gzip
import hashlib
import shutil
import struct

import numpy as np
import pytest

from common.errors import CommandError
from datasets import mnist
from datasets.container import open_dataset
from datasets.mnist import write_mnist


def check(path, idx_folder):
    def values(name, header):
        content = gzip.decompress((idx_folder / name).read_bytes())
        return np.frombuffer(content, np.uint8, offset=header)

    images = values("train-images-idx3-ubyte.gz", 16).reshape(60, 20)
    labels = values("train-labels-idx1-ubyte.gz", 8)
    dataset = open_dataset(path)
    assert (dataset.layout, dataset.scale, dataset.picture_shape) == ("flat", 255, (4, 5, 1))
    assert dataset.label_names == [str(digit) for digit in range(10)]
    for name, rows in (("training", slice(50)), ("validation", slice(50, 60))):
        np.testing.assert_array_equal(dataset.subset(name).instances, images[rows])
        np.testing.assert_array_equal(dataset.subset(name).labels, labels[rows])
    testing = values("t10k-images-idx3-ubyte.gz", 16).reshape(12, 20)
    np.testing.assert_array_equal(dataset.subset("testing").instances, testing)


def test_from_a_folder_gzipped_or_not(idx_folder, tmp_path):
    path = write_mnist(tmp_path / "data", source=str(idx_folder), name="small")
    assert path == tmp_path / "data" / "small.pkl.zip"
    assert [entry.name for entry in path.parent.iterdir()] == ["small.pkl.zip"]
    check(path, idx_folder)
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in idx_folder.iterdir():
        (plain / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    check(write_mnist(tmp_path / "data", source=str(plain), name="plain"), idx_folder)


def test_from_an_address_and_not_again(idx_folder, tmp_path, serve):
    server, address = serve(idx_folder)
    check(write_mnist(tmp_path / "data", source=address), idx_folder)
    assert len(server.requested) == 4
    (tmp_path / "data" / "mnist.pkl.zip").unlink()
    check(write_mnist(tmp_path / "data", source=address), idx_folder)
    assert len(server.requested) == 4


def test_from_an_address_without_gz_below_a_path(idx_folder, tmp_path, serve):
    (tmp_path / "served" / "below").mkdir(parents=True)
    for file in idx_folder.iterdir():
        content = gzip.decompress(file.read_bytes())
        (tmp_path / "served" / "below" / file.stem).write_bytes(content)
    _, address = serve(tmp_path / "served")
    check(write_mnist(tmp_path / "data", source=f"{address}/below/"), idx_folder)


def test_a_server_without_the_files(tmp_path, serve):
    (tmp_path / "empty").mkdir()
    _, address = serve(tmp_path / "empty")
    with pytest.raises(
        CommandError, match=r"ubyte\.gz can't be downloaded: .*ubyte\.gz answers 404"
    ):
        write_mnist(tmp_path / "data", source=address)
    assert not list(tmp_path.rglob("*.partial")) + list(tmp_path.rglob("*.zip"))


def test_a_server_that_breaks_off(idx_folder, tmp_path, serve):
    _, address = serve(idx_folder, truncated="t10k-images")
    with pytest.raises(CommandError, match=r"t10k-images.* broke off"):
        write_mnist(tmp_path / "data", source=address)
    names = sorted(entry.name.partition("-")[2] for entry in (tmp_path / "data").rglob("*.gz"))
    assert names == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    assert not list(tmp_path.rglob("*.partial"))


def test_a_server_that_serves_something_else(idx_folder, tmp_path, serve):
    (idx_folder / "train-images-idx3-ubyte.gz").write_text("<html>no</html>")
    _, address = serve(idx_folder)
    for _ in range(2):
        with pytest.raises(CommandError, match="is no IDX file of unsigned bytes with 3 axes"):
            write_mnist(tmp_path / "data", source=address)
    shutil.rmtree(tmp_path / "data")


def test_nobody_answers(tmp_path, serve):
    server, address = serve(tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(CommandError, match=r"the server can't be reached.* given as --source"):
        write_mnist(tmp_path / "data", source=address)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").rglob("*.*"))


@pytest.fixture
def mirrors(idx_folder, tmp_path, serve, monkeypatch):
    """Two mirrors, of which the first lacks a file and has another that is damaged."""
    good, good_address = serve(idx_folder)
    sums = {f.name: hashlib.md5(f.read_bytes()).hexdigest() for f in idx_folder.iterdir()}
    monkeypatch.setattr(mnist, "MD5", {name: sums[name] for name in mnist.MD5})
    shutil.copytree(idx_folder, tmp_path / "bad")
    (tmp_path / "bad" / "train-images-idx3-ubyte.gz").unlink()
    (tmp_path / "bad" / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    bad, bad_address = serve(tmp_path / "bad")
    monkeypatch.setattr(mnist, "MIRRORS", (f"{bad_address}/", f"{good_address}/"))
    return bad, good


def test_mirrors_are_tried_in_turn_and_checked(mirrors, idx_folder, tmp_path):
    bad, good = mirrors
    path = write_mnist(tmp_path / "data")
    check(path, idx_folder)
    assert (len(bad.requested), len(good.requested)) == (4, 2)
    write_mnist(tmp_path / "data")
    assert (len(bad.requested), len(good.requested)) == (4, 2)
    damaged = tmp_path / "data" / "mnist-idx" / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(b"damaged")
    write_mnist(tmp_path / "data")
    assert (len(bad.requested), len(good.requested)) == (5, 2)


def test_no_mirror_has_the_right_file(mirrors, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", mnist.MIRRORS[:1])
    (tmp_path / "bad" / "train-images-idx3-ubyte.gz").write_bytes(b"other")
    with pytest.raises(CommandError, match=r"has another checksum than MNIST's.* give --source"):
        write_mnist(tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.gz"))


def test_the_known_checksums_are_md5():
    assert len(mnist.MD5) == 4
    assert all(len(bytes.fromhex(checksum)) == 16 for checksum in mnist.MD5.values())


def test_the_names_are_those_of_the_labels_whatever_the_dataset_is_called(
    idx_folder, tmp_path, monkeypatch
):
    labels = [
        gzip.decompress((idx_folder / name).read_bytes())[8:] for name in list(mnist.MD5)[1::2]
    ]
    sums = tuple(hashlib.md5(content).hexdigest() for content in labels)
    for known, first in ((sums, "T-shirt/top"), (sums[:1], "0"), (sums[::-1], "0")):
        monkeypatch.setattr(mnist, "FASHION_MD5", known)
        path = write_mnist(tmp_path / "data", source=str(idx_folder), name="fashion-mnist")
        assert open_dataset(path).label_names[0] == first
    assert len(mnist.FASHION_NAMES) == 10


def test_bad_sources_and_names(idx_folder, tmp_path):
    with pytest.raises(CommandError, match=r"nowhere has no file train-images-idx3-ubyte.gz, nor"):
        write_mnist(tmp_path / "data", source=str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match="--name is 'a/b'; give a file name without folders"):
        write_mnist(tmp_path / "data", source=str(idx_folder), name="a/b")
    labels = bytes([0, 0, 8, 1]) + struct.pack(">I", 3) + bytes(3)
    (idx_folder / "t10k-labels-idx1-ubyte.gz").write_bytes(labels)
    with pytest.raises(CommandError, match="60 and 12 pictures, but 60 and 3 labels"):
        write_mnist(tmp_path / "data", source=str(idx_folder))
    images = bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 1, 2) + bytes(6)
    (idx_folder / "t10k-images-idx3-ubyte.gz").write_bytes(images)
    with pytest.raises(CommandError, match=r"testing pictures of shape .3, 1, 2."):
        write_mnist(tmp_path / "data", source=str(idx_folder))
    assert not (tmp_path / "data").exists()
