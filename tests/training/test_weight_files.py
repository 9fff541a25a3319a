"""Files of published weights: into the right network, or a sentence."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from architectures.registry import build
from common.errors import CommandError
from lasagne.layers import Layer, get_all_param_values, get_all_params, get_output
from tests.lasagne.golden_network import GoldenNetwork
from tests.lasagne.test_weights import write_theano_alexnet
from training.weight_files import read_weights, unique

SMALL = {f"lc{i}_num_filters": n for i, n in enumerate((12, 32, 48, 48, 32))}
SMALL |= {"ld0_num_units": 64, "ld1_num_units": 64}


def small_alexnet(num_classes: int = 10, **params) -> Layer:
    return build("CaffeAlexNet", (3, 99, 99), num_classes, {**SMALL, **params})


@pytest.fixture
def theano_alexnet(tmp_path) -> tuple[Path, dict[str, np.ndarray]]:
    golden = dict(GoldenNetwork("theano_alexnet").golden)
    write_theano_alexnet(tmp_path, [golden[f"p{i}"] for i in range(16)], epoch=65)
    return tmp_path, golden


def test_theano_alexnets_folder(theano_alexnet):
    """Its outputs, but that it halved in testing what its dropout kept in training."""
    folder, golden = theano_alexnet
    network = small_alexnet(ld0_dropout=0)
    weights = read_weights(folder)
    assert weights.num_labels == 10
    assert (weights.scale, weights.mean, weights.labels) == (1.0, None, None)
    weights.set(network)
    for i in (12, 14):  # those that stood on a dropout, whether there is one now or not
        get_all_params(network)[i].data *= 2
    found = get_output(network, torch.from_numpy(golden["x"][0]), deterministic=True)
    np.testing.assert_allclose(found.detach(), golden["softmax"], atol=1e-5)


def test_a_network_that_they_are_not_of(theano_alexnet):
    folder, _ = theano_alexnet
    with pytest.raises(CommandError, match=r"don't fit the network: .*lc1.*; give the --"):
        read_weights(folder).set(small_alexnet(lc1_num_filters=30))
    with pytest.raises(CommandError, match=r"don't fit the network: .*mismatch.*; give the --"):
        read_weights(folder).set(small_alexnet(num_dense_layers=3))


def zoo(folder: Path, **entries) -> Path:
    rng = np.random.default_rng(0)
    shapes = [(4, 3, 5, 5), (4,), (256, 6), (6,), (6, 3), (3,)]
    values = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps({"param values": values, **entries}, protocol=2))
    return path


def test_a_model_of_the_zoo_takes_blue_first(tmp_path):
    """The network of red first gives for a picture what the other gives for its channels turned."""
    bgr = np.array([103.939, 116.779, 123.68], np.float32)
    path = zoo(tmp_path, **{"mean value": bgr, "synset words": ["crane", "tench", "crane"]})
    weights = read_weights(path)
    assert weights.labels == ["crane", "tench", "crane (2)"]
    assert weights.mean.ravel().tolist() == bgr[::-1].tolist()
    params = {"lc0_num_filters": 4, "lc0_filter_size": 5, "lc0_mp": True, "ld0_num_units": 6}
    ours, theirs = (build("ConvNet", (3, 16, 16), 3, params) for _ in range(2))
    weights.set(ours)
    read_weights(path, "rgb").set(theirs)
    picture = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(
        get_output(ours, picture, deterministic=True),
        get_output(theirs, picture.flip(1), deterministic=True),
    )
    assert read_weights(path, "rgb").mean.ravel().tolist() == bgr.tolist()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"mean image": np.zeros((1, 8, 8))}, r"mean of shape \(1, 8, 8\), not one of 3 channels"),
        ({"param values": "nothing"}, "a list of arrays was expected, got str"),
    ],
)
def test_what_is_no_model(tmp_path, entries, message):
    with pytest.raises(CommandError, match=message):
        read_weights(zoo(tmp_path, **entries))


def test_what_can_t_be_read(tmp_path):
    with pytest.raises(CommandError, match=r"can't be read: No such file or directory; check its"):
        read_weights(tmp_path / "nothing.pkl")
    with pytest.raises(CommandError, match=r"must have files like W_0_65.npy .*; give a folder of"):
        read_weights(tmp_path)
    (tmp_path / "text.pkl").write_text("hello")
    with pytest.raises(CommandError, match=r"can(not|'t) be read as a pickle .*; give a folder of"):
        read_weights(tmp_path / "text.pkl")
    np.savez(tmp_path / "named.npz", W=np.ones(3))
    with pytest.raises(CommandError, match=r"must be named arr_0.*; give a folder of"):
        read_weights(tmp_path / "named.npz")


def test_names_that_are_there_again_get_a_number():
    assert unique(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_the_zoos_caffenet_keeps_halves_of_grouped_convolutions(tmp_path):
    """As two layers, each with the weights and biases of its own."""
    network = small_alexnet()
    values = get_all_param_values(network)
    halves = []
    for i in range(0, len(values), 2):
        parts = [values[i : i + 2]]
        if i in (2, 6, 8):
            parts = list(zip(*(np.split(one, 2) for one in parts[0]), strict=True))
        halves += [one for part in parts for one in part]
    halves[0] = halves[0][:, ::-1]
    (tmp_path / "caffe.pkl").write_bytes(pickle.dumps({"values": halves}))
    other = small_alexnet()
    read_weights(tmp_path / "caffe.pkl").set(other)
    for one, expected in zip(get_all_param_values(other), values, strict=True):
        np.testing.assert_array_equal(one, expected)
