import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from common.errors import CommandError
from common.options import to_plain
from tests.paths import ROOT
from training.experiment import Experiment
from training.snapshot_folder import (
    newest_snapshot,
    options_to_resume,
    set_aside,
    snapshot_name,
    thin,
)
from training.snapshots import Snapshot, save_snapshot


def snapshot(epoch=1, batch=0, **options) -> Snapshot:
    experiment = Experiment(Path("digits.pkl.zip"), "SingleLayerMlp", **options)
    header = {
        "experiment": to_plain(experiment),
        "epoch": epoch,
        "batch": batch,
        "policy": {"rate": 0.02},
        "precision": "float32",
        "scale": 0.5,
        "optimizer": {"groups": [{"lr": 0.005}], "numbers": {}},
    }
    return Snapshot(header, {"network/W": torch.full((100,), float(epoch))})


def write(folder, *positions, prefix="model"):
    for epoch, batch in positions:
        save_snapshot(snapshot(epoch, batch), folder / snapshot_name(prefix, epoch, batch))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))


def cut(path, size=-1):
    path.write_bytes(path.read_bytes()[:size])


def test_names():
    assert snapshot_name("model", 3, 0) == "model.snapshot-3.safetensors"
    assert snapshot_name("deep/er", 3, 120) == "deep/er.snapshot-3-120.safetensors"
    assert snapshot_name("model", 0, 5) == "model.snapshot-0-5.safetensors"


positions = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=8, unique=True
)


@settings(max_examples=30, deadline=None)
@given(positions, st.sampled_from(["model", "below/model", "a.b", ""]))
def test_the_newest_is_the_latest_by_epoch_and_batch(tmp_path_factory, found, prefix):
    """Compared with an order of words, in which 10 would come before 9."""
    folder = tmp_path_factory.mktemp("run")
    write(folder, *found, prefix=prefix)
    for given_prefix in (prefix, None):
        newest = newest_snapshot(folder, given_prefix)
        assert str(newest.relative_to(folder)) == snapshot_name(prefix, *max(found))


def test_others_snapshots_are_others(tmp_path):
    write(tmp_path, (1, 0))
    write(tmp_path, (9, 0), prefix="model-2")
    write(tmp_path, (8, 0), prefix="below/model")
    write(tmp_path, (7, 0), prefix="model.snapshot-3")
    assert newest_snapshot(tmp_path, "model").name == "model.snapshot-1.safetensors"
    assert newest_snapshot(tmp_path).name == "model-2.snapshot-9.safetensors"
    (tmp_path / "run").mkdir()
    write(tmp_path / "run", (99, 0), prefix="sub/model")
    assert newest_snapshot(tmp_path).name == "model.snapshot-99.safetensors"
    (tmp_path / "run" / "experiment.yaml").touch()
    assert newest_snapshot(tmp_path).name == "model-2.snapshot-9.safetensors"
    assert newest_snapshot(tmp_path / "run").name == "model.snapshot-99.safetensors"


@pytest.mark.parametrize("size", [0, 4, 8, 60, 400, -1])
def test_what_is_cut_off_is_passed_over_with_a_warning(tmp_path, size):
    write(tmp_path, (1, 0), (2, 7), (3, 0))
    cut(tmp_path / "model.snapshot-3.safetensors", size)
    with pytest.warns(UserWarning, match=r"passed over: .*model\.snapshot-3.*broken"):
        assert newest_snapshot(tmp_path).name == "model.snapshot-2-7.safetensors"


def test_what_is_too_long_or_foreign_or_a_folder_is_passed_over(tmp_path):
    write(tmp_path, (1, 0), (2, 0))
    with (tmp_path / "model.snapshot-2.safetensors").open("ab") as file:
        file.write(b"\0")
    save_file({"W": torch.zeros(3)}, tmp_path / "model.snapshot-3.safetensors")
    (tmp_path / "model.snapshot-4.safetensors").mkdir()
    (tmp_path / "model.snapshot-5.safetensors").write_bytes(b"hello")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert newest_snapshot(tmp_path).name == "model.snapshot-1.safetensors"
    said = [str(one.message) for one in caught]
    assert [next(n for n in "12345" if f"snapshot-{n}." in text) for text in said] == list("532")


def test_sentences_where_there_is_nothing_to_go_on_from(tmp_path):
    with pytest.raises(CommandError, match=r"none does not exist; give the folder of a run"):
        newest_snapshot(tmp_path / "none")
    (tmp_path / "experiment.yaml").touch()
    with pytest.raises(CommandError, match=r"no snapshot, so .* another --out-dir, or remove the"):
        newest_snapshot(tmp_path)
    write(tmp_path, (1, 0))
    file = tmp_path / "model.snapshot-1.safetensors"
    with pytest.raises(CommandError, match=r"is no folder; .* to --start-from-snapshot"):
        newest_snapshot(file)
    with pytest.raises(CommandError, match="holds no snapshot of the prefix 'other'"):
        newest_snapshot(tmp_path, "other")
    cut(file)
    with pytest.warns(UserWarning), pytest.raises(CommandError, match="only broken snapshots, so"):
        newest_snapshot(tmp_path)


def test_of_a_folder_of_runs_the_newest_are_named():
    for number in range(12):
        run = Path("runs", f"run-{number}")
        run.mkdir(parents=True)
        (run / "experiment.yaml").touch()
        os.utime(run, (number, number))
    Path("runs", "others").mkdir()
    with pytest.raises(CommandError) as raised:
        newest_snapshot(Path("runs"))
    named = ", ".join(f"runs/run-{number}" for number in range(11, 1, -1))
    assert str(raised.value) == (
        "runs is no run's folder; give one of the runs in it to --resume: "
        f"{named} and 2 older ones."
    )


def test_options_come_from_the_newest_snapshot(tmp_path, monkeypatch):
    old = snapshot(3, learning_rate=0.1, num_epochs=9)
    save_snapshot(old, tmp_path / snapshot_name("x", 3, 0))
    new = snapshot(3, 4, learning_rate=0.1, num_epochs=7, num_devices=2, resume=Path("elsewhere"))
    save_snapshot(new, tmp_path / snapshot_name("x", 3, 4))
    options = options_to_resume(tmp_path)
    assert options["num_epochs"] == 7
    assert options["learning_rate"] == 0.02  # the policy's, not that of a warm-up's batch
    assert (options["num_devices"], options["resume"]) == (2, tmp_path)
    assert options["start_from_snapshot"] == tmp_path / "x.snapshot-3-4.safetensors"
    Experiment(**options)
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):  # torchrun starts them itself
        monkeypatch.setenv(name, "4")
    assert options_to_resume(tmp_path)["num_devices"] == 1


def test_thinning_keeps_the_newest_and_what_is_protected(tmp_path):
    write(tmp_path, *((epoch, 0) for epoch in range(1, 12)))
    best = Path(os.path.relpath(tmp_path)) / "model.snapshot-3.safetensors"
    removed = thin(tmp_path, "model", 2, [best])
    assert names(tmp_path) == [f"model.snapshot-{n}.safetensors" for n in (10, 11, 3)]
    assert {path.name for path in removed} == {
        f"model.snapshot-{n}.safetensors" for n in (1, 2, *range(4, 10))
    }


@settings(max_examples=60, deadline=None)
@given(positions, st.integers(0, 4), st.data())
def test_thinning_by_its_rules(tmp_path_factory, found, keep, data):
    folder = tmp_path_factory.mktemp("run")
    write(folder, *found)
    protected = data.draw(st.lists(st.sampled_from(found), max_size=2))
    removed = thin(folder, "model", keep, [folder / snapshot_name("model", *p) for p in protected])
    stays = [p for p in found if (folder / snapshot_name("model", *p)).exists()]
    assert len(removed) + len(stays) == len(found)
    assert max(found) in stays
    assert set(protected) <= set(stays)
    others = set(stays) - set(protected) - {max(found)}
    assert all(batch == 0 for _, batch in others)
    epochs = sorted(p for p in found if p[1] == 0 and p != max(found))
    wanted = epochs[len(epochs) - min(keep - 1, len(epochs)) :] if keep else epochs
    assert others == set(wanted) - set(protected)


def test_nothing_goes_before_something_newer_is_whole(tmp_path):
    write(tmp_path, (1, 0), (1, 5), (2, 0), (2, 5))
    for name in ("2-5", "2"):
        cut(tmp_path / f"model.snapshot-{name}.safetensors")
    assert [path.name for path in thin(tmp_path, "model", 1)] == ["model.snapshot-1.safetensors"]
    assert names(tmp_path) == [f"model.snapshot-{n}.safetensors" for n in ("1-5", "2-5", "2")]


def test_nothing_foreign_is_removed(tmp_path):
    write(tmp_path, (4, 0))
    write(tmp_path, (1, 0), prefix="other")
    save_file({"W": torch.zeros(3)}, tmp_path / "model.snapshot-1.safetensors")
    (tmp_path / "model.snapshot-2.safetensors.txt").touch()
    assert thin(tmp_path, "model", 1) == []


def test_thinning_below_the_folder(tmp_path):
    write(tmp_path, (1, 0), (2, 0), (3, 0), prefix="below/model")
    assert len(thin(tmp_path, "below/model", 1)) == 2
    assert names(tmp_path) == ["below/model.snapshot-3.safetensors"]


def test_a_file_that_cannot_be_removed_is_a_warning():
    code = (
        "import os, sys, pathlib\n"
        "from training.snapshot_folder import thin\n"
        "os.getuid() or os.setuid(65534)\n"
        "print(thin(pathlib.Path(sys.argv[1]), 'model', 1))"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, (1, 0), (2, 0))
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", code, name],
            capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        folder.chmod(0o755)
    assert done.stdout == "[]\n"
    assert "model.snapshot-1.safetensors can't be removed: Permission denied" in done.stderr


def test_what_a_run_leaves_behind_by_going_back_is_set_aside(tmp_path):
    write(tmp_path, (2, 0), (3, 0), (3, 5), (4, 0))
    write(tmp_path, (9, 0), prefix="other")
    assert len(set_aside(tmp_path, "model", 3, 0)) == 2
    write(tmp_path, (4, 0))
    (again,) = set_aside(tmp_path, "model", 3, 0)
    assert again.name == "model.snapshot-4.before-2.safetensors"
    assert newest_snapshot(tmp_path, "model").name == "model.snapshot-3.safetensors"
    thin(tmp_path, "model", 1)
    kept = ["3-5.before-1", "3", "4.before-1", "4.before-2"]
    expected = [f"model.snapshot-{n}.safetensors" for n in kept]
    assert names(tmp_path) == [*expected, "other.snapshot-9.safetensors"]
