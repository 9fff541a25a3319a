"""Outputs at kinks, ties and limits equal the original's; gradients there are PyTorch's."""

import numpy as np
import pytest
import torch

from lasagne import layers, nonlinearities, objectives, regularization, updates
from tests.paths import GOLDEN

with np.load(GOLDEN / "edges" / "edges.npz") as _stored:
    EDGES = dict(_stored)


def layer(make, **kwargs):
    def apply(x):
        return make(tuple(x.shape), **kwargs).get_output_for(x)

    return apply


FUNCTIONS = {
    **{
        name: getattr(nonlinearities, name)
        for name in ("rectify", "leaky_rectify", "very_leaky_rectify", "elu", "selu", "softplus")
    },
    "softmax_large": nonlinearities.softmax,
    "l1": regularization.l1,
    "maxpool_ties": layer(layers.MaxPool2DLayer, pool_size=2),
    "maxpool_ties_overlap": layer(layers.MaxPool2DLayer, pool_size=(1, 3), stride=1),
    "maxpool_pad_negative": layer(layers.MaxPool2DLayer, pool_size=2, stride=1, pad=1),
    "featurepool_ties": layer(layers.FeaturePoolLayer, pool_size=2),
    "featurewta_ties": layer(layers.FeatureWTALayer, pool_size=2),
    "globalpool_max_ties": layer(layers.GlobalPoolLayer, pool_function=torch.amax),
    "norm_constraint_zero_column": lambda x: updates.norm_constraint(x, 5.0),
    "bce_at_limits": lambda x: objectives.binary_crossentropy(x, torch.tensor([0.0, 1, 1, 0])),
    "cce_int_zero_probability": lambda x: objectives.categorical_crossentropy(
        x, torch.tensor([0, 0])
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_outputs(name: str):
    y = FUNCTIONS[name](torch.tensor(EDGES[f"{name}_x0"]).double())
    np.testing.assert_allclose(y.numpy(), EDGES[f"{name}_y"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("top_k", [1, 2])
def test_accuracy_at_ties(top_k: int):
    p, t = torch.tensor(EDGES["accuracy_ties_p"]), torch.tensor(EDGES["accuracy_ties_t"])
    accuracy = objectives.categorical_accuracy(p, t, top_k)
    assert np.array_equal(accuracy.numpy(), EDGES[f"accuracy_ties_top{top_k}"])


@pytest.mark.parametrize("size", [(7, 7), (11, 10), (10, 9)])
def test_columns_of_fast_spatial_pyramid_pooling(size: tuple[int, int]):
    """As many as Lasagne returned; it declared another number for some sizes."""
    pooled = layers.SpatialPyramidPoolingLayer((1, 1, *size))
    y = pooled.get_output_for(torch.rand(1, 1, *size))
    _, actual = EDGES[f"spp_fast_{size[0]}x{size[1]}_declared_actual"]
    assert tuple(y.shape) == tuple(actual)
    assert pooled.output_shape == tuple(actual)
