"""Recurrent layers, which read sequences of shape (batch, time, features)."""

from lasagne.layers.recurrent.base import BaseRecurrentLayer
from lasagne.layers.recurrent.custom import CustomRecurrentLayer, RecurrentLayer
from lasagne.layers.recurrent.gates import BaseGatedLayer, Gate
from lasagne.layers.recurrent.gru import GRULayer
from lasagne.layers.recurrent.lstm import LSTMLayer

__all__ = [
    "BaseGatedLayer",
    "BaseRecurrentLayer",
    "CustomRecurrentLayer",
    "GRULayer",
    "Gate",
    "LSTMLayer",
    "RecurrentLayer",
]
