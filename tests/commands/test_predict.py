"""predict against evaluate, on the very files that a dataset was made of, and on others."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import main
from commands.predict import Options, run
from common.errors import CommandError
from datasets.container import open_dataset
from datasets.recordings import open_recordings
from datasets.resize import resize_dataset
from datasets.spectra import Parameters
from tests.datasets.sounds import noise, write
from tests.paths import GOLDEN
from tests.small_networks import PATCHES, SIDE, picture_datasets, spectrogram_dataset, train
from training.matching import ALL, open_matching
from training.setup import prepare
from training.snapshots import resume
from training.trained import Trained


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def evaluated(snapshot: Path) -> np.ndarray:
    """The probabilities of all instances of the training's dataset, in order."""
    trained = Trained(snapshot, device="cpu")
    dataset = open_matching(trained, None, ALL)
    return np.exp(trained.evaluate(dataset, ALL, "").log_probabilities)


def names_of(data: Path) -> list[str]:
    """The files of all pictures of a dataset, in order."""
    lists = json.loads((data / "full-dataset-filenames.json").read_text())
    return [name for subset in ("training", "validation", "testing") for name in lists[subset]]


@pytest.mark.parametrize("mode", ["stretch", "crop", "fit"])
@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("full.rgb.pkl.zip", {"num_crops": 2, "crop_shape": (17, 15), "divide_by_std": True}),
        ("full.pkl.zip", {"architecture": "LasagneMnistExample", "model_params": "num_units=8"}),
        ("full.pkl.zip", {"reshape_to": (1, SIDE, SIDE), "normalise_per": "channel"}),
    ],
    ids=["colour", "grey", "reshaped"],
)
def test_the_pictures_of_a_dataset_are_predicted_as_it_is_evaluated(mode, file, options, tmp_path):
    data = picture_datasets(tmp_path, resize_mode=mode)
    snapshot = train(data / file, tmp_path / "run", **options)
    pictures = tmp_path / "pictures"
    names = names_of(data)
    given = tuple(pictures / name for name in names)
    predicted = run(Options(given, snapshot, out_dir=Path("out"), device="cpu", batch_size=7))
    assert [one.file.name for one in predicted] == names
    found = np.array([one.probabilities for one in predicted])
    np.testing.assert_allclose(found, evaluated(snapshot), rtol=1e-4, atol=1e-7)
    table = lines(Path("out"))
    assert [row["name"] for row in table] == names
    assert list(table[0]) == [
        *("name", "prediction"),
        *(f"probability_{label}" for label in ("blue", "green", "red")),
    ]
    for row, one in zip(table, found, strict=True):
        assert row["prediction"] == ("blue", "green", "red")[one.argmax()]
        assert float(row["probability_red"]) == pytest.approx(one[2], rel=1e-5)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_pictures_of_a_dataset_that_was_resized_again(layout, tmp_path):
    data = picture_datasets(tmp_path, resize_mode="fit", layout=layout)
    dataset = open_dataset(data / "full.rgb.pkl.zip")
    created_by = {
        "command": "resize_rgb_dataset",
        "options": {"x_size": 11, "y_size": 13},
        "from": dataset.created_by,
    }
    resize_dataset(dataset, tmp_path / "small.pkl.zip", (13, 11), created_by)
    snapshot = train(tmp_path / "small.pkl.zip", tmp_path / "run")
    given = tuple(tmp_path / "pictures" / name for name in names_of(data))
    found = np.array([one.probabilities for one in run(Options(given, snapshot, device="cpu"))])
    np.testing.assert_allclose(found, evaluated(snapshot), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({}, {}),
        ({}, {"spectrogram_normalisation": "local"}),
        ({}, {"patch_policy": "original", "patch_hop": None}),
        ({"transform": "magnitude", "window": "hann"}, {"spectrogram_normalisation": "global"}),
        ({"sample_rate": 6000}, {}),
    ],
    ids=str,
)
def test_the_recordings_of_a_dataset_are_predicted_as_it_is_evaluated(
    parameters, options, tmp_path
):
    small = Parameters(**{"sample_rate": 8000, "frame_size": 256, "hop_size": 128} | parameters)
    small = (
        small if parameters.get("transform") else Parameters(**small.plain() | {"mel_bands": 10})
    )
    dataset = spectrogram_dataset(tmp_path, small)
    snapshot = train(dataset, tmp_path / "run", **PATCHES | options)
    predicted = run(Options((tmp_path / "recordings",), snapshot, device="cpu"))
    recordings = open_recordings(dataset)
    assert [one.file.name for one in predicted] == recordings.names
    trained = Trained(snapshot, device="cpu")
    patches = open_matching(trained, None, ALL).subset(ALL)
    probabilities = evaluated(snapshot)
    for number, one in enumerate(predicted):
        own = probabilities[patches.recordings == number]
        np.testing.assert_allclose(one.probabilities, own.mean(axis=0), rtol=1e-4, atol=1e-7)
        counts = np.bincount(own.argmax(axis=1), minlength=2)
        assert counts[one.vote] == counts.max()
        assert one.patches == len(own)


def test_it_is_the_evaluation_of_run_experiment(recording_network):
    snapshot, folder = recording_network
    expected = prepare(resume(snapshot)).evaluate("testing")
    trained = Trained(snapshot, device="cpu")
    subset = open_matching(trained, None, "testing").subset("testing")
    assert np.array_equal(trained.evaluate(open_matching(trained, None, "testing"), "testing", "")
                          .predictions, expected.predictions)  # fmt: skip
    names = open_recordings(folder / "music.pkl.zip").names
    number = int(subset.recordings[0])
    (one,) = run(Options((folder / "recordings" / names[number],), snapshot, device="cpu"))
    own = np.exp(expected.log_probabilities[subset.recordings == number])
    np.testing.assert_allclose(one.probabilities, own.mean(axis=0), rtol=1e-4)


def test_what_is_told_and_drawn_of_recordings(recording_network, capsys):
    snapshot, folder = recording_network
    arguments = ["--snapshot", str(snapshot), "--device", "cpu", "--out-dir", "out"]
    given = [str(folder / "recordings" / name) for name in ("a/000.wav", "b/001.wav", "b/003.wav")]
    assert main(["predict", *arguments, *given, "--top-k", "1"]) == 0
    text = capsys.readouterr().out.splitlines()
    table = lines(Path("out"))
    assert len(text) == 4
    assert text[-1] == "Wrote out/predictions.csv, and a picture of each."
    for line, row in zip(text[:-1], table, strict=True):
        share = float(row[f"probability_{row['prediction']}"])
        said = f"{row['name']}: {row['prediction']} {share:.1%}; most of {row['patches']} patches: "
        assert line == said + row["vote"]
        picture = np.asarray(Image.open(Path("out") / f"{row['name']}.png").convert("RGB"))
        edges = np.concatenate([picture[:2].ravel(), picture[-2:].ravel(), picture[:, -2:].ravel()])
        assert (edges == 255).all()  # nothing is cut off
    assert sorted(Path("out").rglob("*.*")) == sorted(
        [Path("out/predictions.csv"), *(Path("out") / f"{row['name']}.png" for row in table)]
    )


def test_what_can_not_be_predicted_is_named_and_the_rest_is(recording_network, tmp_path, capsys):
    snapshot, folder = recording_network
    shutil.copy(folder / "recordings" / "a" / "000.wav", tmp_path / "good.wav")
    write(tmp_path / "short.wav", noise(0.4))
    write(tmp_path / "silent.wav", 0 * noise(2))
    (tmp_path / "text.wav").write_text("no sound at all")
    (tmp_path / "empty.flac").touch()
    (tmp_path / "notes.txt").write_text("a file that nobody asks for")
    os.mkfifo(tmp_path / "pipe")
    given = [str(tmp_path), str(tmp_path / "none.wav"), str(tmp_path / "pipe")]
    assert main(["predict", *given, "--snapshot", str(snapshot), "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert line.startswith("good.wav: ")
    *reasons, last = captured.err.splitlines()
    assert last.startswith("manage.py: 6 of 7 files can't be predicted; the lines above say why.")
    for name, reason in (
        ("short.wav", r"it is too short, 0.4 s, and the network needs 0.5 s"),
        ("silent.wav", "it is silent"),
        ("text.wav", "it is no recording of a known format"),
        ("empty.flac", "it is empty, 0 bytes"),
        ("none.wav", "No such file or directory"),
        ("pipe", "it is no regular file"),
    ):
        (said,) = [one for one in reasons if f"/{name}' can't be predicted" in one]
        assert reason in said


def test_pictures_that_can_not_be_read(picture_network, tmp_path, capsys):
    snapshot, folder = picture_network
    for number in range(3):
        shutil.copy(
            folder / "pictures" / "red" / f"{number:02}.{'png' if number else 'jpg'}", tmp_path
        )
    whole = (tmp_path / "00.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    shutil.copy(tmp_path / "01.png", odd)
    with pytest.raises(CommandError, match="3 of 6 files can't be predicted"):
        run(Options((tmp_path,), snapshot, batch_size=2, device="cpu", out_dir=tmp_path / "out"))
    captured = capsys.readouterr()
    assert [line.partition(":")[0] for line in captured.out.splitlines()[:-1]] == [
        *("00.jpg", "01.png", "02.png")
    ]
    assert [row["name"] for row in lines(tmp_path / "out")] == ["00.jpg", "01.png", "02.png"]
    assert "its name is not UTF-8" in captured.err
    assert "text.png' can't be predicted: it is no picture of a known format" in captured.err
    (tmp_path / "only").mkdir()
    shutil.copy(tmp_path / "text.png", tmp_path / "only")
    with pytest.raises(CommandError, match="1 of 1 files can't be predicted"):
        run(Options((tmp_path / "only",), snapshot, device="cpu", out_dir=tmp_path / "none"))
    assert lines(tmp_path / "none") == []


def test_names_lie_below_the_folder_that_all_files_share(picture_network, tmp_path, monkeypatch):
    snapshot, folder = picture_network
    for place in ("one", "two/deep"):
        (tmp_path / place).mkdir(parents=True)
        shutil.copy(folder / "pictures" / "red" / "01.png", tmp_path / place)
    monkeypatch.chdir(tmp_path / "one")
    given = (Path("01.png"), Path("../two"), Path("../one"))
    predicted = run(Options(given, snapshot, device="cpu"))
    assert [one.file.name for one in predicted] == ["one/01.png", "two/deep/01.png"]


def test_digits_of_any_size_and_their_negatives(digits, tmp_path, capsys):
    """The dataset is white on black, of 17 levels, and was not made of files."""
    snapshot = train(
        digits, tmp_path, "LasagneMnistExample", model_params="num_units=64", num_epochs=20
    )
    dataset = open_dataset(digits)
    subset = dataset.subset("testing")
    pictures = (subset.read(slice(None))[..., 0] * 15.9375).astype(np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number:03}.png")
        large = Image.fromarray(255 - picture).resize((80, 80), Image.Resampling.BICUBIC)
        (tmp_path / "paper").mkdir(exist_ok=True)
        large.convert("RGB").save(tmp_path / "paper" / f"{number:03}.jpg", quality=95)
    files = tuple(sorted(tmp_path.glob("*.png")))
    found = run(Options(files, snapshot, device="cpu"))
    assert "light on dark; give --invert for those that are dark" in capsys.readouterr().err
    trained = Trained(snapshot, device="cpu")
    expected = trained.evaluate(open_matching(trained, None, "testing"), "testing", "")
    probabilities = np.array([one.probabilities for one in found])
    np.testing.assert_allclose(probabilities, np.exp(expected.log_probabilities), atol=0.02)
    on_paper = run(Options((tmp_path / "paper",), snapshot, invert=True, device="cpu"))
    assert capsys.readouterr().err == ""
    labels = [one.probabilities.argmax() for one in on_paper]
    assert np.mean(labels == subset.labels) > expected.accuracy - 0.05 > 0.8


def test_a_label_may_be_any_text(recording_network, tmp_path):
    _, folder = recording_network
    (tmp_path / "recordings").mkdir()
    for label, name in (("a", "A$AP $x"), ("b", "ジャズ, " + "long " * 12)):
        shutil.copytree(folder / "recordings" / label, tmp_path / "recordings" / name)
    (tmp_path / "_$1 $.wav").symlink_to(folder / "recordings" / "a" / "000.wav")
    snapshot = train(spectrogram_dataset(tmp_path), tmp_path / "run", **PATCHES)
    run(Options((tmp_path / "_$1 $.wav",), snapshot, out_dir=Path("out"), device="cpu"))
    assert np.asarray(Image.open("out/_$1 $.wav.png")).min() == 0
    (row,) = lines(Path("out"))
    assert "probability_A$AP $x" in row


def test_an_older_snapshot_and_features_of_unknown_origin(digits, tmp_path):
    path = GOLDEN / "snapshots" / "first.snapshot-3.safetensors"
    with pytest.raises(CommandError, match="is of an earlier version, and does not say how"):
        run(Options((tmp_path,), path, device="cpu"))
    trained = Trained(path, device="cpu")
    trained.origin = {"kind": "features"}
    from results.prediction.run import predict

    with pytest.raises(CommandError, match="features of which it is not known what pictures"):
        predict(trained, [tmp_path])


def test_a_snapshot_of_an_earlier_version_is_written_anew(picture_network, tmp_path, capsys):
    """What the sentence advises."""
    from training.snapshots import Snapshot, load_snapshot, save_snapshot

    snapshot, folder = picture_network
    old = load_snapshot(snapshot)
    header = {name: value for name, value in old.header.items() if name != "origin"}
    path = tmp_path / "old" / snapshot.name
    save_snapshot(Snapshot(header, old.tensors), path)
    picture = folder / "pictures" / "red" / "01.png"
    assert main(["predict", "--snapshot", str(path), str(picture)]) == 1
    assert f"run_experiment --start-from-snapshot {path} writes" in capsys.readouterr().err
    assert main(["run_experiment", "--start-from-snapshot", str(path)]) == 0
    written = capsys.readouterr().out.partition("snapshot        ")[2].partition("\n")[0]
    assert main(["predict", "--snapshot", written, str(picture), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("01.png: ")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": 0}, "--top-k is 0; give at least 1"),
        ({"files": ()}, "There is nothing to predict; give pictures"),
        ({"files": (Path("empty"),)}, "There are no pictures in the folder empty"),
        ({"snapshot": Path("none")}, "The snapshot none can't be read"),
        ({"out_dir": Path("file/out")}, "file/out can't be written"),
    ],
)
def test_options_that_make_no_sense(picture_network, options, sentence):
    Path("empty").mkdir()
    Path("file").touch()
    given = {"snapshot": picture_network[0], "files": (picture_network[1] / "pictures",)}
    with pytest.raises(CommandError, match=sentence):
        run(Options(**given | options, device="cpu"))


def test_recordings_have_no_negatives(recording_network):
    with pytest.raises(CommandError, match="--invert makes negatives of pictures"):
        run(Options((Path(),), recording_network[0], invert=True, device="cpu"))
