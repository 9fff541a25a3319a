"""What run_cross_validation costs beside its training steps, on the demo dances.

For each round a cross-validation of `--folds` folds, and the same folds trained by the same steps
in one process that does nothing else: no files, no validation, no test. The table has the seconds
of both, of a fold what is added, and how long a fold must train for that to be 5 %.

Run: python benchmarks/cross_validation.py [--epochs 3] [--rounds 3]
"""

import argparse
import contextlib
import importlib.metadata
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from commands.create_demo_recordings import Options as Recordings  # noqa: E402
from commands.create_demo_recordings import run as create_recordings  # noqa: E402
from commands.create_spectrograms import Options as Spectrograms  # noqa: E402
from commands.create_spectrograms import run as create_spectrograms  # noqa: E402
from commands.run_cross_validation import Options, run  # noqa: E402
from common.host import processor, usable_cores  # noqa: E402
from training.setup import prepare  # noqa: E402


def steps_alone(options: Options) -> float:
    """Train every fold by its steps alone; return the seconds."""
    seconds = 0.0
    for fold in range(1, options.folds + 1):
        plain = vars(options.of_fold()) | {"fold": fold, "test_at_end": False}
        trainer = prepare(type(options.of_fold())(**plain))
        stream = trainer._stream("training")
        began = time.perf_counter()
        for _ in range(options.num_epochs):
            trainer._train_epoch(stream, None)
            trainer.batch = 0
        seconds += time.perf_counter() - began
    return seconds


def main() -> None:
    """Measure in rounds, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--architecture", default="oNetTwopNetTwo")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{processor()}, {usable_cores():g} cores, torch {importlib.metadata.version('torch')}")
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        folder = Path(name)
        create_recordings(Recordings(folder / "dances"))
        create_spectrograms(Spectrograms(folder / "dances", folder / "dances.pkl.zip"))
        alone, whole, training = [], [], []
        for number in range(chosen.rounds):
            options = Options(
                folder / "dances.pkl.zip",
                chosen.architecture,
                patch_hop=80,
                batch_size=50,
                folds=chosen.folds,
                num_epochs=chosen.epochs,
                out_dir=folder / f"round-{number}",
            )
            alone.append(steps_alone(options))
            began = time.perf_counter()
            run(options)
            whole.append(time.perf_counter() - began)
            results = json.loads((folder / f"round-{number}" / "results.json").read_text())
            training.append(results["seconds"])
    steps, all_, inside = map(statistics.median, (alone, whole, training))
    added = (all_ - inside) / chosen.folds
    print(f"{chosen.folds} folds of {chosen.epochs} epochs, medians of {chosen.rounds} rounds")
    print(f"the steps alone, in one process      {steps:8.1f} s")
    print(f"run_cross_validation                 {all_:8.1f} s")
    print(f"its training, as results.json says   {inside:8.1f} s")
    print(f"beside that, of a fold               {added:8.2f} s")
    print(f"which is 5 % of a fold that trains   {added / 0.05:8.0f} s")


if __name__ == "__main__":
    main()
