"""Lasagne's public API on PyTorch.

Networks are graphs of :mod:`lasagne.layers`, with parameters drawn by :mod:`lasagne.init` and
activations from :mod:`lasagne.nonlinearities`; :mod:`lasagne.objectives` says what to minimise and
:mod:`lasagne.updates` how. Names, arguments, defaults, parameter order and numbers are those of
Lasagne 0.2 (https://lasagne.readthedocs.io); Theano's symbolic variables are PyTorch tensors, and
a layer is a :class:`torch.nn.Module`.
"""

from lasagne import (
    init,
    layers,
    nonlinearities,
    objectives,
    random,
    regularization,
    updates,
    utils,
    weights,
)

__all__ = [
    "init",
    "layers",
    "nonlinearities",
    "objectives",
    "random",
    "regularization",
    "updates",
    "utils",
    "weights",
]
