import copy
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from architectures.registry import build
from common.errors import CommandError
from common.params import parse_params
from datasets.container import open_dataset, write_dataset
from lasagne import updates
from lasagne.layers import (
    BatchNormLayer,
    DenseLayer,
    DropoutLayer,
    InputLayer,
    Network,
    Upscale2DLayer,
    get_all_params,
)
from lasagne.nonlinearities import softmax
from tests.paths import ROOT
from tests.recorded import spectra, write
from training.devices import Compute
from training.experiment import Experiment, UpdateRule
from training.memory import MemoryEstimate, estimate, is_out_of_memory, kept_per_weight
from training.out_of_memory import out_of_memory
from training.subsets import open_subsets

RULES = get_args(UpdateRule)

TRAIN = """
import ctypes, gc, json, sys
from pathlib import Path
import torch
from architectures.registry import build
from common.params import parse_params
from datasets.container import open_dataset
from lasagne import updates
from lasagne.layers import Network, get_all_params
from training.devices import Compute
from training.experiment import Experiment
from training.loss import instance_losses
from training.memory import estimate

options = json.loads(sys.argv[1])
experiment = Experiment(Path(options.pop("path")), **options)
compute = Compute(torch.device("cpu"), experiment.precision)
dataset = open_dataset(experiment.dataset_path)
subset = dataset.subset("training")

def memory(what):
    return int(Path("/proc/self/status").read_text().partition(f"{what}:")[2].split()[0]) * 1024

def network(params, shape):
    output = build(experiment.model_architecture, shape, 10, parse_params(params))
    return Network(output).to(compute.dtype)

def step(network, optimizer, inputs):
    optimizer.zero_grad(set_to_none=True)
    with compute.autocast():
        loss = instance_losses(network(inputs), torch.zeros(len(inputs), dtype=torch.int64)).mean()
    loss.backward()
    optimizer.step()

def train(network, batches):
    rule = getattr(updates, experiment.update_func_name)
    optimizer = rule(None, get_all_params(network, trainable=True), learning_rate=0.01)
    for inputs in batches:
        step(network, optimizer, inputs)

def batches():
    held = None
    for start in range(0, 3 * experiment.batch_size, experiment.batch_size):
        if experiment.chunk_size and start % experiment.chunk_size == 0:
            held = [torch.from_numpy(subset.read(slice(0, experiment.chunk_size))) for _ in "12"]
        raw = torch.from_numpy(subset.read(slice(0, experiment.batch_size)))
        yield raw.to(compute.dtype)

small = network("LIBRARIES", (3, 64, 64))
train(small, [torch.zeros(2, 3, 64, 64, dtype=compute.dtype)] * 2)  # libraries take memory once
del small
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
before = memory("VmRSS")
trained = network(experiment.model_params, dataset.instance_shape)
train(trained, batches())
peak = memory("VmHWM") - before
guess = estimate(experiment, dataset, trained, compute)
print(json.dumps([peak, guess.total - guess.copies, str(guess)]))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "pictures.rgb.pkl.zip"
    generator = np.random.default_rng(0)
    subsets = {
        name: (
            generator.integers(0, 256, (count, 3, 64, 64), np.uint8),
            np.arange(count, dtype=np.int32) % 10,
        )
        for name, count in {"training": 1200, "validation": 100}.items()
    }
    labels = {str(label): label for label in range(10)}
    write_dataset(path, subsets, labels, layout="nchw", scale=255, picture_shape=(64, 64, 3))
    return path


def cpu(precision="float32"):
    return Compute(torch.device("cpu"), precision)


def on_gpu(guess: MemoryEstimate, **changes) -> MemoryEstimate:
    return dataclasses.replace(guess, device="cuda:0", **changes)


@pytest.mark.parametrize(
    ("architecture", "small", "options"),
    [
        ("SingleLayerMlp", "num_units=8", {"model_params": "num_units=400", "batch_size": 1000}),
        (
            "ConvNet",
            "num_conv_layers=1:lc0_mp=True:ld0_num_units=8",
            {
                "model_params": "num_conv_layers=2:lc0_mp=True:ld0_num_units=64",
                "batch_size": 100,
                "chunk_size": 300,
                "update_func_name": "adam",
            },
        ),
        ("AlexNet", "num_dense_layers=1", {"batch_size": 600, "precision": "bfloat16"}),
    ],
)
def test_the_estimate_is_near_what_a_training_takes(pictures, architecture, small, options):
    defaults = {"precision": "float32", "update_func_name": "nesterov_momentum"}
    options = defaults | {"path": str(pictures), "model_architecture": architecture} | options
    done = subprocess.run(
        [sys.executable, "-c", TRAIN.replace("LIBRARIES", small), json.dumps(options)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    peak, guessed, line = json.loads(done.stdout)
    assert peak > 100e6
    assert 0.5 < guessed / peak < 1.5, f"{line}, but it took {peak / 1e6:.0f} MB"


def perceptron(units=1000, features=64):
    hidden = DenseLayer(InputLayer((None, features)), units)
    return Network(DenseLayer(hidden, 10, nonlinearity=softmax))


def of_perceptron(path, network, precision="float32", devices=1, views=1, **options):
    experiment = Experiment(path, "SingleLayerMlp", precision=precision, **options)
    compute = cpu(precision)
    dataset = open_dataset(path)
    return estimate(experiment, dataset, network.to(compute.dtype), compute, views, devices)


def test_a_perceptron_by_hand(digits):
    """The rectifier keeps its output; on the way down there are two gradients of its size."""
    guess = of_perceptron(digits, perceptron(), batch_size=50, update_func_name="adam")
    assert guess.activations == pytest.approx(50 * 1000 * 4 * 3, rel=0.03)
    params = 64 * 1000 + 1000 + 1000 * 10 + 10
    assert guess.weights == params * 4 * (1 + 1 + 2)
    assert guess.copies == params * 4 * (1 + 2 + 1)
    assert guess.batch == 50 * (64 + 8 + 64 * 4)
    average = of_perceptron(digits, perceptron(), update_func_name="sgd", average_weights=0.9)
    assert average.weights == params * 4 * 3


def test_precision_and_parts_and_devices(digits):
    network = perceptron()
    whole = of_perceptron(digits, network, batch_size=80)
    half = of_perceptron(digits, network, "bfloat16", batch_size=80)
    short_weights = 2 * (1000 * 10)  # those that the gradient of the hidden layer needs
    assert half.activations - short_weights == pytest.approx(whole.activations / 2, rel=0.05)
    assert half.weights == whole.weights
    parts = of_perceptron(digits, network, batch_size=80, micro_batch_size=20)
    assert parts.activations == pytest.approx(whole.activations / 4, rel=1e-4)
    assert (parts.batch, parts.inputs) == (whole.batch, 20)
    shared = of_perceptron(digits, network, batch_size=80, devices=4)
    assert shared.activations == pytest.approx(whole.activations / 4, rel=1e-4)
    assert (shared.batch, shared.inputs) == (whole.batch / 4, 20)
    double = of_perceptron(digits, network, "float64", batch_size=80)
    assert double.weights == 2 * whole.weights


def test_chunks(digits):
    dataset = open_dataset(digits)
    training, validation = (len(dataset.subset(name)) for name in ("training", "validation"))
    network, row = perceptron(), 64 + 8
    assert of_perceptron(digits, network).parts["instances"] == 0  # the file itself, mapped
    chunked = of_perceptron(digits, network, batch_size=30, chunk_size=100)
    assert (chunked.chunk, chunked.parts["instances"]) == (90 * row, 2 * 90 * row)
    shared = of_perceptron(digits, network, batch_size=30, chunk_size=100, devices=4)
    assert shared.chunk == 23 * row
    crops = of_perceptron(digits, network, batch_size=30, chunk_size=7, views=10)
    assert (crops.chunk, crops.inputs) == (6 * row, 30)
    gpu = Compute(torch.device("cuda"), "float32")
    from training.memory import _instances

    def on_gpu(**options):
        return _instances(Experiment(digits, "x", batch_size=30, **options), dataset, gpu, 1, 1)

    assert on_gpu() == ((training + validation) * row, 0)
    assert on_gpu(chunk_size=validation) == (validation * row, validation // 30 * 30 * row)


@pytest.mark.parametrize("hop", [1, 3, 10])
def test_overlapping_patches_on_a_gpu_take_what_their_frames_take(tmp_path, hop):
    """The training subset's overlap, all of its file's; the validation subset may take less."""
    path = tmp_path / "x.pkl.zip"
    frames = write(path, spectra([30] * 24, bands=5)).frames.nbytes
    experiment = Experiment(path, "x", patch_frames=10, patch_hop=hop, folds=6)
    dataset, gpu = open_subsets(experiment), Compute(torch.device("cuda"), "float32")
    from training.memory import _instances

    counts = [len(dataset.subset(name)) for name in ("training", "validation")]
    expected = sum(min(frames, count * 10 * 5 * 4) + count * 8 for count in counts)
    assert _instances(experiment, dataset, gpu, 1, 1) == (expected, 0)


@pytest.mark.parametrize("name", RULES)
def test_what_rules_keep_is_what_they_have_kept_after_a_step(name):
    weights = torch.nn.Parameter(torch.ones(7, 3))
    optimizer = getattr(updates, name)(None, [weights], learning_rate=0.1)
    weights.grad = torch.ones_like(weights)
    optimizer.step()
    kept = [one for one in optimizer.state[weights].values() if isinstance(one, torch.Tensor)]
    assert kept_per_weight(name) == sum(one.numel() for one in kept) / weights.numel()


def test_a_network_stays_as_it_was(digits):
    layer = BatchNormLayer(DenseLayer(InputLayer((None, 64)), 10))
    network = Network(DenseLayer(DropoutLayer(layer), 10, nonlinearity=softmax))
    before, random = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    assert of_perceptron(digits, network).activations > 0
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), random)


def test_the_line():
    guess = MemoryEstimate(
        "cpu", "float32", 0, 49_000_000, 38_000_000, 1_200_000_000, 720_000_000, 0, 9, 1, 1
    )
    assert str(guess) == (
        "memory: chunks 2 × 49 MB, batch 38 MB, activations 1.2 GB, "
        "weights and update rule 720 MB; 2.1 GB in all"
    )
    gpu = on_gpu(guess, resident=10**9, chunk=0, free=80 * 10**9)
    assert str(gpu).startswith("memory: instances 1.0 GB, batch 38 MB, ")
    assert str(gpu).endswith("; 3.0 GB in all of 80 GB that are free")


def raised(action) -> Exception:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        action()
    return caught.value


def test_what_out_of_memory_looks_like():
    assert is_out_of_memory(raised(lambda: torch.empty(2**55)))
    assert is_out_of_memory(raised(lambda: torch.empty(2**62, 8)))
    assert is_out_of_memory(raised(lambda: np.empty(2**55)))
    assert is_out_of_memory(raised(lambda: bytearray(2**62)))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_out_of_memory(raised(lambda: torch.ones(2) @ torch.ones(3)))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_network_that_cannot_be_made(digits):
    experiment = Experiment(digits, "SingleLayerMlp", "num_units=10000000000000")
    error = raised(lambda: build("SingleLayerMlp", (64,), 10, {"num_units": 10**13}))
    told = out_of_memory(error, experiment, None)
    assert isinstance(told, CommandError)
    sentence = r"not enough memory to make SingleLayerMlp with num_units=10+ \(\S+ TB more were "
    assert re.search(sentence, str(told)), told


def test_a_network_whose_activations_are_beyond_all_memory(digits):
    layer = Upscale2DLayer(InputLayer((None, 1, 8, 8)), 10**6)
    network = Network(layer)
    experiment = Experiment(digits, "mine.py:net", batch_size=10)
    guess = estimate(experiment, open_dataset(digits), network, cpu())
    assert not guess.measured
    assert guess.activations == 10 * (64 + 64 * 10**12) * 4
    error = raised(lambda: network(torch.zeros(10, 1, 8, 8)))
    told = str(out_of_memory(error, experiment, guess))
    assert "The memory of cpu is not enough (2,560 TB more were asked for): by estimate" in told
    assert told.endswith("2,560 TB are activations; give a smaller network by --model-params, or "
                         "smaller inputs.")  # fmt: skip


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from datasets.container import open_dataset
from lasagne.layers import DenseLayer, InputLayer, Network
from lasagne.nonlinearities import softmax
from training.devices import Compute
from training.experiment import Experiment
from training.memory import estimate, is_out_of_memory
from training.out_of_memory import out_of_memory

path = Path(sys.argv[1])
output = DenseLayer(DenseLayer(InputLayer((None, 64)), 20_000), 10, nonlinearity=softmax)
network = Network(output)
experiment = Experiment(path, "mine.py:net", batch_size=30_000)
guess = estimate(experiment, open_dataset(path), network, Compute(torch.device("cpu"), "float32"))
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 10**9, taken + 10**9))
def train(inputs):
    try:
        network(torch.zeros(inputs, 64)).sum().backward()
    except (RuntimeError, MemoryError) as error:
        assert is_out_of_memory(error)
        raise out_of_memory(error, experiment, guess) from error
try:
    train(experiment.batch_size)
except Exception as error:
    print(error)
train(2000)
"""


def test_under_a_limit_of_memory(digits):
    """20,000 units for each of 30,000 instances are 2.4 GB, where a process may have 1."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(digits)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("The memory of cpu is not enough (2.4 GB more were asked for)")
    expected = (
        "are activations; give --micro-batch-size 15000 in place of 30000 computed at once.\n"
    )
    assert done.stdout.endswith(expected)


def proposal(guess, **options) -> tuple[str, float]:
    experiment = Experiment(Path("x"), "ConvNet", **options)
    told = str(out_of_memory(torch.OutOfMemoryError("CUDA out of memory"), experiment, guess))
    match = re.fullmatch(r".*; give --(\S+) (\S+)( in place of .*|, .*)?\.", told)
    return match[1], match[2]


GUESS = MemoryEstimate(
    device="cuda:0",
    precision="float32",
    resident=0,
    chunk=0,
    batch=10**8,
    activations=10**9,
    weights=10**8,
    copies=0,
    num_instances=50_000,
    views=1,
    inputs=100,
    free=None,
)


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, {}, ("micro-batch-size", "50")),
        ({"free": 7 * 10**8}, {}, ("micro-batch-size", "43")),  # 0.9 × 0.7 - 0.2 of 1 GB
        ({"free": 7 * 10**9}, {}, ("micro-batch-size", "50")),
        ({"free": 10**8}, {}, ("micro-batch-size", "1")),
        ({"inputs": 1}, {}, ("precision", "bfloat16")),
        ({"inputs": 1, "precision": "float64"}, {}, ("precision", "float32")),
        ({"batch": 10**10}, {}, ("batch-size", "50")),
        ({"batch": 10**10, "views": 10, "inputs": 100}, {}, ("batch-size", "50")),
        ({"batch": 10**10, "views": 100, "inputs": 100}, {}, ("precision", "bfloat16")),
        ({"resident": 10**10}, {}, ("chunk-size", "12500")),
        ({"resident": 10**10}, {"batch_size": 300}, ("chunk-size", "12300")),
        ({"resident": 10**10, "free": 9 * 10**9}, {}, ("chunk-size", "17200")),
        ({"resident": 10**10, "views": 10}, {"batch_size": 1000}, ("chunk-size", "12500")),
        ({"chunk": 10**10}, {"chunk_size": 4000}, ("chunk-size", "2000")),
        ({"chunk": 10**10}, {"chunk_size": 100}, ("micro-batch-size", "50")),
        ({"weights": 10**10}, {"update_func_name": "adam"}, ("update-func-name", "sgd")),
        ({"weights": 10**10, "precision": "float64"}, {}, ("precision", "float32")),
    ],
)
def test_proposals(changes, options, expected):
    assert proposal(dataclasses.replace(GUESS, **changes), **options) == expected


def test_nothing_but_a_smaller_network_helps():
    for changes, options in (
        ({"weights": 10**10}, {"update_func_name": "sgd"}),
        ({"inputs": 1, "precision": "bfloat16"}, {}),
    ):
        experiment = Experiment(Path("x"), "ConvNet", **options)
        guess = dataclasses.replace(GUESS, **changes)
        told = str(out_of_memory(torch.OutOfMemoryError("CUDA out of memory"), experiment, guess))
        assert told.endswith("give a smaller network by --model-params.")


def test_the_computers_own_memory_beside_a_gpu():
    error = raised(lambda: np.empty(2**55))
    told = str(out_of_memory(error, Experiment(Path("x"), "ConvNet"), GUESS))
    assert told.startswith(
        "The computer's own memory is not enough (288,230 TB more were asked for)"
    )
    assert told.endswith("; give --chunk-size 12500 in place of all 50000.")


@pytest.mark.parametrize("part", [0.7, 0.5, 0.3])
def test_what_is_proposed_fits_by_the_estimate(digits, part):
    """Taken up, a proposal's estimate is within what was free, which the first one was not."""
    dataset, network = open_dataset(digits), perceptron(5000)
    for options in ({"batch_size": 1000}, {"batch_size": 10, "chunk_size": 1000}):
        experiment = Experiment(digits, "SingleLayerMlp", update_func_name="sgd", **options)
        guess = estimate(experiment, dataset, network, cpu())
        if experiment.chunk_size:  # pictures of 80 kB, say
            guess = dataclasses.replace(guess, chunk=1000 * 80_000)
        free = int(guess.total * part)
        gpu = on_gpu(guess, free=free)
        name, number = proposal(gpu, update_func_name="sgd", **options)
        changed = dataclasses.replace(experiment, **{name.replace("-", "_"): int(number)})
        again = estimate(changed, dataset, network, cpu())
        if experiment.chunk_size:
            again = dataclasses.replace(again, chunk=changed.chunk_size * 80_000)
        assert again.total <= free


def test_every_architecture_has_an_estimate(digits):
    for name in ("AlexNet", "LasagneMnistConvExample", "ConvNet", "SingleLayerMlp"):
        shape = (3, 64, 64) if name == "AlexNet" else (1, 28, 28)
        network = Network(build(name, shape, 10, parse_params("")))
        guess = estimate(Experiment(digits, name), open_dataset(digits), network, cpu())
        assert guess.measured
        assert guess.activations > 0
        assert get_all_params(network.output_layer)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_the_estimate_is_near_what_pytorch_takes(digits, precision):
    from training.loss import instance_losses

    device = torch.device("cuda", torch.cuda.current_device())
    compute = Compute(device, precision)
    network = Network(build("AlexNet", (3, 224, 224), 10, {})).to(device)
    experiment = Experiment(digits, "AlexNet", batch_size=256)
    guess = estimate(experiment, open_dataset(digits), network, compute)
    torch.cuda.reset_peak_memory_stats()
    optimizer = updates.nesterov_momentum(None, get_all_params(network.output_layer), 0.01)
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        inputs = torch.zeros(256, 3, 224, 224, device=device)
        labels = torch.zeros(256, dtype=torch.int64, device=device)
        with compute.autocast():
            loss = instance_losses(network(inputs), labels).mean()
        loss.backward()
        optimizer.step()
    peak = torch.cuda.max_memory_allocated()
    inputs_of_pictures = inputs.nbytes
    guessed = guess.total - guess.batch - guess.resident + inputs_of_pictures
    assert 0.5 < guessed / peak < 1.5
    assert guess.free > peak
    assert guess.copies == 0
