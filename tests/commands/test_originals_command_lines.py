"""The originals' own command lines, word for word but for paths and the number of epochs."""

import shlex

import numpy as np
import pytest

from commands import main
from datasets.container import write_dataset

BLOG_CONVNET = """run_experiment \
    --dataset-path {rgb} \
    --model-architecture ConvNet \
    --model-params num_conv_layers=5:num_dense_layers=2:lc0_num_filters=48:lc0_filter_size=11:\
lc0_stride=4:lc0_mp=True:lm0_pool_size=3:lm0_stride=2:lc1_num_filters=128:lc1_filter_size=5:\
lc1_mp=True:lm1_pool_size=3:lm1_stride=2:lc2_num_filters=192:lc2_filter_size=3:lc3_num_filters=192:\
lc3_filter_size=3:lc4_num_filters=128:lc4_filter_size=3:lc4_mp=True:lm4_pool_size=3:lm4_stride=2:\
ld0_num_units=2048:ld1_num_units=2048"""
BLOG_ALEXNET = """run_experiment --dataset-path {rgb} \
    --model-architecture AlexNet --model-params lc0_num_filters=64"""
README_MLP = """run_experiment --dataset-path {flat} --model-architecture SingleLayerMlp \
    --model-params num_hidden_units=256"""
README_CHUNKS = """run_experiment --dataset-path {flat} --model-architecture SingleLayerMlp \
    --batch-size 500 --training-chunk-size 4000"""


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Datasets as the original wrote them: channels first, and flat float32 in [0, 1]."""
    folder = tmp_path_factory.mktemp("originals")
    pictures = np.random.default_rng(0).integers(0, 256, (60, 3, 96, 96), np.uint8)
    labels = np.arange(60, dtype=np.int32) % 10
    parts = {"training": slice(0, 40), "validation": slice(40, 50), "testing": slice(50, 60)}
    names = {str(label): label for label in range(10)}
    grey = pictures.mean(axis=1).reshape(60, -1).astype(np.float32) / 255
    for name, array, layout, scale in (
        ("rgb", pictures, "nchw", 255.0),
        ("flat", grey, "flat", 1.0),
    ):
        subsets = {part: (array[rows], labels[rows]) for part, rows in parts.items()}
        path = folder / f"local.{name}.pkl.zip"
        write_dataset(path, subsets, names, layout=layout, scale=scale, picture_shape=None)
    return {name: folder / f"local.{name}.pkl.zip" for name in ("rgb", "flat")}


@pytest.mark.parametrize(
    ("line", "flags", "shown"),
    [
        (BLOG_CONVNET, "", "lm4          MaxPool2DLayer  128 × 2 × 2"),
        (BLOG_ALEXNET, "", "lc0          Conv2DLayer     64 × 24 × 24"),
        (README_MLP, "floatX=float32", "ld0     DenseLayer  256"),
        (README_CHUNKS, "device=cpu,floatX=float32", "ld0     DenseLayer  512"),
    ],
)
def test_they_run_as_written(paths, monkeypatch, capsys, line, flags, shown):
    monkeypatch.setenv("THEANO_FLAGS", flags)
    arguments = shlex.split(line.format(**paths))
    assert main([*arguments, "--num-epochs", "1"]) == 0
    output = capsys.readouterr().out
    assert shown in output
    assert "epoch 1 of 1: training loss" in output
    assert ("float32" in flags) == ("cpu in float32" in output)
