"""The update rules as PyTorch optimizers; :mod:`lasagne.updates` has the functions to make them.

Parameter groups hold the learning rate as ``lr``, so that PyTorch's schedulers, ``state_dict`` and
resuming work. A parameter whose ``grad`` is None is left alone; one whose gradient is zero moves on
by its momentum. Two more entries of a group say what differs for its parameters:
``rate_multiplier`` (1 by default) multiplies its learning rate, and ``weight_decay`` (0) times the
parameter is added to the gradient. With the tags of layers, theano_alexnet's rule is:

>>> from lasagne.layers import DenseLayer, InputLayer, get_all_params
>>> from lasagne.updates import momentum
>>> network = DenseLayer(InputLayer((None, 4)), num_units=2)
>>> weights = get_all_params(network, trainable=True, regularizable=True)
>>> biases = get_all_params(network, trainable=True, regularizable=False)
>>> groups = [
...     {"params": weights, "weight_decay": 0.0005},
...     {"params": biases, "rate_multiplier": 2},
... ]
>>> optimizer = momentum(None, groups, learning_rate=0.01)

One pass over memory does it where PyTorch has a fused kernel that yields the same
numbers; elsewhere it is a few operations on all tensors at once.
"""

from lasagne.optimizers.base import LasagneOptimizer
from lasagne.optimizers.rules import (
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    Amsgrad,
    Momentum,
    NesterovMomentum,
    RMSprop,
    Sgd,
)

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Amsgrad",
    "LasagneOptimizer",
    "Momentum",
    "NesterovMomentum",
    "RMSprop",
    "Sgd",
]
