"""import_weights: published weights become a snapshot that evaluates, predicts and trains on."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from architectures.registry import build
from commands import evaluate, load, main, parse, predict
from commands.import_weights import Options, run
from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from lasagne.layers import Layer, get_all_layers, get_all_param_values, get_output
from tests.lasagne.test_weights import write_theano_alexnet
from training.snapshots import load_snapshot

FILTERS = {f"lc{i}_num_filters": 4 for i in range(5)} | {"ld0_num_units": 6, "ld1_num_units": 6}
PARAMS = ":".join(f"{name}={value}" for name, value in FILTERS.items())
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LABELS = ["ant", "bee", "cat"]


def write_pictures(path: Path, labels: list[str]) -> Path:
    """Six pictures of 256×256 to train on, three to validate on."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    pictures = np.stack([np.asarray(Image.fromarray(one).resize((256, 256))) for one in small])
    numbers = np.arange(9) % len(labels)
    subsets = {"training": (pictures[:6], numbers[:6]), "validation": (pictures[6:], numbers[6:])}
    form = {"layout": "nhwc", "scale": 255, "picture_shape": (256, 256, 3)}
    write_dataset(path, subsets, {name: i for i, name in enumerate(labels)}, **form)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "pictures.pkl.zip", LABELS)


def network(window: int) -> Layer:
    return build("CaffeAlexNet", (3, window, window), 3, FILTERS)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory) -> tuple[Path, Layer]:
    """A folder as theano_alexnet's, and the network that it is of, dropout apart."""
    rng = np.random.default_rng(2)
    layer = network(227)
    folder = tmp_path_factory.mktemp("weights")
    values = [
        rng.normal(0, 0.1 if value.ndim > 1 else 0.01, value.shape).astype(np.float32)
        for value in get_all_param_values(layer)
    ]
    write_theano_alexnet(folder, values, epoch=65)
    for value, one in zip(values, _params(layer), strict=True):
        one.data = torch.from_numpy(value)
    for one in (_params(layer)[12], _params(layer)[14]):  # what stands on a dropout
        one.data /= 2
    return folder, layer


def _params(layer: Layer) -> list[torch.nn.Parameter]:
    return [param for one in get_all_layers(layer) for param in one.get_params()]


def expected(layer: Layer, dataset: Path, subset: str = "validation") -> np.ndarray:
    """Probabilities of the centre, less the mean picture of the training subset, by hand."""
    opened = open_dataset(dataset)
    mean = opened.subset("training").read(slice(None)).astype(np.float64).mean(axis=0)
    values = (opened.subset(subset).read(slice(None)) - mean)[:, 14:241, 14:241]
    inputs = torch.from_numpy(values.transpose(0, 3, 1, 2).astype(np.float32))
    return get_output(layer, inputs, deterministic=True).detach().numpy()


def imported(alexnet, pictures: Path, path: Path, **options) -> Path:
    return run(Options(alexnet[0], path, "CaffeAlexNet", PARAMS, pictures, **options))


def test_theano_alexnets_weights_are_evaluated(alexnet, pictures, tmp_path, capsys):
    snapshot = imported(alexnet, pictures, tmp_path / "alexnet.safetensors")
    assert "3 labels" in capsys.readouterr().out
    found = evaluate.run(
        evaluate.Options(
            snapshot, test_subset="validation", top_k=(1, 2), device="cpu", precision="float32"
        )
    )
    probabilities = expected(alexnet[1], pictures)
    labels = np.arange(3)
    assert found["loss"] == pytest.approx(-np.log(probabilities[labels, labels]).mean(), rel=1e-4)
    assert found["accuracy"] == (probabilities.argmax(1) == labels).mean()
    assert set(found["ten_crops"]) == {"loss", "accuracy", "top_2_accuracy"}
    told = capsys.readouterr().out
    assert "weights from before the first epoch" in told
    assert "pictures were made by" not in told


def test_it_predicts_a_picture_file(alexnet, pictures, tmp_path):
    snapshot = imported(alexnet, pictures, tmp_path / "alexnet.safetensors")
    stored = open_dataset(pictures).subset("validation").read(slice(None))[1]
    Image.fromarray(stored).save(tmp_path / "bee.png")
    options = predict.Options((tmp_path / "bee.png",), snapshot, device="cpu", precision="float32")
    (found,) = predict.run(options)
    np.testing.assert_allclose(found.probabilities, expected(alexnet[1], pictures)[1], rtol=1e-4)


def test_it_is_fine_tuned_on_other_labels(alexnet, pictures, tmp_path):
    snapshot = imported(alexnet, pictures, tmp_path / "alexnet.safetensors")
    others = write_pictures(tmp_path / "others.pkl.zip", ["dog", "eel"])
    command = load("run_experiment")
    given = f"--start-weights {snapshot} --dataset-path {others} --num-epochs 1 --batch-size 3"
    given += f" --device cpu --out-dir {tmp_path / 'run'}"
    found = command.run(parse(command, "run_experiment", given.split()))
    assert found["epochs"] == 1
    given = f"--start-from-snapshot {snapshot} --num-epochs 1 --batch-size 3 --device cpu"
    found = command.run(
        parse(command, "", [*given.split(), "--out-dir", str(tmp_path / "going-on")])
    )
    assert found["epochs"] == 1


class PlainAlexNet(nn.Module):
    """torchvision's AlexNet in plain PyTorch, with dense layers of 8 units."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1)]
        sizes += [(384, 256, 3, 1, 1), (256, 256, 3, 1, 1)]
        layers: list[nn.Module] = []
        for number, size in enumerate(sizes):
            layers += [nn.Conv2d(*size), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if number in (0, 1, 4) else []
        self.features = nn.Sequential(*layers)
        dense = [nn.Dropout(), nn.Linear(9216, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8)]
        self.classifier = nn.Sequential(*dense, nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1)).softmax(1)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_torchvisions_weights_see_what_theirs_do(pictures, tmp_path, capsys, suffix):
    """The middle 224 pixels, from 0 to 1, less ImageNet's mean, divided by its deviation."""
    torch.manual_seed(0)
    module = PlainAlexNet().eval()
    file = tmp_path / f"alexnet.{suffix}"
    (torch.save if suffix == "pth" else save_file)(module.state_dict(), file)
    architecture = ("TorchvisionAlexNet", "num_units=8")
    snapshot = run(Options(file, tmp_path / "snapshot.safetensors", *architecture, pictures))
    stored = open_dataset(pictures).subset("validation").read(slice(None))
    inputs = (torch.from_numpy(stored)[:, 16:240, 16:240] / 255).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    with torch.inference_mode():
        probabilities = module((inputs - mean) / std).double().numpy()
    options = {"device": "cpu", "precision": "float32", "evaluation_crops": "centre"}
    found = evaluate.run(evaluate.Options(snapshot, test_subset="validation", **options))
    loss = -np.log(np.diagonal(probabilities)).mean()
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    line = "pictures were made by stretch to 256x256, but the network knows them by crop to 256x256"
    assert line in capsys.readouterr().out

    wide = Image.fromarray(stored[1]).resize((400, 256))
    wide.save(tmp_path / "wide.png")
    options = {"device": "cpu", "precision": "float32"}
    (one,) = predict.run(predict.Options((tmp_path / "wide.png",), snapshot, **options))
    middle = torch.from_numpy(np.asarray(wide).copy())[16:240, 88:312].permute(2, 0, 1) / 255
    with torch.inference_mode():
        expected = module(((middle - mean) / std)[None])[0].double().numpy()
    np.testing.assert_allclose(one.probabilities, expected, rtol=1e-4)


def test_labels_and_mean_of_files(alexnet, pictures, tmp_path):
    mean = open_dataset(pictures).subset("training").read(slice(None)).mean(axis=0)
    np.save(tmp_path / "mean.npy", mean.transpose(2, 0, 1))
    np.save(tmp_path / "rows.npy", mean)
    (tmp_path / "labels.txt").write_text("0\tant\n1\tbee\n2\tcat\n")
    snapshots = [
        run(
            Options(
                alexnet[0],
                tmp_path / f"{file}.safetensors",
                "CaffeAlexNet",
                PARAMS,
                labels=tmp_path / "labels.txt",
                mean=tmp_path / f"{file}.npy",
            )
        )
        for file in ("mean", "rows")
    ]
    for snapshot in snapshots:
        found = evaluate.run(
            evaluate.Options(
                snapshot,
                pictures,
                test_subset="validation",
                device="cpu",
                precision="float32",
                evaluation_crops="centre",
            )
        )
        assert found["labels"] == LABELS
        probabilities = expected(alexnet[1], pictures)
        loss = -np.log(np.diagonal(probabilities)).mean()
        assert found["loss"] == pytest.approx(loss, rel=1e-4)


def test_labels_as_preprocess_imagenet_lists_them(alexnet, tmp_path):
    lines = [("n01440764", "tench, Tinca tinca"), ("n01443537", "goldfish"), ("n02012849", "crane")]
    text = "".join(f"{i}\t{one}\t{words}\n" for i, (one, words) in enumerate(lines))
    (tmp_path / "labels.txt").write_text(text)
    np.save(tmp_path / "mean.npy", np.zeros(3))
    given = {"labels": tmp_path / "labels.txt", "mean": tmp_path / "mean.npy"}
    snapshot = run(Options(alexnet[0], tmp_path / "a.safetensors", "CaffeAlexNet", PARAMS, **given))
    names = ["n01440764 tench", "n01443537 goldfish", "n02012849 crane"]
    assert load_snapshot(snapshot).header["labels"] == names


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_without_names_labels_are_numbers(tmp_path, capsys, suffix):
    """In a file of half precision, as some are, too."""
    state = PlainAlexNet().bfloat16().state_dict()
    (torch.save if suffix == "pth" else save_file)(state, tmp_path / f"a.{suffix}")
    architecture = "TorchvisionAlexNet", "num_units=8"
    path = run(Options(tmp_path / f"a.{suffix}", tmp_path / "snapshot.safetensors", *architecture))
    assert "Labels are numbered" in capsys.readouterr().out
    snapshot = load_snapshot(path)
    assert snapshot.header["labels"] == ["0", "1", "2"]
    stored = snapshot.tensors["network/features_0.W"]
    assert torch.equal(stored, state["features.0.weight"].float())


def test_channels_the_other_way_round_have_the_same_mean_by_colour(tmp_path):
    torch.save(PlainAlexNet().state_dict(), tmp_path / "a.pth")
    architecture = "TorchvisionAlexNet", "num_units=8"
    rgb, bgr = (
        load_snapshot(
            run(
                Options(
                    tmp_path / "a.pth",
                    tmp_path / f"{order}.safetensors",
                    *architecture,
                    channel_order=order,
                )
            )
        ).tensors
        for order in ("rgb", "bgr")
    )
    for name in ("mean", "std"):
        assert torch.equal(rgb[name], bgr[name])
    W = "network/features_0.W"
    assert torch.equal(rgb[W], bgr[W].flip(1))


def test_what_is_missing_or_does_not_fit(alexnet, pictures, tmp_path):
    snapshot = tmp_path / "alexnet.safetensors"

    def refused(message: str, **options) -> None:
        given = {"dataset_path": pictures, "model_params": PARAMS} | options
        with pytest.raises(CommandError, match=message):
            run(Options(alexnet[0], snapshot, **{"model_architecture": "CaffeAlexNet"} | given))
        assert not snapshot.exists()

    refused("come without the mean .*; give --mean NAME.npy", dataset_path=None)
    np.save(tmp_path / "mean.npy", np.zeros((3, 8, 8)))
    refused(r"has shape \(3, 8, 8\); give one of shape \(3, 256, 256\)", mean=tmp_path / "mean.npy")
    np.save(tmp_path / "mean.npy", np.zeros(7))
    refused("holds no mean, but float64 of shape", mean=tmp_path / "mean.npy")
    refused(r"as a mean \(No such file or directory\)", mean=tmp_path / "nothing.npy")
    (tmp_path / "text.npy").write_text("no numbers")
    refused(r"as a mean \(it is no .npy file of numbers\)", mean=tmp_path / "text.npy")
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    refused("tells 3 labels apart, but 2 are named; give", labels=tmp_path / "labels.txt")
    (tmp_path / "labels.txt").write_text("ant\n\nbee\ncat\n\n")
    refused("Line 2 of .*labels.txt is empty", labels=tmp_path / "labels.txt")
    refused("can't be read as a list of labels", labels=tmp_path / "nothing.txt")
    refused("don't fit the network", model_params="")
    refused("Unknown architecture 'AlexNett'", model_architecture="AlexNett")
    with pytest.raises(CommandError, match="is no name of a snapshot; give NAME.safetensors"):
        run(Options(alexnet[0], tmp_path / "alexnet", "CaffeAlexNet", PARAMS, pictures))
    snapshot.write_text("mine")
    with pytest.raises(CommandError, match="is there already"):
        imported(alexnet, pictures, snapshot)
    assert snapshot.read_text() == "mine"


def test_a_stranger_s_pickle_runs_nothing(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"param values": [Evil()]}))
    arguments = [str(tmp_path / "evil.pkl"), str(tmp_path / "a.safetensors")]
    assert main(["import_weights", *arguments, "--model-architecture", "VggNet"]) == 1
    assert "nothing was run" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
