"""Downloads published ImageNet weights to OUT_DIR; without a NAME, lists them.

torchvision's, of which the file's name holds the checksum; Lasagne's model zoo's, of which none was
published; and theano_alexnet's, which --source must name. import_weights makes a snapshot of them.
A download that broke off goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from datasets.published_weights import Fetched, Weights

GROUP = "Experiments"


@dataclass(frozen=True)
class Options:
    """The options of download_weights."""

    name: Annotated[str, Positional, arg(metavar="NAME")] = ""
    """Which weights, such as torchvision-resnet18; none: a list of the names."""

    out_dir: Annotated[Path, Positional, arg(metavar="OUT_DIR")] = Path("weights")
    """Folder that they go to."""

    source: str | None = None
    """File to take, or its http address; None: the public address."""

    timeout: float = 30.0
    """Seconds to wait for a server's next sign of life."""


def run(options: Options) -> Path | None:
    """Gets the weights; returns their file or folder, or None where it lists the names."""
    from datasets.published_weights import WEIGHTS, fetch, find_weights

    if not options.name:
        for name, weights in WEIGHTS.items():
            print(f"{name:<24} {weights.file:<26} {weights.architecture}")
        return None
    weights = find_weights(options.name)
    fetched = fetch(weights, options.out_dir, source=options.source, timeout=options.timeout)
    _print_what_is_there(options.name, weights, fetched)
    return fetched.path


def _print_what_is_there(name: str, weights: Weights, fetched: Fetched) -> None:
    import shlex

    if fetched.was_there:
        print(f"{fetched.path} is there already; remove it to download it again.")
    else:
        print(f"Wrote {fetched.path}.")
    if weights.checksum and fetched.sha256:
        print("Its checksum is the published one.")
    elif fetched.sha256:
        print(f"No checksum of it was published; its SHA-256 is {fetched.sha256}.")
    snapshot = f"{name.partition('-')[2]}.safetensors"
    print(
        f"For a snapshot of it: python manage.py import_weights {shlex.quote(str(fetched.path))} "
        f"{snapshot} --model-architecture {weights.architecture} {weights.more}".rstrip()
    )
