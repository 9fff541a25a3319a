"""What search_hyperparams costs beside its evaluations, and what it finds, on Fashion-MNIST.

Three parts, each with a table:

overhead    a search against the same command lines run by hand, one after another
algorithms  the best validation accuracy of TPE and of random search, over seeds
early-stop  the best validation accuracy with and without --early-stop, for the same epochs in all;
            with it a search is given more evaluations as long as a whole one fits in what is left

Run: python benchmarks/search_overhead.py [--parts overhead,algorithms] [--folder DIR]
With --folder the searches are kept, and a second run goes on with them.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from commands.download_mnist import Options as Download  # noqa: E402
from commands.download_mnist import run as download  # noqa: E402
from commands.search_hyperparams import Options, run  # noqa: E402
from common.host import processor, usable_cores  # noqa: E402

PARTS = ("overhead", "algorithms", "early-stop")
SOURCE = "/usr/share/datasets/fashion-mnist"  # of Debian's dataset-fashion-mnist

NETWORK = "--model-architecture SingleLayerMlp"
SPACE = "num_units__qloguniform=3,6.5,1"


class Bench:
    """What all parts share: the options, the dataset, and the folder of the searches."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.evaluations: int = options.evaluations
        self.epochs: int = options.epochs
        self.seeds = range(options.seeds)
        self.rounds: int = options.rounds
        self.dataset = folder / "fashion-mnist.pkl.zip"
        if not self.dataset.exists():
            with contextlib.redirect_stdout(sys.stderr):
                download(Download(folder, source=SOURCE, name="fashion-mnist"))

    def base(self, epochs: int) -> str:
        """Return BASE_CMD."""
        dataset = shlex.quote(str(self.dataset))
        command = f"python manage.py run_experiment --dataset-path {dataset} {NETWORK}"
        return f"{command} --num-epochs {epochs} --no-snapshot-final-model"

    def search(self, name: str, epochs: int, max_evals: int, **options: Any) -> Path:
        """Run a search, or what is left of it; return its folder."""
        folder = self.folder / name
        base, shown = self.base(epochs), self.folder / "output.txt"
        with shown.open("a") as file, contextlib.redirect_stdout(file):
            run(Options(base, folder, model_params_space=SPACE, max_evals=max_evals, **options))
        return folder


def best(folder: Path) -> float:
    """Return the best validation accuracy of a search."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return 1 - float(results["best"]["error"])


def epochs_of(folder: Path) -> int:
    """Return the epochs that a search has trained, those after an early stop included."""
    files = folder.glob("eval-*/metrics.csv")
    return sum(len(file.read_text(encoding="utf-8").splitlines()) - 1 for file in files)


def overhead(bench: Bench) -> None:
    """Print what a search takes beside its evaluations."""
    count = max(2, bench.evaluations // 4)
    rows: dict[str, list[float]] = {
        "the search": [],
        "the same command lines by hand": [],
        "the search again, with nothing left to do: its own start and end": [],
        "in each evaluation beside it": [],
        "each evaluation's start and end, without its epochs": [],
    }
    for number in range(bench.rounds):
        log_dir = bench.folder / f"overhead-{number}-{time.time_ns()}"
        search = ["search_hyperparams", bench.base(bench.epochs), str(log_dir)]
        search += ["--model-params-space", SPACE, "--max-evals", str(count)]
        whole, again = seconds_of(search), seconds_of(search)
        by_hand = training = 0.0
        for folder in sorted(log_dir.glob("eval-*")):
            first = (folder / "log.txt").read_text(encoding="utf-8").splitlines()[0]
            words = shlex.split(first.removeprefix("$ python manage.py "))
            out = folder.with_name(f"by-hand-{folder.name}")
            by_hand += seconds_of([*words[:-1], str(out)])
            results = json.loads((out / "results.json").read_text(encoding="utf-8"))
            training += results["seconds"]
        beside = (whole - again - by_hand) / count
        found = (whole, by_hand, again, beside, (by_hand - training) / count)
        for row, seconds in zip(rows.values(), found, strict=True):
            row.append(seconds)
    print(f"| {count} evaluations of {bench.epochs} epochs | s, median of {bench.rounds} |")
    print("| --- | --- |")
    for name, row in rows.items():
        print(f"| {name} | {statistics.median(row):.2f} |")
    print(flush=True)


def seconds_of(arguments: list[str]) -> float:
    """Run manage.py and return how long it took."""
    start = time.perf_counter()
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=os.environ)
    return time.perf_counter() - start


def algorithms(bench: Bench) -> None:
    """Print what TPE and random search find."""
    heads = " | ".join(f"seed {seed}" for seed in bench.seeds)
    what = f"best of {bench.evaluations} x {bench.epochs} epochs"
    print(f"| {what} | {heads} | {mean_of(bench)} |\n| --- |{' --- |' * (len(bench.seeds) + 1)}")
    for algorithm in ("tpe", "random", "anneal"):
        found = []
        for seed in bench.seeds:
            name = f"{algorithm}-{seed}"
            folder = bench.search(
                name, bench.epochs, bench.evaluations, algorithm=algorithm, seed=seed
            )
            found.append(best(folder))
        print_row(algorithm, found)
    print(flush=True)


def early_stop(bench: Bench) -> None:
    """Print what is found with the same epochs in all: many short, fewer long, halved ones."""
    budget, long = bench.evaluations * bench.epochs, 2 * bench.epochs
    heads = " | ".join(f"seed {seed}" for seed in bench.seeds)
    print(f"| {budget} epochs in all | evaluations | epochs | {heads} | {mean_of(bench)} |")
    print(f"| --- | --- | --- |{' --- |' * (len(bench.seeds) + 1)}")
    for name, epochs, halving in (
        (f"{bench.epochs} epochs each", bench.epochs, False),
        (f"{long} epochs each", long, False),
        (f"{long} epochs at most, --early-stop", long, True),
    ):
        found, counts, trained = [], [], []
        for seed in bench.seeds:
            count = budget // epochs
            stem = f"{'early' if halving else 'whole'}-{epochs}-{seed}"
            folder = bench.search(stem, epochs, count, seed=seed, early_stop=halving)
            while halving and (left := budget - epochs_of(folder)) >= epochs:
                count += left // epochs
                bench.search(stem, epochs, count, seed=seed, early_stop=True)
            found.append(best(folder))
            counts.append(count)
            trained.append(epochs_of(folder))
        means = f"{statistics.fmean(counts):.1f} | {statistics.fmean(trained):.1f}"
        print_row(f"{name} | {means}", found)
    print(flush=True)


def mean_of(bench: Bench) -> str:
    """Return the heading of the last column."""
    return f"mean ± standard deviation, n = {len(bench.seeds)}"


def print_row(name: str, found: list[float]) -> None:
    """Print a line of accuracies with their mean and the sample's standard deviation."""
    cells = " | ".join(f"{accuracy:.2%}" for accuracy in found)
    deviation = f" ± {statistics.stdev(found):.2%}" if len(found) > 1 else ""
    print(f"| {name} | {cells} | {statistics.fmean(found):.2%}{deviation} |", flush=True)


def main() -> None:
    """Read the options and run the parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--folder", type=Path, help="where data and searches are kept")
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="of the overhead")
    options = parser.parse_args()
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", "hyperopt"))
    print(f"{processor()}, {usable_cores():g} cores, {', '.join(versions)}\n")
    with contextlib.ExitStack() as stack:
        if options.folder is None:
            options.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options.folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(options, options.folder.resolve())
        parts = {"overhead": overhead, "algorithms": algorithms, "early-stop": early_stop}
        for name in options.parts.split(","):
            parts[name](bench)


if __name__ == "__main__":
    main()
