"""A snapshot of weights that another program has trained: to evaluate, predict and fine-tune."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.errors import CommandError
from common.options import to_plain
from datasets.pictures import ResizeMode
from lasagne.layers import Network
from training.experiment import Experiment
from training.model import make_output_layer
from training.snapshots import Snapshot
from training.update_rule import optimizer_maker
from training.weight_files import WeightFile

PICTURE_SIZE = 256  # pixels, of which a window is cut
CHUNK_SIZE = 4096  # pictures, which have 805 MB
SCALE = 255.0  # the highest value of a pixel


@dataclass(frozen=True)
class Inputs:
    """How ImageNet's pictures become a network's inputs: brought to 256×256, then the middle."""

    window: int
    resize_mode: ResizeMode


CAFFE, OTHERS = Inputs(227, "stretch"), Inputs(224, "crop")


def snapshot_of(
    weights: WeightFile,
    architecture: str,
    params: str,
    labels: list[str],
    dataset_path: Path,
) -> Snapshot:
    """Makes a snapshot of published weights, of a training that has not begun.

    Pictures are brought to 256×256 pixels, of which the middle 227 (CaffeAlexNet) or 224 are taken.

    Parameters
    ----------
    weights : WeightFile
    architecture, params : str
        As in `Experiment`.
    labels : list of str
        By index.
    dataset_path : Path
        What it is evaluated on unless told otherwise.

    Raises
    ------
    CommandError
        Where weights, labels and architecture don't fit one another.
    """
    if weights.num_labels not in (0, len(labels)):
        raise CommandError(
            f"The network of {weights.path} tells {weights.num_labels:,} labels apart, but "
            f"{len(labels):,} are named; give --labels FILE with a line for each, a dataset of all "
            "of them, or neither, for numbers."
        )
    inputs = CAFFE if architecture == "CaffeAlexNet" else OTHERS
    experiment = Experiment(
        dataset_path,
        architecture,
        params,
        chunk_size=CHUNK_SIZE,
        num_crops=1,
        crop_shape=(inputs.window,) * 2,
        mirror_crops=False,
        random_mirror=True,
        input_scale=weights.scale,
        subtract_mean=weights.mean is not None,
        divide_by_std=weights.std is not None,
        normalise_per="feature" if _is_picture(weights.mean) else "channel",
    )
    input_shape = (3, inputs.window, inputs.window)
    output_layer = make_output_layer(experiment, input_shape, len(labels))
    network = Network(output_layer)
    weights.set(output_layer)
    tensors = {f"network/{key}": value.contiguous() for key, value in network.state_dict().items()}
    for name, values in {"mean": weights.mean, "std": weights.std}.items():
        if values is not None:
            tensors[name] = torch.from_numpy(np.ascontiguousarray(values))
    optimizer = optimizer_maker(experiment, output_layer)(experiment.learning_rate)
    header: dict[str, Any] = {
        "experiment": to_plain(experiment),
        "epoch": 0,
        "precision": "auto",
        "scale": experiment.input_scale,
        "best": None,
        "labels": labels,
        "input_shape": list(input_shape),
        "origin": _origin(inputs),
        "policy": {"rate": experiment.learning_rate},
        "scaler": {},
        "optimizer": {"groups": optimizer.state_dict()["param_groups"], "numbers": {}},
    }
    return Snapshot(header, tensors)


def _is_picture(mean: np.ndarray | None) -> bool:
    """Tells whether a mean is a picture; raises CommandError where it is one of another size."""
    if mean is None or mean.shape == (3, 1, 1):
        return False
    if mean.shape != (3, PICTURE_SIZE, PICTURE_SIZE):
        raise CommandError(
            f"The mean picture has shape {mean.shape}; give one of shape "
            f"{(3, PICTURE_SIZE, PICTURE_SIZE)}, or the means of the three channels."
        )
    return True


def _origin(inputs: Inputs) -> dict[str, Any]:
    """Returns how new pictures become inputs, see `datasets.origin.origin_of`."""
    return {
        "kind": "pictures",
        "layout": "nhwc",
        "scale": SCALE,
        "picture_shape": [PICTURE_SIZE, PICTURE_SIZE, 3],
        "steps": [[inputs.resize_mode, PICTURE_SIZE, PICTURE_SIZE]],
        "command": "import_weights",
    }
