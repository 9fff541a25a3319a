"""A training step of AlexNet's one tower in Theano and Lasagne, as Bandcamp Deep Learning ran it.

Run, where Python 3.8, Theano 1.0.5 and Lasagne are installed, and a BLAS that Theano finds:
THEANO_FLAGS=floatX=float32,openmp=True,blas.ldflags=-lopenblas \
    python3.8 benchmarks/theano_alexnet_step.py [BATCH] [SIDE] [STEPS]

Prints a line of JSON: images/s, the median of the steps after the first. Nothing imports this file.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np

theano: Any = importlib.import_module("theano")
T: Any = importlib.import_module("theano.tensor")

#: filters, their size, the stride, and whether a max pool of 3, stride 2, follows
CONVOLUTIONS = (
    (48, 11, 4, True),
    (128, 5, 1, True),
    (192, 3, 1, False),
    (192, 3, 1, False),
    (128, 3, 1, True),
)


def load_lasagne() -> Any:
    """Import Lasagne; release 0.1 wants a module that Theano 1.0 has under another name."""
    pool = importlib.import_module("theano.tensor.signal.pool")
    downsample: Any = types.ModuleType("theano.tensor.signal.downsample")
    downsample.max_pool_2d = pool.pool_2d
    sys.modules.setdefault(downsample.__name__, downsample)
    importlib.import_module("theano.tensor.signal").downsample = downsample  # type: ignore[attr-defined]
    return importlib.import_module("lasagne")


def build(lasagne: Any, inputs: Any, side: int) -> Any:
    """Return the output layer."""
    start = lasagne.init.HeUniform(gain="relu")
    layer = lasagne.layers.InputLayer((None, 3, side, side), inputs)
    for filters, size, stride, pooled in CONVOLUTIONS:
        layer = lasagne.layers.Conv2DLayer(
            layer, filters, size, stride=stride, pad=size // 2, W=start
        )
        if pooled:
            layer = lasagne.layers.MaxPool2DLayer(layer, 3, stride=2)
    for _ in range(2):
        layer = lasagne.layers.DenseLayer(layer, 2048, W=start)
        layer = lasagne.layers.DropoutLayer(layer, 0.5)
    return lasagne.layers.DenseLayer(layer, 10, nonlinearity=lasagne.nonlinearities.softmax)


def training_step(side: int) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Return the compiled step."""
    lasagne = load_lasagne()
    inputs, labels = T.tensor4("inputs", dtype="float32"), T.ivector("labels")
    output = build(lasagne, inputs, side)
    losses = lasagne.objectives.categorical_crossentropy(lasagne.layers.get_output(output), labels)
    params = lasagne.layers.get_all_params(output, trainable=True)
    rate = np.float32(0.001)
    updates = lasagne.updates.nesterov_momentum(losses.mean(), params, rate, np.float32(0.9))
    step: Callable[[np.ndarray, np.ndarray], Any]
    step = theano.function([inputs, labels], losses.mean(), updates=updates)
    return step


def main() -> None:
    """Measure."""
    given = [int(argument) for argument in sys.argv[1:]]
    batch, side, steps = given + [64, 224, 5][len(given) :]
    generator = np.random.default_rng(0)
    inputs = generator.random((batch, 3, side, side), dtype=np.float32)
    labels = generator.integers(0, 10, batch).astype(np.int32)
    step = training_step(side)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        step(inputs, labels)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"images_per_second": batch / statistics.median(seconds[1:])}))


if __name__ == "__main__":
    main()
