"""Runs the README's commands as a reader would, in an empty folder, one after another."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from commands import names
from tests.datasets.imagenet.tree import CLASSES, make_tree
from tests.datasets.misbehaving_server import Server
from tests.golden.torchvision.weights import weights
from tests.paths import FASHION_MNIST, GOLDEN, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|python|yaml)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines after a prompt, continued lines joined."""
    text = "\n".join(block for kind, block in BLOCKS if kind == "console").replace("\\\n", " ")
    return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


MANAGE = [command for command in commands() if "manage.py" in command]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A reader's folder: the project, and a folder of pictures of their own."""
    folder = tmp_path_factory.mktemp("reader")
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".venv", "runs", "data"}:
            (folder / entry.name).symlink_to(entry)
    digits = load_digits()
    for index, (picture, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        label_folder = folder / "pictures" / ("jazz" if label in (0, 6, 8, 9) else "metal")
        label_folder.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((picture * 15.9).astype(np.uint8)).resize((40, 40))
        grey.save(label_folder / f"Artist {index % 100} - {index}.jpg")
    write_imagenet(folder)
    for kind, block in BLOCKS:
        name = block.splitlines()[0].lstrip("# ")
        if kind in ("python", "yaml") and name.endswith((".py", ".yaml")):
            (folder / name).write_text(block)
    with Server() as server:
        links = [f"{server.address}/ok/{n}\tjazz/{n}.jpg" for n in range(3)]
        (folder / "dataset-links.tsv").write_text("\n".join(links))
        yield folder


def write_imagenet(folder: Path) -> None:
    """A small ImageNet in its own layout, and weights of torchvision's ResNet-18 for its labels."""
    make_tree(folder / "ILSVRC")
    (folder / "ILSVRC" / "kit").rename(folder / "ILSVRC2012_devkit_t12")
    with np.load(GOLDEN / "torchvision" / "resnet18.npz") as golden:
        shapes = json.loads(str(golden["spec"]))["shapes"]
    shapes |= {"fc.weight": [len(CLASSES), 512], "fc.bias": [len(CLASSES)]}
    state = {name: torch.from_numpy(value) for name, value in weights(shapes).items()}
    (folder / "weights").mkdir()
    torch.save(state, folder / "weights" / "resnet18-f37072fd.pth")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if "experiments/fashion-mnist" in command:
        command += " --num-epochs 1 --labels-to-keep Bag,Sandal"  # ten of all would take minutes
    if "create_demo_recordings" in command:
        command += " --recordings-per-label 10 --seconds 8"
    if "run_cross_validation --dataset" in command or "experiments/mirdl" in command:
        command += " --num-epochs 1 --folds 3"
    if "download_ballroom" in command:  # the demo dances as the public archives hold theirs
        for top, name in (("BallroomData", "ballroom"), ("genres", "genres")):
            with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
                archive.add(folder / "dances", top)
        command += " --source ballroom.tar.gz"
    if "imagenet-alexnet" in command:
        command += " --num-epochs 1 --model-params ld0_num_units=64:ld1_num_units=64"
    if "download_weights" in command:  # what is published has a checksum that nothing else has
        command = "python manage.py download_weights"
    if "covers" in command:
        few = (
            "--num-epochs 1 --batch-size 20"
            if "--start-weights" in command
            else "--max-per-label 40"
        )
        command += f" {few}"
    command = command.replace("snapshot-65", "snapshot-1").replace("--top-k 1,5", "--top-k 1,3")
    if "runs/fashion/model" in command:
        command = command.replace("snapshot-8", "snapshot-1").replace("epochs 10", "epochs 2")
    command = re.sub(r"\bpython\b", shlex.quote(sys.executable), command)
    environment = os.environ | {"THEANO_FLAGS": ""}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, env=environment
    )


@pytest.mark.slow
def test_the_commands(folder):
    for command in MANAGE:
        if str(FASHION_MNIST) in command and not FASHION_MNIST.is_dir():
            pytest.skip(f"Debian's package dataset-fashion-mnist is not installed: {FASHION_MNIST}")
        result = run(command, folder)
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"


def test_the_notebook_example(folder):
    (code,) = [block for kind, block in BLOCKS if kind == "python" and "from commands" in block]
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "create_demo_dataset", "data"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "testing accuracy" in result.stdout


def test_the_lasagne_example():
    (code,) = [block for kind, block in BLOCKS if kind == "python" and "batch_norm" in block]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("tensor([")


def test_every_command_has_an_example():
    for name in names():
        assert any(f"manage.py {name}" in command for command in MANAGE), name


@pytest.mark.parametrize("target", ["experiment", "test", "install", "lint"])
def test_the_make_targets_exist(target):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"make {target}" in README


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
