"""How many inputs are computed at once, where memory is as large as it is."""

import json
from pathlib import Path

import pytest
import torch

from tests.runs import metrics
from training.experiment import Experiment
from training.setup import prepare

UNITS = 50_000
"""A batch of 1,433 keeps 287 MB of each activation in float32, and the weights 15 MB."""
ROOM = 550_000_000  # bytes
CODE = """
from pathlib import Path
from training.experiment import Experiment
from training.setup import prepare

options = {"num_epochs": 1, "batch_size": 1433, "precision": "float32", "device": "cpu"}
network = "SingleLayerMlp", "num_units=UNITS"
trainer = prepare(Experiment(Path("DATASET"), *network, **options, micro_batch_size="auto"))
(record,) = trainer.epochs()
print([trainer.step.micro_batch_size, record.training_loss])
"""
OWN = """
from lasagne.layers import *
from lasagne.nonlinearities import softmax


def net(incoming, num_classes):
    layer = dropout(batch_norm(DenseLayer(incoming, 8)))
    return DenseLayer(layer, num_classes, nonlinearity=softmax)
"""


def test_auto_is_the_whole_batch_where_there_is_room(digits):
    options = {"num_epochs": 1, "micro_batch_size": "auto", "device": "cpu"}
    trainer = prepare(Experiment(digits, "LasagneMnistConvExample", **options))
    assert trainer.step.micro_batch_size is None
    assert all(one.grad is None for one in trainer.step.parameters)


def test_trying_leaves_no_trace(digits):
    """Not in the weights, nor in running averages, nor in what is drawn."""
    Path("own.py").write_text(OWN)
    options = {"num_epochs": 1, "precision": "float32", "device": "cpu"}
    trainers = [
        prepare(Experiment(digits, "own.py:net", **options, micro_batch_size=size))
        for size in (None, "auto")
    ]
    for trainer in trainers:
        list(trainer.epochs())
    first, second = (trainer.network.state_dict() for trainer in trainers)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_auto_halves_the_batch_until_memory_holds_it(digits, zygote):
    code = CODE.replace("DATASET", str(digits)).replace("UNITS", str(UNITS))
    process = zygote.start(code, memory=ROOM)
    assert process.wait() == 0, process.errors
    size, loss = json.loads(process.output)
    assert size in (717, 359, 180)
    assert 1 < loss < 5


def test_too_large_a_batch_gives_a_sentence(digits, zygote, tmp_path):
    arguments = ["--dataset-path", digits, "--model-architecture", "SingleLayerMlp"]
    arguments += ["--batch-size", "1433", "--precision", "float32", "--device", "cpu"]
    arguments += ["--num-epochs", "1", "--out-dir", "run", "--model-params", f"num_units={UNITS}"]
    process = zygote.run_experiment(*arguments, memory=ROOM)
    assert process.wait() == 1
    assert process.errors.startswith("manage.py: The memory of cpu is not enough (287 MB more")
    assert process.errors.endswith(
        "of which 860 MB are activations; give --micro-batch-size 716 in place of 1433 computed at "
        "once.\n"
    )
    assert process.errors.count("\n") == 1
    assert metrics(tmp_path / "run") == []


def test_too_large_a_network_gives_a_sentence(digits, zygote):
    arguments = ["--dataset-path", digits, "--model-architecture", "SingleLayerMlp"]
    arguments += ["--model-params", "num_units=20000000", "--device", "cpu"]
    process = zygote.run_experiment(*arguments, memory=ROOM)
    assert process.wait() == 1
    assert process.errors.startswith("manage.py: There is not enough memory to make SingleLayerMlp")
    assert process.errors.count("\n") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_network_too_large_for_a_gpu_gives_a_sentence(digits, zygote):
    arguments = ["--dataset-path", digits, "--model-architecture", "SingleLayerMlp"]
    arguments += ["--model-params", "num_units=1000000000", "--device", "cuda"]
    process = zygote.run_experiment(*arguments)
    assert process.wait() == 1
    assert process.errors.count("\n") == 1
