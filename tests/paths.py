"""Where the project and the originals' numbers are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
