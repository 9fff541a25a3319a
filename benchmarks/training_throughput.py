"""Training by run_experiment against hand-written loops: images/s, seconds to an accuracy, memory.

Run: python benchmarks/training_throughput.py [PARTS] [--rounds 5] [--theano PYTHON] [--brief]
[--quick]

Parts: alexnet-64, alexnet-256, imagenet (CaffeAlexNet on shards), chunked, fashion, memory, and
where there is a GPU vgg; by default all. Every run is a process of its own that has all cores, and
the ways take turns; ratios are the median of the rounds' ratios. run_experiment reads pictures of
256×256 from a dataset, crops, mirrors and subtracts the mean, and its first epoch does not count.
`--theano` names a Python 3.8 with Theano and Lasagne (theano_alexnet_step.py says which). `--brief`
compares run_experiment with one resident batch alone, in bfloat16. `--quick` shows in a minute that
everything runs; its figures mean nothing.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from training_runs import CASES, KEEP_FREED, ROOT, Bench, flops_per_image, output_of  # noqa: E402

ON_A_GPU = ("vgg",)
PARTS = [*CASES, "chunked", "fashion", "memory"]
FASHION = Path("/usr/share/datasets/fashion-mnist")
CONVNET = (
    "num_conv_layers=2:lc0_filter_size=5:lc0_mp=True:lc1_num_filters=64:lc1_filter_size=5:"
    "lc1_mp=True:ld0_num_units=256"
)


def in_turn(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return every way's figures, one a round."""
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds):
        for name, measure in ways.items():
            figures[name].append(measure())
            print(f"round {round_ + 1}: {name}: {figures[name][-1]:.1f}", file=sys.stderr)
    return figures


def ratio(own: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(own, others, strict=True))


def throughput(bench: Bench, part: str) -> None:
    """Print a network's table of images/s."""
    case = bench.case(part)
    best = "run_experiment, bfloat16"
    ways: dict[str, Callable[[], float]] = {}
    wanted: dict[str, tuple[str, str]] = {}

    def loop(name: str, against: str, lowest: str, measure: Callable[[], float]) -> None:
        ways[name] = measure
        wanted[name] = against, lowest

    for precision in ("bfloat16",) if bench.brief else ("bfloat16", "float32"):
        own = f"run_experiment, {precision}"
        ways[own] = partial(speed, bench.ours, case, "--precision", precision)
        if not bench.brief:
            compiled = partial(speed, bench.ours, case, "--precision", precision, "--compile")
            loop(f"{own}, --compile", own, "", compiled)
        variant = bench.fastest(case, precision)
        name, given = f"one resident batch, {precision}, {variant}", (case, precision, variant)
        loop(name, own, "0.95", partial(speed, bench.resident, *given))
        if bench.device == "cpu":
            kept = partial(speed, bench.resident, *given, KEEP_FREED)
            loop(f"{name}, freed memory kept", own, "", kept)
    if not bench.brief:
        loop("the loop that most people write", best, "3.5", partial(bench.common, case))
    if bench.theano and case.name == "alexnet":
        loop("Theano and Lasagne", best, "20", partial(bench.theano_step, case))
    figures = in_turn(ways, bench.rounds)
    operations = flops_per_image(case) / 1e12
    print(f"\n| {case.name}, {case.side}×{case.side}, batch {case.batch} ", end="")
    print("| images/s | of the bfloat16 limit | run_experiment is | wanted |")
    print("| --- | --- | --- | --- | --- |")
    for way, rates in figures.items():
        against, lowest = wanted.get(way, ("", ""))
        compared = f"{ratio(figures[against], rates):.2f} times" if against else ""
        median = statistics.median(rates)
        share = median * operations / bench.limit
        print(f"| {way} | {median:,.0f} | {share:.1%} | {compared} | {lowest} |", flush=True)


def speed(run: Callable[..., dict[str, Any]], *arguments: Any) -> float:
    """Return the images/s of a run."""
    return float(run(*arguments)["images_per_second"])


def chunked(bench: Bench) -> None:
    """Print what a training in 20 chunks loses."""
    case = bench.case("alexnet-64")
    case = replace(case, batches=case.batches * (1 if bench.quick else 2))
    size = case.batch * max(1, case.batches // 20)
    runs: dict[str, list[dict[str, float]]] = {"0": [], str(size): []}
    for _ in range(bench.rounds):
        for chunk, own in runs.items():
            own.append(bench.ours(case, "--chunk-size", chunk))
    whole, parts = ([run["images_per_second"] for run in own] for own in runs.values())
    waiting = statistics.median(run["waiting"] for run in runs[str(size)])
    print(f"\n| {case.name}, batch {case.batch} | images/s | ratio | waited for instances |")
    print("| --- | --- | --- | --- |")
    print(f"| resident | {statistics.median(whole):,.0f} | 1.00 | |")
    print(f"| chunks of {size:,} of {case.batch * case.batches:,} ", end="")
    print(f"| {statistics.median(parts):,.0f} | {ratio(parts, whole):.3f} | {waiting:.2%} |")
    if bench.device == "cuda":
        longer = replace(case, epochs=2)
        idle = bench.ours(longer, "--chunk-size", str(size), profile=True)["idle"]
        print(f"\nThe GPU computed nothing for {idle:.2%} of the time (CUPTI, second epoch).")


def seconds_to(accuracy: float, program: Sequence[str]) -> float:
    """Return the seconds from a program's start to the epoch that reaches a validation accuracy."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"validation accuracy ([\d.]+)%", line)
            if found and float(found[1]) >= 100 * accuracy:
                elapsed = time.perf_counter() - start
                process.kill()
                process.wait()
                return elapsed
        process.wait()
        errors.seek(0)
        raise SystemExit(f"{accuracy:.1%} was not reached:\n{errors.read()}")


def fashion(bench: Bench) -> None:
    """Print the seconds to an accuracy on Fashion-MNIST."""
    manage = [sys.executable, str(ROOT / "manage.py")]
    source = ["--source", str(FASHION), "--name", "fashion-mnist"]
    output_of([*manage, "download_mnist", str(bench.folder), *source], {})
    cases = {
        "mlp": (0.88, "SingleLayerMlp", "num_units=512"),
        "convnet": (0.915, "ConvNet", CONVNET),
    }
    if bench.quick:
        cases = {"mlp": (0.3, *cases["mlp"][1:])}
    print("\n| Fashion-MNIST, batch 100 | run_experiment, s | most people's loop, s | ratio |")
    print("| --- | --- | --- | --- |")
    for name, (accuracy, architecture, params) in cases.items():
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for seed in range(bench.rounds):
            own = ["--dataset-path", str(bench.folder / "fashion-mnist.pkl.zip")]
            own += ["--model-architecture", architecture, "--model-params", params]
            own += ["--reshape-to", "(1, 28, 28)", "--learning-rate", "0.03", "--seed", str(seed)]
            own += ["--num-epochs", "30", "--out-dir", str(bench.folder / f"{name}-{seed}")]
            own += ["--device", bench.device]
            common = [sys.executable, str(HERE / "common_loop.py"), "accuracy", name]
            common += ["--pictures", str(FASHION), "--batch", "100", "--rate", "0.03"]
            common += ["--seed", str(seed), "--device", bench.device]
            seconds["ours"].append(seconds_to(accuracy, [*manage, "run_experiment", *own]))
            seconds["theirs"].append(seconds_to(accuracy, common))
        first, second = (statistics.median(own) for own in seconds.values())
        print(f"| {name} to {accuracy:.1%} | {first:.1f} | {second:.1f} ", end="")
        print(f"| {ratio(seconds['ours'], seconds['theirs']):.2f} |", flush=True)


def memory(bench: Bench) -> None:
    """Print the peak memory of a training in chunks of two batches and of the resident loop."""
    print(
        "\n| peak memory, MB | run_experiment | two chunks | resident loop | ratio without them |"
    )
    print("| --- | --- | --- | --- | --- |")
    for part in ("alexnet-64", "alexnet-256"):
        case = bench.case(part)
        size = 2 * case.batch
        chunks = 2 * size * case.stored**2 * 3 / 1e6
        for precision in ("bfloat16", "float32"):
            own, theirs = [], []
            for _ in range(bench.rounds):
                options = ("--precision", precision, "--chunk-size", str(size))
                own.append(bench.ours(case, *options)["peak"])
                theirs.append(float(bench.resident(case, precision, "eager")["peak"]))
            first, second = statistics.median(own), statistics.median(theirs)
            left = ratio([peak - chunks for peak in own], theirs)
            print(f"| {case.name}, batch {case.batch}, {precision} | {first:,.0f} ", end="")
            print(f"| {chunks:,.0f} | {second:,.0f} | {left:.2f} |", flush=True)


def main() -> None:
    """Print the tables of the parts named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PARTS", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--theano", help="a Python 3.8 with Theano and Lasagne")
    parser.add_argument("--folder", help="where the dataset files go; 8 GB of room on a GPU")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        bench = Bench(options, Path(name))
        print(f"{bench.device}; {bench.limit:.2f} TFLOP/s with bfloat16 matrices", flush=True)
        for part in options.parts or PARTS:
            if part in ON_A_GPU and bench.device == "cpu" and part not in options.parts:
                continue
            if part == "fashion" and not FASHION.is_dir():
                print(f"\n{FASHION} is not there.")
            elif part in CASES:
                throughput(bench, part)
            else:
                {"chunked": chunked, "fashion": fashion, "memory": memory}[part](bench)


if __name__ == "__main__":
    main()
