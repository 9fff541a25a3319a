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
Policy = Literal["constant", "adaptive", "step", "auto", "mirdl", "cosine"]


@dataclass(frozen=True)
class Experiment:
    """Trains and tests a network on a dataset."""

    dataset_path: Path
    """The dataset, as create_datasets, preprocess_imagenet, create_spectrograms or download_mnist
    write it."""
    model_architecture: str
    """A name from list_architectures, or your own function as path/to/file.py:function."""
    model_params: str = ""
    """The architecture's parameters, name=value:name=value, as in num_units=256."""
    num_epochs: int = 5000
    """How often the training subset is gone through."""
    batch_size: int = 100
    """Instances in a batch, over all devices; crops count as instances."""
    micro_batch_size: int | Literal["auto"] | None = None
    """Instances computed at once; the gradients of a batch's parts are added up. auto halves the
    batch until a device's memory holds it; None computes whole batches."""
    chunk_size: Annotated[int, arg(aliases=["--training-chunk-size"])] = 0
    """Instances that are copied to the device at once, in whole batches; 0 = all. Two chunks are
    held."""
    reshape_to: Shape | None = None
    """An instance's shape for the network, as in '(1, 28, 28)' for flat pictures."""
    labels_to_keep: str = ""
    """Only these labels, as in jazz,metal; all unless given."""
    folds: int = 10
    """Parts of equal size, each with its share of every label, that the dataset is cut into for
    --fold."""
    fold: int | None = None
    """Test on this fold, validate on the next one, train on all others. None: the dataset's own
    subsets; recordings have none, and 1 is taken for them."""
    fold_seed: int = 0
    """Chooses among equally good folds."""
    group_by: str | None = None
    """Regular expression searched for in the recordings' paths below the labels' folders; those in
    which it finds the same are in one fold, as those of an album."""
    patch_frames: int = 250
    """Frames of a patch, which is what a network sees of a spectrogram."""
    patch_hop: int | None = None
    """Frames from a recording's patch to its next one, first to first; None: a patch's length."""
    patch_policy: Literal["all", "original"] = "all"
    """original leaves out every recording's last whole patch, as MIRdl did."""
    spectrogram_normalisation: Literal["training", "local", "global"] = "training"
    """What the mean and deviation are taken of by which a spectrogram's log10(10000 x + 1) is
    normalised: the training recordings, all (global, as in MIRdl's paper), or each one (local)."""
    shuffle: bool = True
    """Shuffle the training instances anew in every epoch."""
    shuffle_run: int | None = None
    """Neighbouring instances that shuffling leaves in one chunk, to read a large file in long runs;
    None: 1, or a megabyte's worth where the subset has more than half of the free memory."""
    input_scale: float | None = None
    """What stored values are multiplied by; unless given, pictures become [0, 1]. 1 = raw."""
    subtract_mean: bool = True
    """Subtract the training subset's mean."""
    divide_by_std: bool = False
    """Divide by the training subset's standard deviation."""
    normalise_per: Literal["feature", "channel"] = "feature"
    """Mean and deviation of every feature (a mean picture), or of every channel."""
    num_crops: int = 0
    """Crops of each instance: random in training; centre, then an even grid in evaluation."""
    crop_shape: Shape | None = None
    """A crop's height and width, as in '(224, 224)'."""
    mirror_crops: bool = True
    """Take every crop mirrored as well, which doubles their number."""
    random_mirror: bool = False
    """Mirror training crops at random, each as likely as not, in place of taking both."""
    crop_mirror_per: Literal["instance", "batch"] = "instance"
    """Draw crop and mirror for each instance, or once for a whole batch as theano_alexnet could."""
    evaluation_crops: Literal["as-trained", "centre", "ten"] = "as-trained"
    """What is evaluated of a picture: as many crops as in training, the centre alone, or the centre
    and the four corners with their mirror images."""
    update_func_name: UpdateRule = "nesterov_momentum"
    """The update rule, of lasagne.updates."""
    learning_rate: float = 0.01
    """The learning rate to start with."""
    update_func_kwargs: str = ""
    """The update rule's other arguments, name=value:name=value, as in momentum=0.95."""
    lr_policy: Policy = "constant"
    """How the rate goes on: constant; adaptive: see --adapt-learning-rate; step: a tenth at each of
    --lr-steps; auto: a tenth when two epochs gained less than 0.01 of validation error, as
    theano_alexnet; mirdl: a half when the training loss falls again after 20 risen epochs; cosine:
    down to 0 at the last epoch."""
    adapt_learning_rate: bool = False
    """The same as --lr-policy adaptive: divide the rate by 10 and go back to the best weights after
    3 epochs without a gain."""
    lr_steps: str = ""
    """The epochs after which --lr-policy step divides the rate by 10, as in 20,40."""
    warmup_epochs: float = 0.0
    """Raise the rate from 0 to --learning-rate over so many epochs."""
    early_stopping: int = 0
    """Stop after so many epochs in a row without a gain in validation accuracy; 0 = never."""
    max_minutes: float = 0.0
    """Stop after so many minutes, which --resume counts anew, with a snapshot; 0 = never."""
    weight_decay: float = 0.0
    """L2 decay of the weights (Lasagne's tag `regularizable`, so not of biases)."""
    bias_rate_multiplier: float = 1.0
    """The biases' rate, in multiples of the weights'; theano_alexnet's was 2."""
    clip_gradient_norm: float = 0.0
    """Scale the gradient down where its norm over all parameters is larger; 0 = never."""
    label_smoothing: float = 0.0
    """Part of the target that is spread over all labels evenly, below 1."""
    average_weights: float = 0.0
    """Validate and keep an exponential moving average of the weights; its decay per step, as in
    0.999; 0 = none."""
    snapshot_every: int = 0
    """Write a snapshot after every so many epochs; 0 = none on the way."""
    snapshot_minutes: float = 10.0
    """Write a snapshot after every so many minutes, within an epoch too; the next replaces it;
    0 = none on the way."""
    keep_snapshots: int = 0
    """Keep the newest so many snapshots of --snapshot-every, each with the best weights too;
    0 = all. Of those of --snapshot-minutes the newest alone is kept, in any case."""
    snapshot_prefix: str = "model"
    """Snapshots are PREFIX.snapshot-EPOCH.safetensors in the run's folder."""
    snapshot_final_model: bool = True
    """Write a snapshot at the end, after Ctrl-C too."""
    resume: Path | None = None
    """Go on with the run in this folder, from its newest whole snapshot."""
    start_from_snapshot: Path | None = None
    """Go on from this snapshot, with its options unless others are given here."""
    start_weights: Path | None = None
    """Start with the weights of this snapshot, to fine-tune its network: architecture, crops, mean
    and scale are its own unless given; where the labels are others, the last layer starts anew."""
    test_only: bool = False
    """Evaluate the best weights in --start-from-snapshot on the testing subset; train nothing."""
    test_at_end: bool = False
    """Evaluate the best weights on the testing subset, once, after the last epoch."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, …; auto is the first GPU where there is one."""
    num_devices: int = 1
    """Devices to train on at once, a process for each: GPUs, or parts of the CPU's cores."""
    precision: Precision = "auto"
    """auto is bfloat16 where the hardware multiplies matrices of it, else float32."""
    compile: bool = False
    """Compile the network by torch.compile, which takes a minute or more and may pay on a GPU."""
    seed: int = 0
    """Seeds the start weights, shuffling, crops and dropout."""
    out_dir: Path | None = None
    """The run's folder; unless given, runs/<time>-<architecture>."""
    verbose: bool = False
    """Print the loss of every chunk's first batch."""

    @property
    def frames_between_patches(self) -> int:
        """What `patch_hop` stands for."""
        return self.patch_frames if self.patch_hop is None else self.patch_hop
