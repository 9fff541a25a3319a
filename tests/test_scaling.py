"""docs/scaling.md quotes what benchmarks/imagenet_scaling.py prints."""

import runpy
import subprocess
import sys

import pytest

from tests.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "imagenet_scaling.py"


@pytest.fixture(scope="module")
def names():
    return runpy.run_path(str(SCRIPT), run_name="imagenet_scaling")


def test_the_documents_tables_are_the_scripts():
    printed = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=True
    ).stdout
    document = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    tables = printed.strip().split("\n\n")
    assert len(tables) == 6
    for table in tables:
        assert f"\n{table}\n" in document
    rows = [line for line in document.splitlines() if line.startswith("|")]
    assert len(rows) == sum(len(table.splitlines()) for table in tables)


def test_an_epoch_by_hand(names):
    """A plan of round numbers: 252 GB, 10 GPUs in two nodes, 100 M gradients."""
    rates = {"disk": 1, "memory": 5, "bus": 10, "gpu_alexnet": 1000, "node": 100, "network": 10}
    rates["request"] = 0.1
    network = names["Network"]("x", "gpu_alexnet", 100e6)
    plan = names["Plan"](network, 10, rates, batch=100)
    stages = plan.stages()
    gigabytes = 1_281_167 * 0.196608 / 1000
    assert stages["read shards"] == pytest.approx(gigabytes / 2)
    assert stages["copy to the GPUs"] == pytest.approx(gigabytes / 100)
    assert stages["compute steps"] == pytest.approx(128.1167)
    # 0.4 GB: 2 * 7/8 of it in each node, 2 * 1/2 of it between the nodes, 1,282 times
    assert stages["exchange gradients"] == pytest.approx(1282 * (0.7 / 100 + 0.4 / 10))
    from_memory, from_storage = (
        names["replace"](plan, source=source).stages()["read shards"]
        for source in ("memory", "storage")
    )
    assert from_memory == pytest.approx(gigabytes / 50)
    assert from_storage == pytest.approx(gigabytes / (2 * 6.4))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01, "0"), (0.2, "0.2 s"), (12, "12 s"), (120, "2.0 min"), (7200, "2.0 h")],
)
def test_times(names, seconds, text):
    assert names["time_text"](seconds) == text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("discs=1", r"^There is no rate 'discs'\. Valid: decode, disk"),
        ("disk=fast", r"^'disk=fast' is not of the form name=number\.$"),
        ("disk=0", r"^'disk=0': give a number above 0\.$"),
    ],
)
def test_rates_of_ones_own(names, change, sentence):
    with pytest.raises(SystemExit, match=sentence):
        names["given_rates"]([change])
    assert names["given_rates"](["disk=3"])["disk"] == 3
