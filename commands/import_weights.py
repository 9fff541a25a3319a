"""Makes a snapshot of weights that others have published, to evaluate, predict and fine-tune.

Reads torchvision's state dicts (.pth, .safetensors), pickles of Lasagne's model zoo, and
theano_alexnet's folder of .npy files; nothing in them is run. Pictures are prepared as for those
networks: brought to 256×256 pixels, scaled, less the mean, and of these the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

GROUP = "Experiments"


@dataclass(frozen=True)
class Options:
    """The options of import_weights."""

    weights: Annotated[Path, Positional, arg(metavar="WEIGHTS")]
    """File or folder of the weights, as download_weights fetches them."""

    snapshot: Annotated[Path, Positional, arg(metavar="SNAPSHOT")]
    """Snapshot to write, NAME.safetensors."""

    model_architecture: str
    """The network that they are of, as TorchvisionResNet18 or CaffeAlexNet."""

    model_params: str = ""
    """The architecture's parameters, as in flip_filters=False."""

    dataset_path: Path | None = None
    """Dataset with the network's labels, as preprocess_imagenet writes it; its mean is taken where
    the network needs a mean picture and has none."""

    labels: Path | None = None
    """Text file with a line for each label, in the network's order, as the labels.txt of
    preprocess_imagenet; None takes the dataset's, those in the file of the weights, or numbers."""

    mean: Path | None = None
    """File of a mean, NAME.npy: a picture of shape (3, 256, 256), or three numbers, 0 to 255, in
    red, green, blue; None takes that of the weights, or of the dataset."""

    channel_order: Literal["rgb", "bgr"] | None = None
    """Order of the channels that the network takes; None: bgr for the model zoo, else rgb."""


def run(options: Options) -> Path:
    """Writes the snapshot and returns its path."""
    from results.weight_import import import_weights

    return import_weights(
        options.weights,
        options.snapshot,
        options.model_architecture,
        options.model_params,
        dataset_path=options.dataset_path,
        labels=options.labels,
        mean=options.mean,
        channel_order=options.channel_order,
    )
