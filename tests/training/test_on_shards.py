"""A folder of shards trains, and is described, resized and classified, as the file does."""

import numpy as np
import pytest
import torch

from commands import main
from commands.convert_dataset import Options as Convert
from commands.convert_dataset import run as convert
from datasets.container import open_dataset
from tests.runs import metrics, results
from training.chunks import ChunkStream

EXACT = ["--precision", "float32", "--device", "cpu"]
CONVNET = ["--model-architecture", "ConvNet", "--model-params", "lc0_num_filters=4:ld0_num_units=8"]


@pytest.fixture
def shards(digits, tmp_path):
    return convert(Convert(digits, tmp_path / "digits.shards", shard_size=100))


@pytest.mark.parametrize(
    "options", [[], ["--chunk-size", "250"], ["--labels-to-keep", "3,5,8", "--chunk-size", "100"]]
)
def test_training_gives_the_same_numbers_bit_for_bit(digits, shards, tmp_path, options):
    for name, path in (("one", digits), ("many", shards)):
        arguments = ["--dataset-path", str(path), "--out-dir", name, "--num-epochs", "2"]
        arguments += ["--batch-size", "50", "--test-at-end", *CONVNET, *EXACT, *options]
        assert main(["run_experiment", *arguments]) == 0
    assert metrics(tmp_path / "one") == metrics(tmp_path / "many")
    one, many = (results(tmp_path / name) for name in ("one", "many"))
    assert one["testing_accuracy"] == many["testing_accuracy"]
    assert one["testing_loss"] == many["testing_loss"]


@pytest.mark.parametrize("chunk_size", [0, 70, 333])
def test_chunks_of_shards_are_those_of_the_file(digits, shards, chunk_size):
    one, many = (open_dataset(path).subset("training") for path in (digits, shards))
    order = np.random.default_rng(0).permutation(len(one))
    batches = [
        list(ChunkStream(subset, chunk_size, torch.device("cpu")).batches(order, 32))
        for subset in (one, many)
    ]
    for left, right in zip(*batches, strict=True):
        assert torch.equal(left.instances, right.instances)
        assert torch.equal(left.labels, right.labels)


def test_the_other_commands_take_a_folder(digits, shards, tmp_path, capsys):
    said = []
    for path in (digits, shards):
        assert main(["describe_dataset", str(path), "--contact-sheet", f"{path.name}.png"]) == 0
        out = [f"{path.name}.small.pkl.zip", "--x-size", "5", "--y-size", "4"]
        assert main(["resize_rgb_dataset", str(path), *out]) == 0
        baseline = ["random_forest", "--rf-num-iter", "1", "--rf-n-estimators", "5"]
        assert main(["run_baseline", str(path), *baseline, "--out-dir", f"{path.name}.rf"]) == 0
        shown = capsys.readouterr().out.splitlines()
        described = [line for line in shown if not line.startswith("file ")]
        said.append([line for line in described if path.name not in line])
    assert said[0] == said[1]
    one, many = (open_dataset(tmp_path / f"{path.name}.small.pkl.zip") for path in (digits, shards))
    for name, subset in one.subsets.items():
        np.testing.assert_array_equal(subset.instances, many.subset(name).instances)


def test_a_shard_that_goes_during_training_is_told_in_a_sentence(shards, capsys):
    dataset = open_dataset(shards)
    stream = ChunkStream(dataset.subset("training"), 100, torch.device("cpu"))
    (shards / "training-00007.npy").unlink()
    with pytest.raises(Exception, match=r"training-00007\.npy can't be read as a shard: No such"):
        list(stream.batches(np.arange(len(stream)), 50))
    arguments = ["--dataset-path", str(shards), *CONVNET, "--out-dir", "run"]
    assert main(["run_experiment", *arguments]) == 1
    assert "its shard 'training-00007.npy' is missing" in capsys.readouterr().err
