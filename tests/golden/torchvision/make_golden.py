"""Writes the golden files of this folder, with torchvision's own networks; run by hand alone.

pip install --no-deps --target /tmp/torchvision torchvision==0.28.0
PYTHONPATH=/tmp/torchvision python tests/golden/torchvision/make_golden.py
"""

import gc
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from weights import SIZES, WATCHED, parts, pictures, weights

# torchvision's compiled operators are for a GPU's PyTorch; no network has one of them, but its
# import wants to know these.
OPERATORS = torch.library.Library("torchvision", "DEF")
OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
OPERATORS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision import __version__, models  # noqa: E402

HERE = Path(__file__).parent
GRADIENTS = ["conv1.weight", "bn1.bias", "layer3.0.downsample.0.weight", "fc.weight"]


def main() -> None:
    """Write a file for each network."""
    for name, watched in WATCHED.items():
        torch.manual_seed(0)
        network = getattr(models, name)(weights=None).eval()
        state = network.state_dict()
        shapes = {key: list(value.shape) for key, value in state.items()}
        values = {key: torch.from_numpy(value) for key, value in weights(shapes).items()}
        network.load_state_dict(state | values)
        network.double()
        del state, values
        stored = {"spec": json.dumps({"torchvision": __version__, "shapes": shapes})}
        stored |= outputs(network, watched)
        if name == "resnet18":
            stored |= training(network)
        np.savez_compressed(HERE / f"{name}.npz", **stored)
        print(name, (HERE / f"{name}.npz").stat().st_size)
        del network
        gc.collect()


def outputs(network: torch.nn.Module, watched: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the outputs before the softmax, and parts of what is inside, for all sizes."""
    found: dict[str, np.ndarray] = {}
    for size, shape in SIZES.items():

        def keep(module: torch.nn.Module, value: torch.Tensor, key: str) -> None:
            """Store the first value: torchvision's rectifiers change it afterwards."""
            found.setdefault(key, parts(value.detach().numpy()))

        modules = dict(network.named_modules())
        hooks = [
            modules[one].register_forward_hook(
                lambda module, _, value, key=f"{size} {one}": keep(module, value, key)
            )
            for one in watched
        ]
        with torch.no_grad():
            logits = network(torch.from_numpy(pictures(shape)).double())
        found[f"{size} logits"] = logits.numpy().astype(np.float32)
        for hook in hooks:
            hook.remove()
    return found


def training(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return what a pass in training gives: outputs, gradients and running means."""
    network.train()
    x = torch.from_numpy(pictures((4, 3, 64, 64))).double()
    logits = network(x)
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    found = {"training logits": logits.detach().numpy().astype(np.float32)}
    params = dict(network.named_parameters())
    found |= {f"gradient {key}": parts(params[key].grad.numpy()) for key in GRADIENTS}
    state = network.state_dict()
    means = ["bn1.running_mean", "layer4.1.bn2.running_mean"]
    return found | {key: parts(state[key].numpy()) for key in means}


if __name__ == "__main__":
    main()
