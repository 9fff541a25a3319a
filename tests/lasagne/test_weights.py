"""Weights as the programs of their time wrote them, and files that are no such thing."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    Layer,
    MaxPool2DLayer,
    get_output,
    set_all_param_values,
)
from lasagne.nonlinearities import softmax
from lasagne.weights import load_model, load_param_values
from tests.paths import GOLDEN

DATASET = GOLDEN / "dataset"


def onet() -> Layer:
    incoming = InputLayer((None, 1, 40, 250))
    branches = [Conv2DLayer(incoming, 5, (1, width)) for width in range(6, 42, 5)]
    pooled = [MaxPool2DLayer(one, (4, one.output_shape[3])) for one in branches]
    return DenseLayer(ConcatLayer(pooled), 8, nonlinearity=softmax)


def model_of_the_zoo() -> Layer:
    layer = Conv2DLayer(InputLayer((None, 1, 8, 8)), 4, 3, pad="same")
    layer = DenseLayer(MaxPool2DLayer(layer, 2), 12)
    return DenseLayer(layer, 5, nonlinearity=softmax)


@pytest.mark.parametrize("python", ["py2", "py3"])
def test_mirdl(python: str):
    network = onet()
    set_all_param_values(network, load_param_values(DATASET / f"mirdl_onet_{python}.npz"))
    with np.load(DATASET / "mirdl_onet.io.npz") as stored:
        y = get_output(network, torch.tensor(stored["x0"]))
        np.testing.assert_allclose(y.detach().numpy(), stored["y"], atol=1e-5)


@pytest.mark.parametrize("python", ["py2", "py3"])
def test_model_zoo(python: str):
    values = load_param_values(DATASET / f"modelzoo_{python}.pkl")
    network = model_of_the_zoo()
    set_all_param_values(network, values)
    with np.load(DATASET / "modelzoo.arrays.npz") as stored:
        for i, value in enumerate(values):
            assert np.array_equal(value, stored[f"p{i}"])
            assert value.dtype == np.float32
        y = get_output(network, torch.tensor(stored["x0"]))
        np.testing.assert_allclose(y.detach().numpy(), stored["y"], atol=1e-5)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_protocol(tmp_path: Path, protocol: int, order: str):
    arrays = [
        np.asarray(np.random.RandomState(1).randn(3, 4), order=order),
        np.arange(5, dtype=">i2"),
        np.float32(0.25) * np.ones(()),
    ]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([*arrays, np.float64(0.5), 2.0], protocol))
    values = load_param_values(path)
    for value, expected in zip(values, [*arrays, 0.5, 2.0], strict=True):
        assert np.array_equal(value, expected)
        assert value.shape == np.shape(expected)


def write_theano_alexnet(folder: Path, params: list[np.ndarray], epoch: int) -> None:
    """As theano_alexnet did: layer indices count dropout, and layers with two groups have halves.

    W0 and W1 (and b0, b1) are the halves of the filters; filters are channels first and last.
    """
    for layer, number in enumerate([0, 1, 2, 3, 4, 5, 7, 9]):
        W, b = params[2 * layer : 2 * layer + 2]
        stored = W.transpose(1, 2, 3, 0) if W.ndim == 4 else W
        if layer in (1, 3, 4):
            for half in range(2):
                part = np.split(stored, 2, axis=3)[half]
                np.save(folder / f"W{half}_{number}_{epoch}.npy", part)
                np.save(folder / f"b{half}_{number}_{epoch}.npy", np.split(b, 2)[half])
        else:
            np.save(folder / f"W_{number}_{epoch}.npy", stored)
            np.save(folder / f"b_{number}_{epoch}.npy", b)


def test_theano_alexnet(tmp_path: Path):
    with np.load(GOLDEN / "networks" / "theano_alexnet.npz") as stored:
        params = [stored[f"p{i}"] for i in range(16)]
    write_theano_alexnet(tmp_path, [np.zeros_like(p) for p in params], epoch=9)
    write_theano_alexnet(tmp_path, params, epoch=65)
    np.save(tmp_path / "mom_0_65.npy", np.ones(3))
    values = load_param_values(tmp_path)
    for value, expected in zip(values, params, strict=True):
        assert np.array_equal(value, expected)


def test_a_shape_that_does_not_fit_is_named_with_its_layer():
    network = DenseLayer(model_of_the_zoo().input_layer, 7, name="output")
    values = load_param_values(DATASET / "modelzoo_py3.pkl")
    with pytest.raises(
        ValueError, match=r"'W' of DenseLayer 'output' \(layer 4\) has shape \(12, 7\)"
    ):
        set_all_param_values(network, values)


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_param_values(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_pickle_changes_no_function(tmp_path: Path):
    """BUILD with a pair of states would set attributes of what GLOBAL found."""
    for name in (b"_codecs\nencode", b"numpy\nndarray", b"numpy.core.multiarray\nscalar"):
        stream = b"c" + name + b"\n(N(dS'__doc__'\nS'changed'\nstb."
        assert "it tries to change a function" in refused(tmp_path / "model.pkl", stream)


@pytest.mark.parametrize("key", ["param values", "values"])
def test_keys_of_the_model_zoo(tmp_path: Path, key: str):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"synset words": ["cat"], key: [np.ones(2)]}))
    assert load_param_values(path)[0].tolist() == [1, 1]


def test_a_pickle_runs_nothing(tmp_path: Path):
    marker = tmp_path / "ran"
    stream = b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    assert "it asks for 'posix.system'" in refused(tmp_path / "evil.pkl", stream).replace(
        "'os.system'", "'posix.system'"
    )
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"weights": 1}), "it has no 'param values', only 'weights'"),
        (pickle.dumps([]), "a list of arrays was expected, got list"),
        (pickle.dumps(3), "a list of arrays was expected, got int"),
        (pickle.dumps(["a"]), "a list of arrays was expected, got str in it"),
        (pickle.dumps([np.array(["a"])]), "arrays must be of numbers, got one of dtype 'U1'"),
        (pickle.dumps([np.array([{}])]), "arrays must be of numbers, got one of dtype 'O8'"),
        (pickle.dumps([np.ones(3)])[:-20], "holds no parameter values"),
        (b"", "holds no parameter values"),
        (b"not a pickle", "holds no parameter values"),
        (b"I1\np4294967295\n.", "its memo is larger than itself"),
    ],
)
def test_pickles_that_hold_no_values(tmp_path: Path, content: bytes, message: str):
    assert message in refused(tmp_path / "model.pkl", content)


def test_npz_files_that_hold_no_values(tmp_path: Path):
    path = tmp_path / "model.npz"
    np.savez(path, W=np.ones(2))
    assert "must be named arr_0, arr_1 and so on" in refused(path, path.read_bytes())
    np.savez(path, np.array([{}], dtype=object))
    assert "Object arrays cannot be loaded" in refused(path, path.read_bytes())
    np.savez(path, np.ones(100))
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 255
    assert "holds no parameter values" in refused(path, bytes(damaged))


def test_folders_that_hold_no_values(tmp_path: Path):
    with pytest.raises(ValueError, match="a folder must have files like W_0_65.npy"):
        load_param_values(tmp_path)
    (tmp_path / "W_0_1.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"W_0_1.npy' holds no array"):
        load_param_values(tmp_path)
    np.save(tmp_path / "W0_0_2.npy", np.ones((2, 3)))
    with pytest.raises(ValueError, match="its other half W1_0_2.npy is missing"):
        load_param_values(tmp_path)
    np.save(tmp_path / "W1_0_2.npy", np.ones((2, 4)))
    with pytest.raises(ValueError, match="holds parts that do not fit together"):
        load_param_values(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_param_values(tmp_path / "missing.npz")


@pytest.mark.parametrize("python", ["py2", "py3"])
def test_all_of_a_model_of_the_zoo(python: str):
    model = load_model(DATASET / f"modelzoo_{python}.pkl")
    with np.load(DATASET / "modelzoo.arrays.npz") as stored:
        assert np.array_equal(model["mean image"], stored["mean"])
        for i, value in enumerate(model["param values"]):
            assert np.array_equal(value, stored[f"p{i}"])
    assert all(type(word) is str for word in model["synset words"])
    assert type(model["model type"]) is str


def test_a_list_of_values_is_a_model_too(tmp_path: Path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([np.ones(2), np.zeros(3)]))
    ((name, (ones, zeros)),) = load_model(path).items()
    assert (name, ones.tolist(), zeros.tolist()) == ("param values", [1, 1], [0, 0, 0])


def test_what_is_no_model_of_the_zoo(tmp_path: Path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"mean value": np.ones(3)}))
    with pytest.raises(ValueError, match="it has no 'param values'"):
        load_model(path)
    path.write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")
    with pytest.raises(ValueError, match="it asks for 'os.system'"):
        load_model(path)
