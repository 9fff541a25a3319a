"""The build of PyTorch for a driver and its GPUs, by PyTorch's and NVIDIA's tables."""

import pytest

from deploy.probe import read
from deploy.torch_build import Gpu, choose_build


def gpu(name: str, driver: str, capability: tuple[int, int]) -> Gpu:
    return Gpu(name, driver, capability, 2**34, 2**34)


@pytest.mark.parametrize(
    ("gpus", "build", "reason"),
    [
        ([], "cpu", "there is no GPU"),
        ([("H200", "580.95.05", (9, 0))], "cu130", "driver 580.95.05 runs it"),
        ([("H200", "590.10", (9, 0))], "cu130", "it has code for H200"),
        ([("A100", "570.124.06", (8, 0))], "cu126", "driver 570.124.06 runs it"),
        ([("T4", "525.60.13", (7, 5))], "cu126", "driver 525.60.13 runs it"),
        ([("T4", "470.82.01", (7, 5))], "cpu", "is too old for T4; update it to 525 or newer"),
        ([("V100", "580.95.05", (7, 0))], "cu126", "it has code for V100"),
        ([("RTX 5090", "580.95.05", (12, 0))], "cu130", "it has code for RTX 5090"),
        ([("RTX 5090", "570.86", (12, 0))], "cpu", "too old for RTX 5090; update it to 580"),
        ([("K80", "470.82.01", (3, 7))], "cpu", "no build has code for K80"),
        (
            [("V100", "580.95.05", (7, 0)), ("RTX 5090", "580.95.05", (12, 0))],
            "cpu",
            "no build has code for RTX 5090, V100",
        ),
    ],
)
def test_the_build(gpus, build, reason):
    chosen, why = choose_build([gpu(*one) for one in gpus])
    assert chosen.name == build
    assert reason in why
    assert chosen.index == f"https://download.pytorch.org/whl/{build}"


def test_what_nvidia_smi_says():
    found = read("gpu=580.95.05, 9.0, 143771, 143156, NVIDIA H200\nuid=0\n")
    assert found.gpus == [Gpu("NVIDIA H200", "580.95.05", (9, 0), 143771 * 2**20, 143156 * 2**20)]
    assert found.root
    broken = read(
        "gpu=NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
        "gpu=Make sure that the latest NVIDIA driver is installed and running.\n"
    )
    assert not broken.gpus
    assert "couldn't communicate with the NVIDIA driver. Make sure" in broken.driver_trouble
    assert "no GPU to use: nvidia-smi says 'NVIDIA-SMI has failed" in str(broken)
    build, reason = choose_build(broken.gpus, broken.driver_trouble)
    assert build.name == "cpu"
    assert "the driver does not work, nvidia-smi says 'NVIDIA-SMI has failed" in reason
