"""The convolution that Lasagne computed as a matrix product, for definitions that ask for it."""

from lasagne.layers.dnn import Conv2DDNNLayer

__all__ = ["Conv2DMMLayer"]


class Conv2DMMLayer(Conv2DDNNLayer):
    """:class:`lasagne.layers.Conv2DLayer` with ``flip_filters=False`` by default."""
