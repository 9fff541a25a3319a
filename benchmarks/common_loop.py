"""The PyTorch training loop that most people write: float32, DataLoader, Pillow and NumPy.

Run: python benchmarks/common_loop.py throughput NETWORK [options]
     python benchmarks/common_loop.py accuracy NETWORK --pictures FOLDER [options]

`throughput` trains on random pictures with random crops and mirrors and prints images/s as a line
of JSON; `accuracy` trains on IDX files (Fashion-MNIST) and prints the validation accuracy after
every epoch, in the form that training_throughput.py waits for.
"""

import argparse
import gzip
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parent))
from baselines_pytorch import build

VALIDATION = 10_000  # of 60,000 pictures, the last ones, as download_mnist has it


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures, uint8 (n, height, width) or (n, height, width, 3), and their labels.

    Each is cropped to `side` × `side` at random and mirrored at random where `side` is given.
    """

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, side: int | None) -> None:
        self.pictures, self.labels, self.side = pictures, labels, side
        axes = (0, 1, 2)
        part = pictures[:1000] / 255
        self.mean, self.std = part.mean(axes), part.std(axes)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.pictures[index])
        if self.side is not None:
            left = int(torch.randint(image.width - self.side + 1, ()))
            top = int(torch.randint(image.height - self.side + 1, ()))
            image = image.crop((left, top, left + self.side, top + self.side))
            if torch.rand(()) < 0.5:
                image = ImageOps.mirror(image)
        values = np.asarray(image, dtype=np.float32) / 255
        values = ((values - self.mean) / self.std).astype(np.float32)
        values = values.transpose(2, 0, 1) if values.ndim == 3 else values[None]
        return torch.from_numpy(values), int(self.labels[index])


def epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[tuple[Tensor, int]],
    device: str,
) -> None:
    """Train on every batch."""
    network.train()
    criterion = nn.CrossEntropyLoss()
    running = 0.0
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(network(inputs), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()


def accuracy(network: nn.Module, loader: DataLoader[tuple[Tensor, int]], device: str) -> float:
    """Return the part of the instances that is recognised."""
    network.eval()
    correct = total = 0
    with torch.no_grad():
        for inputs, labels in loader:
            predicted = network(inputs.to(device)).argmax(1)
            correct += int((predicted == labels.to(device)).sum())
            total += len(labels)
    return correct / total


def throughput(options: argparse.Namespace) -> None:
    """Print the images/s of the epochs after the first."""
    count = options.batch * options.steps
    generator = np.random.default_rng(0)
    shape = (count, options.stored, options.stored, 3)
    pictures = generator.integers(0, 256, shape, np.uint8)
    data = Pictures(pictures, np.arange(count) % options.labels, options.side)
    loader = DataLoader(data, options.batch, shuffle=True, num_workers=options.workers)
    network = build(options.network, options.labels, options.side).to(options.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, nesterov=True)
    rates = []
    for _ in range(options.blocks + 1):
        start = time.perf_counter()
        epoch(network, optimizer, loader, options.device)
        rates.append(count / (time.perf_counter() - start))
    print(json.dumps({"images_per_second": statistics.median(rates[1:])}))


def read_idx(path: Path, offset: int) -> np.ndarray:
    """Return the bytes of an IDX file after its header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)


def until_accuracy(options: argparse.Namespace) -> None:
    """Print the validation accuracy after every epoch."""
    folder = options.pictures
    pictures = read_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", 8).astype(np.int64)
    parts = slice(None, -VALIDATION), slice(-VALIDATION, None)
    training, validation = (
        DataLoader(
            Pictures(pictures[part], labels[part], None),
            options.batch,
            shuffle=part.stop is not None,
            num_workers=options.workers,
        )
        for part in parts
    )
    torch.manual_seed(options.seed)
    network = build(options.network, 10, 28).to(options.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=options.rate, momentum=0.9, nesterov=True)
    for number in range(1, options.epochs + 1):
        epoch(network, optimizer, training, options.device)
        reached = accuracy(network, validation, options.device)
        print(f"epoch {number}: validation accuracy {reached:.2%}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["throughput", "accuracy"])
    parser.add_argument("network")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--stored", type=int, default=256)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=20, help="batches in an epoch")
    parser.add_argument("--blocks", type=int, default=3, help="epochs that count")
    parser.add_argument("--workers", type=int, default=2, help="as in PyTorch's own tutorials")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--rate", type=float, default=0.03)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    (throughput if options.what == "throughput" else until_accuracy)(options)


if __name__ == "__main__":
    main()
