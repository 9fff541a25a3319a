"""Start-up of the command line against importing tyro alone, interleaved.

Run: python benchmarks/start_up.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

MANAGE = str(Path(__file__).parent.parent / "manage.py")
ROUNDS = 15
COMMANDS = {
    'python -c "import tyro"': ["-c", "import tyro"],
    "manage.py": [MANAGE],
    "manage.py run_experiment --help": [MANAGE, "run_experiment", "--help"],
    'python -c "import torch"': ["-c", "import torch"],
}


def main() -> None:
    """Prints the median seconds of every command and its ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    reference = next(iter(medians.values()))
    print("| command | median of 15, s | ratio |\n| --- | --- | --- |")
    for name, median in medians.items():
        print(f"| `{name}` | {median:.3f} | {median / reference:.2f} |")


if __name__ == "__main__":
    main()
