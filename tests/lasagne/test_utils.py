"""Helpers: tuples, checks, parameters."""

import numpy as np
import pytest
import torch
from torch import nn

from lasagne import init, nonlinearities, utils


def test_one_hot():
    labels = torch.tensor([[0, 2], [1, 1]])
    rows = [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]]
    assert utils.one_hot(labels).tolist() == rows
    assert utils.one_hot(labels, 5).shape == (2, 2, 5)


def test_as_tuple():
    assert utils.as_tuple(3, 2) == (3, 3)
    assert utils.as_tuple([3, 4], 2, int) == (3, 4)
    with pytest.raises(TypeError, match=r"iterable of int, got \(1, 2\.5\) instead"):
        utils.as_tuple((1, 2.5), 2, int)
    with pytest.raises(ValueError, match=r"with length 3, got \(1, 2\) instead"):
        utils.as_tuple((1, 2), 3)


@pytest.mark.parametrize("value", [2.0, "3", None, True])
def test_check_int_refuses_other_types(value):
    with pytest.raises(TypeError, match="num_units must be an integer of at least 1, got"):
        utils.check_int(value, "num_units")
    with pytest.raises(TypeError, match="pad must be an integer of at least 0 or a tuple of 2"):
        utils.check_int_tuple((1, value), 2, "pad", minimum=0)


def test_numpy_integers_become_ints():
    assert type(utils.check_int(np.int64(3), "n")) is int
    assert utils.check_int_tuple(np.array([3, 4]), 2, "n") == (3, 4)


def test_create_param_copies_arrays_and_shares_tensors():
    value = np.ones((2, 3))
    param = utils.create_param(value, (2, 3))
    value[:] = 5
    assert param.dtype == torch.float32
    assert param.sum() == 6
    assert utils.create_param(param, (2, 3)) is param
    tensor = torch.zeros(3)
    assert utils.create_param(tensor, (3,)).data_ptr() == tensor.data_ptr()


def test_create_param_errors():
    with pytest.raises(ValueError, match=r"'W' must have shape \(3,\), got \(2,\)"):
        utils.create_param(np.ones(2), (3,), "W")
    with pytest.raises(ValueError, match=r"'W' must have shape \(3,\), the initialiser returned"):
        utils.create_param(lambda shape: np.ones(2), (3,), "W")
    with pytest.raises(ValueError, match=r"non-positive dimension in \(3, 0\)"):
        utils.create_param(init.Constant(), (3, 0))
    with pytest.raises(TypeError, match=r"must be given as an initialiser, .* got 'zeros'"):
        utils.create_param("zeros", (3,))
    with pytest.raises(TypeError, match="that was not computed from others"):
        utils.create_param(nn.Parameter(torch.ones(3)) * 2, (3,))


def test_shared_empty():
    assert utils.shared_empty().tolist() == [[0.0]]
    assert utils.shared_empty(3, "int32").dtype == torch.int32
    assert utils.shared_empty(3).shape == (1, 1, 1)


def test_as_theano_expression():
    tensor = torch.ones(2)
    assert utils.as_theano_expression(tensor) is tensor
    assert utils.as_theano_expression([[1, 2]]).tolist() == [[1, 2]]
    with pytest.raises(TypeError, match="expected a tensor or what can be made one, got dict"):
        utils.as_theano_expression({"a": 1})


def test_collect_shared_vars():
    w, b, unused = (nn.Parameter(torch.ones(3)) for _ in range(3))
    loss = ((torch.ones(3) * w + b) * w).sum()
    found = utils.collect_shared_vars(loss)
    assert {id(p) for p in found} == {id(w), id(b)}
    assert next(id(p) for p in utils.collect_shared_vars([unused, loss])) == id(unused)
    assert utils.collect_shared_vars(torch.ones(2)) == []


@pytest.mark.parametrize("convert", [torch.from_numpy, np.asarray])
@pytest.mark.parametrize(
    ("shape", "axes", "summed"),
    [
        ((4,), None, None),
        ((4, 3), None, 0),
        ((4, 3, 2), None, (1, 2)),
        ((4, 3, 2, 5), None, (1, 2, 3)),
        ((4, 3, 2, 5), (0, 3), (0, 3)),
        ((4,), (0,), 0),
    ],
)
def test_compute_norms(convert, shape, axes, summed):
    array = np.random.RandomState(1).randn(*shape)
    expected = np.abs(array) if summed is None else np.sqrt((array**2).sum(axis=summed))
    np.testing.assert_allclose(np.asarray(utils.compute_norms(convert(array), axes)), expected)


def test_compute_norms_errors():
    with pytest.raises(RuntimeError, match="must be a tensor or a NumPy array, got list"):
        utils.compute_norms([1.0])
    with pytest.raises(ValueError, match="norm_axes must be given for 6 axes"):
        utils.compute_norms(np.ones((1,) * 6))


def test_softmax_needs_two_axes():
    with pytest.raises(ValueError, match=r"\(batch, classes\), got \(2, 3, 4\)"):
        nonlinearities.softmax(torch.ones(2, 3, 4))
