"""evaluate against what run_experiment measured, and against scikit-learn."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score

from commands import main
from commands.evaluate import Options, run
from common import host
from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from datasets.recordings import open_recordings
from tests.small_networks import PATCHES, SPECTRA, spectrogram_dataset, train
from training.setup import prepare
from training.snapshots import resume


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("network", ["picture_network", "recording_network"])
@pytest.mark.parametrize("subset", ["testing", "validation", "training"])
def test_it_is_what_the_trainer_measures(network, subset, request):
    snapshot, _ = request.getfixturevalue(network)
    expected = prepare(resume(snapshot)).evaluate(subset)
    found = run(Options(snapshot, test_subset=subset, out_dir=Path("out"), device="cpu"))
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert found["accuracy"] == expected.accuracy
    assert found["instances"] == len(expected.predictions)
    assert json.loads(Path("out/evaluation.json").read_text()) | {"folder": "out"} == found
    assert np.asarray(Image.open("out/confusion-matrix.png")).min() == 0
    table = lines(Path("out"))
    right = accuracy_score([row["label"] for row in table], [row["prediction"] for row in table])
    assert right == found.get("recording_accuracy", found["accuracy"])


def test_recordings_by_mean_and_by_vote_and_what_is_told(recording_network, capsys):
    snapshot, folder = recording_network
    found = run(Options(snapshot, top_k=(1, 2), device="cpu"))
    assert Path(found["folder"]).parent == snapshot.parent
    assert Path(found["folder"]).name.startswith("evaluation-music-testing-epoch-")
    table = lines(Path(found["folder"]))
    assert len(table) == found["recordings"] == 4
    names = [row["name"] for row in table]
    assert set(names) <= set(open_recordings(folder / "music.pkl.zip").names)
    votes = accuracy_score([row["label"] for row in table], [row["vote"] for row in table])
    assert found["vote_accuracy"] == votes
    assert sum(int(row["patches"]) for row in table) == found["instances"]
    assert found["top_2_accuracy"] == 1
    text = capsys.readouterr().out
    assert f"testing: {found['instances']} patches of 4 recordings\n" in text
    assert "testing accuracy of 4 recordings " in text
    assert "top-2 accuracy of recordings 100.00%" in text


@pytest.mark.parametrize("network", ["picture_network", "recording_network"])
def test_all_is_every_instance_of_the_file(network, request, capsys):
    snapshot, folder = request.getfixturevalue(network)
    of_pictures = network == "picture_network"
    found = run(Options(snapshot, test_subset="all", out_dir=Path("out"), device="cpu"))
    assert "overall accuracy" in (text := capsys.readouterr().out)
    assert "trained on most of these" in text
    table = lines(Path("out"))
    if of_pictures:
        dataset = open_dataset(folder / "data" / "full.rgb.pkl.zip")
        sizes = {name: len(subset) for name, subset in dataset.subsets.items()}
        assert found["instances"] == sum(sizes.values()) == 60
        names = [f"{name}/{row}" for name, size in sizes.items() for row in range(size)]
        assert [row["name"] for row in table] == names
    else:
        recordings = open_recordings(folder / "music.pkl.zip")
        assert [row["name"] for row in table] == recordings.names
        patches = sum((n - 30) // 12 + 1 for n in recordings.num_frames)
        assert found["instances"] == patches
    sums = 0
    for subset in ("training", "validation", "testing"):
        part = run(Options(snapshot, test_subset=subset, out_dir=Path(subset), device="cpu"))
        sums += part["loss"] * part["instances"]
        for row in lines(Path(subset)):
            name = f"{subset}/{row['name']}" if of_pictures else row["name"]
            (same,) = [one for one in table if one["name"] == name]
            assert same["prediction"] == row["prediction"]
            assert float(same["probability"]) == pytest.approx(float(row["probability"]), rel=1e-4)
    assert found["loss"] == pytest.approx(sums / found["instances"], rel=1e-6)


def rewritten(source: Path, path: Path, names: list[str], keep: list[str], **options) -> Path:
    """Writes a dataset again, with its labels numbered in another order, or some of them alone."""
    dataset = open_dataset(source)
    old = dataset.label_names
    subsets = {}
    for name, subset in dataset.subsets.items():
        chosen = [row for row, label in enumerate(subset.labels) if old[label] in keep]
        labels = [names.index(old[subset.labels[row]]) for row in chosen]
        subsets[name] = subset.read(np.array(chosen)), np.array(labels)
    form = {"layout": dataset.layout, "scale": 255, "picture_shape": dataset.picture_shape}
    numbers = {name: number for number, name in enumerate(names)}
    write_dataset(path, subsets, numbers, **form | options)
    return path


def test_labels_are_matched_by_name(picture_network, tmp_path):
    snapshot, folder = picture_network
    own = folder / "data" / "full.rgb.pkl.zip"
    names = ["red", "blue", "green"]
    other = rewritten(own, tmp_path / "other.pkl.zip", names, names)
    expected = run(Options(snapshot, out_dir=Path("own"), device="cpu"))
    found = run(Options(snapshot, other, out_dir=Path("other"), device="cpu"))
    assert found["loss"] == expected["loss"]
    assert lines(Path("own")) == lines(Path("other"))
    some = rewritten(own, tmp_path / "some.pkl.zip", ["red", "blue"], ["red", "blue"])
    found = run(Options(snapshot, some, out_dir=Path("some"), device="cpu", top_k=(3,)))
    left = [row for row in lines(Path("own")) if row["label"] != "green"]
    assert [row | {"name": ""} for row in lines(Path("some"))] == [
        row | {"name": ""} for row in left
    ]
    assert found["top_3_accuracy"] == 1  # of three labels that the network knows
    more = ["red", "pink"]
    pink = rewritten(own, tmp_path / "pink.pkl.zip", more, ["red"])
    with pytest.raises(CommandError, match=r"labels that .* does not know: pink; it knows blue, g"):
        run(Options(snapshot, pink, device="cpu"))


def test_a_network_of_some_labels_leaves_the_others_out(picture_network, tmp_path):
    _, folder = picture_network
    data = folder / "data" / "full.rgb.pkl.zip"
    snapshot = train(data, tmp_path, labels_to_keep="red,blue")
    found = run(Options(snapshot, device="cpu", test_subset="all"))
    assert found["labels"] == ["blue", "red"]
    assert found["instances"] == 40
    names = ["green", "x"]
    other = rewritten(data, tmp_path / "x.pkl.zip", names, ["green"])
    with pytest.raises(CommandError, match="does not know: green, x"):
        run(Options(snapshot, other, device="cpu"))


def test_crops_precision_and_batches_are_to_choose(picture_network, tmp_path):
    _, folder = picture_network
    data = folder / "data" / "full.rgb.pkl.zip"
    crops = {"num_crops": 1, "crop_shape": (16, 14), "random_mirror": True}
    snapshot = train(data, tmp_path, **crops)
    for crops in ("centre", "ten"):
        expected = prepare(resume(snapshot, evaluation_crops=crops)).evaluate("testing")
        options = {"evaluation_crops": crops, "batch_size": 3, "out_dir": tmp_path / crops}
        found = run(Options(snapshot, device="cpu", **options))
        assert found["loss"] == pytest.approx(expected.loss, rel=1e-6)
        assert (found["evaluation_crops"], found["precision"]) == (crops, "float32")
    found = run(Options(snapshot, device="cpu", precision="float64"))
    exact = prepare(resume(snapshot, precision="float64")).evaluate("testing")
    assert found["loss"] == pytest.approx(exact.loss, rel=1e-12)


def test_a_moving_average_is_evaluated(digits, tmp_path):
    snapshot = train(digits, tmp_path, "SingleLayerMlp", average_weights=0.99, num_epochs=1)
    expected = prepare(resume(snapshot)).evaluate("testing")
    assert run(Options(snapshot, device="cpu"))["loss"] == pytest.approx(expected.loss, rel=1e-6)


def test_other_recordings_as_a_whole_alone(recording_network, tmp_path):
    snapshot, folder = recording_network
    shutil.copytree(folder / "recordings" / "a", tmp_path / "recordings" / "a")
    shutil.copytree(folder / "recordings" / "b", tmp_path / "recordings" / "b")
    (tmp_path / "recordings" / "a" / "000.wav").unlink()
    other = spectrogram_dataset(tmp_path)
    with pytest.raises(CommandError, match=r"whose folds mean nothing in it; give --test-subset"):
        run(Options(snapshot, other, device="cpu"))
    found = run(Options(snapshot, other, test_subset="all", out_dir=Path("out"), device="cpu"))
    assert found["recordings"] == 19
    moved = shutil.copy(folder / "music.pkl.zip", tmp_path / "moved.pkl.zip")
    found = run(Options(snapshot, Path(moved), out_dir=Path("out"), device="cpu"))
    assert found["recordings"] == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"frame_size": 512, "mel_bands": 10}, "its frame size is 512, not 256"),
        ({"sample_rate": 16000}, "its high frequency bound is 8000.0, not 4000.0, its sample rate"),
        ({"mel_bands": 12}, "its mel bands is 12, not 10"),
        ({"transform": "magnitude"}, "its mel bands is None, not 10, its transform is magnitude"),
    ],
)
def test_spectrograms_made_otherwise_are_refused(recording_network, tmp_path, change, sentence):
    snapshot, folder = recording_network
    (tmp_path / "recordings").symlink_to(folder / "recordings")
    other = spectrogram_dataset(tmp_path, type(SPECTRA)(**SPECTRA.plain() | change | (
        {"high_frequency_bound": None} if "sample_rate" in change else {}
    )))  # fmt: skip
    with pytest.raises(CommandError, match=sentence):
        run(Options(snapshot, other, test_subset="all", device="cpu"))


def test_what_is_no_dataset_for_the_network(picture_network, recording_network, digits, tmp_path):
    snapshot, folder = picture_network
    music = recording_network[1] / "music.pkl.zip"
    data = folder / "data" / "full.rgb.pkl.zip"
    names = open_dataset(data).label_names
    floats = rewritten(data, tmp_path / "floats.pkl.zip", names, names, scale=1)
    grey = folder / "data" / "full.pkl.zip"
    for given, sentence in (
        (music, r"spectrograms of recordings, and the network of .* on instances of one shape"),
        (floats, r"its scale is 1\.0, not 255\.0"),
        (grey, r"inputs of shape \(3, 20, 20\), but the instances of .* have the shape \(400,\)"),
        (digits, r"its scale is 16\.0, not 255\.0"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(CommandError, match=sentence):
            run(Options(snapshot, given, device="cpu"))
    with pytest.raises(CommandError, match="holds instances of one shape, and the network"):
        run(Options(recording_network[0], data, test_subset="all", device="cpu"))


def test_recordings_that_are_too_short(recording_network, tmp_path):
    short = spectrogram_dataset(tmp_path, seconds=0.2)
    with pytest.raises(CommandError, match=r"takes patches of 0\.5 s, but the longest .* 0\.3 s"):
        run(Options(recording_network[0], short, test_subset="all", device="cpu"))


def test_the_trainings_dataset_may_have_gone(digits, tmp_path):
    gone = Path(shutil.copy(digits, tmp_path / "gone.pkl.zip"))
    snapshot = train(gone, tmp_path, "SingleLayerMlp", num_epochs=1)
    gone.unlink()
    with pytest.raises(CommandError, match=r"gone.*is not there; give its place as --dataset-path"):
        run(Options(snapshot))
    assert run(Options(snapshot, digits, device="cpu"))["instances"] == 185


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": (1, 4)}, "--top-k has 4; give numbers from 1 to 3"),
        ({"top_k": (0,)}, "--top-k has 0"),
        ({"batch_size": 0}, "--batch-size is 0; give at least 1"),
        ({"evaluation_crops": "ten"}, "--evaluation-crops ten needs crops"),
        ({"device": "tpu"}, "There is no device 'tpu'"),
    ],
)
def test_options_that_make_no_sense(picture_network, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        run(Options(picture_network[0], out_dir=Path("out"), **options))


def test_what_is_no_snapshot_is_one_sentence(picture_network, tmp_path, capsys):
    snapshot, folder = picture_network
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(snapshot.read_bytes()[:-9])
    for given, sentence in (
        (tmp_path / "none", "can't be read: No such file"),
        (broken, "is broken"),
        (folder / "data" / "full.pkl.zip", "is no snapshot of this program"),
        (snapshot.parent, "is a folder; give a file in it: model.snapshot-2.safetensors"),
    ):
        assert main(["evaluate", "--snapshot", str(given)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line


def test_the_command_line(recording_network, capsys):
    arguments = ["--snapshot", str(recording_network[0]), "--top-k", "1,2", "--out-dir", "out"]
    assert main(["evaluate", *arguments, "--test-subset", "validation"]) == 0
    assert "Wrote evaluation.json, predictions.csv and confusion-matrix.png in out." in (
        capsys.readouterr().out
    )
    assert {entry.name for entry in Path("out").iterdir()} == {
        *("evaluation.json", "predictions.csv", "confusion-matrix.png")
    }


def test_folds_of_pictures(picture_network, tmp_path):
    data = picture_network[1] / "data" / "full.rgb.pkl.zip"
    snapshot = train(data, tmp_path, fold=2, folds=4)
    found = run(Options(snapshot, device="cpu"))
    expected = prepare(resume(snapshot)).evaluate("testing")
    assert found["instances"] == 15
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-6)


def test_recordings_that_are_normalised_by_themselves(recording_network, tmp_path):
    data = recording_network[1] / "music.pkl.zip"
    snapshot = train(data, tmp_path, **PATCHES, spectrogram_normalisation="local")
    expected = prepare(resume(snapshot)).evaluate("testing")
    found = run(Options(snapshot, device="cpu"))
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-6)


def test_the_centre_and_ten_crops(picture_network, tmp_path):
    """Both at once where the training evaluates the centre alone, as if asked for one by one."""
    _, folder = picture_network
    crops = {"num_crops": 1, "crop_shape": (14, 14), "random_mirror": True, "num_epochs": 1}
    snapshot = train(folder / "data" / "full.rgb.pkl.zip", tmp_path, **crops)
    common = {"device": "cpu", "top_k": (1, 2)}
    both = run(Options(snapshot, out_dir=Path("both"), **common))
    centre = run(Options(snapshot, out_dir=Path("1"), evaluation_crops="centre", **common))
    ten = run(Options(snapshot, out_dir=Path("10"), evaluation_crops="ten", **common))
    names = ("loss", "accuracy", "top_2_accuracy")
    assert [both[name] for name in names] == [centre[name] for name in names]
    assert both["ten_crops"] == {name: ten[name] for name in names}
    assert both["loss"] != both["ten_crops"]["loss"]
    assert "ten_crops" not in centre
    assert "ten_crops" not in ten


def test_many_crops_of_the_training_are_evaluated_alone(picture_network, tmp_path):
    _, folder = picture_network
    dataset = folder / "data" / "full.rgb.pkl.zip"
    crops = {"num_crops": 1, "crop_shape": (14, 14), "num_epochs": 1}  # and their mirror images
    found = run(Options(train(dataset, tmp_path, **crops), device="cpu"))
    assert "ten_crops" not in found


def test_what_takes_more_memory_than_there_is_is_told(picture_network, monkeypatch):
    snapshot, _ = picture_network
    monkeypatch.setattr(host, "MEMINFO", Path("meminfo"))
    Path("meminfo").write_text("MemAvailable: 0 kB\n")
    message = r"3 probabilities of each of 6 instances take 0.4 kB, and 0.0 kB are free; eval"
    with pytest.raises(CommandError, match=message):
        run(Options(snapshot, device="cpu"))


def test_another_dataset_of_the_same_name_gets_another_folder(picture_network, tmp_path):
    snapshot, folder = picture_network
    copy = tmp_path / "snapshot.safetensors"
    shutil.copy(snapshot, copy)
    own = folder / "data" / "full.rgb.pkl.zip"
    other = tmp_path / "full.rgb.pkl.zip"
    shutil.copy(own, other)
    first, second, again = (
        run(Options(copy, dataset, device="cpu"))["folder"] for dataset in (own, other, own)
    )
    assert first == again
    assert second == f"{first}-2"
