"""Everything that a person chooses for an experiment, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from common.options import Shape

UpdateRule = Literal[
    "sgd",
    "momentum",
    "nesterov_momentum",
    "adagrad",
    "rmsprop",
    "adadelta",
    "adam",
    "adamax",
    "amsgrad",
]
Precision = Literal["auto", "float32", "bfloat16", "float16", "float64"]


@dataclass(frozen=True)
class Experiment:
    """Trains and tests a network on a dataset."""

    dataset_path: Path
    """The dataset, as create_datasets, download_mnist or create_demo_dataset write it."""
    model_architecture: str
    """A name from list_architectures, or your own function as path/to/file.py:function."""
    model_params: str = ""
    """The architecture's parameters, name=value:name=value, as in num_units=256."""
    num_epochs: int = 5000
    """How often the training subset is gone through."""
    batch_size: int = 100
    """Instances in a batch; crops count as instances."""
    chunk_size: Annotated[int, arg(aliases=["--training-chunk-size"])] = 0
    """Instances that are copied to the device at once; 0 = all. Two chunks are held."""
    reshape_to: Shape | None = None
    """An instance's shape for the network, as in '(1, 28, 28)' for flat pictures."""
    labels_to_keep: str = ""
    """Only these labels, as in jazz,metal; all unless given."""
    shuffle: bool = True
    """Shuffle the training instances anew in every epoch."""
    input_scale: float | None = None
    """What stored values are multiplied by; unless given, pictures become [0, 1]. 1 = raw."""
    subtract_mean: bool = True
    """Subtract the training subset's mean of every feature."""
    num_crops: int = 0
    """Crops of each instance: random in training; centre, then an even grid in evaluation."""
    crop_shape: Shape | None = None
    """A crop's height and width, as in '(224, 224)'."""
    mirror_crops: bool = True
    """Take every crop mirrored as well, which doubles their number."""
    update_func_name: UpdateRule = "nesterov_momentum"
    """The update rule, of lasagne.updates."""
    learning_rate: float = 0.01
    """The learning rate to start with."""
    update_func_kwargs: str = ""
    """The update rule's other arguments, name=value:name=value, as in momentum=0.95."""
    adapt_learning_rate: bool = False
    """Divide the rate by 10 and go back to the best weights after 3 epochs without a gain."""
    snapshot_every: int = 0
    """Write a snapshot after every so many epochs; 0 = none on the way."""
    snapshot_prefix: str = "model"
    """Snapshots are PREFIX.snapshot-EPOCH.safetensors in the run's folder."""
    snapshot_final_model: bool = True
    """Write a snapshot at the end, after Ctrl-C too."""
    start_from_snapshot: Path | None = None
    """Go on from this snapshot, with its options unless others are given here."""
    test_only: bool = False
    """Evaluate the best weights in --start-from-snapshot on the testing subset; train nothing."""
    test_at_end: bool = False
    """Evaluate the best weights on the testing subset, once, after the last epoch."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, …; auto is the first GPU where there is one."""
    precision: Precision = "auto"
    """auto is bfloat16 where the hardware multiplies matrices of it, else float32."""
    seed: int = 0
    """Seeds the start weights, shuffling, crops and dropout."""
    out_dir: Path | None = None
    """The run's folder; unless given, runs/<time>-<architecture>."""
    verbose: bool = False
    """Print the loss of every chunk's first batch."""
