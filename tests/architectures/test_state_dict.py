"""State dicts as PyTorch writes them, networks that they do not fit, and hostile files."""

import os
import pickle
import shutil
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from architectures.state_dict import read_state_dict, state_dict_values
from common.errors import CommandError
from lasagne.layers import (
    BatchNormLayer,
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    Layer,
    LSTMLayer,
    Network,
    set_all_param_values,
)


def module() -> nn.Module:
    """A network of PyTorch's, with running averages that are not those of the start."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6))
    network = nn.Sequential(
        OrderedDict(
            first=nn.Conv2d(2, 4, (3, 2)),
            block=block,
            flat=nn.Flatten(),
            fc=nn.Linear(6 * 4 * 5, 3),
        )
    )
    network(torch.rand(9, 2, 8, 8))
    with torch.no_grad():
        block[1].weight.uniform_(0.5, 2)
        block[1].bias.uniform_(-1, 1)
    return network.eval()


def layers(flip_filters: bool = False, num_units: int = 3, **names: str) -> Layer:
    kwargs = {"nonlinearity": None, "flip_filters": flip_filters}
    layer = InputLayer((None, 2, 8, 8), name="input")
    layer = Conv2DLayer(layer, 4, (3, 2), name="first", **kwargs)
    layer = Conv2DLayer(layer, 6, 3, num_groups=2, b=None, name="block_0", **kwargs)
    layer = BatchNormLayer(layer, epsilon=1e-5, name="block_1")
    return DenseLayer(layer, num_units, nonlinearity=None, **{"name": "fc"} | names)


def save_zip(state, path):
    torch.save(state, path)


def save_legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMATS = {
    "zip.pth": save_zip,
    "legacy.pt": save_legacy,
    "weights.safetensors": lambda state, path: save_file(dict(state), path),
}


@pytest.mark.parametrize("flip_filters", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_a_network_computes_what_pytorchs_does(tmp_path, name, flip_filters):
    theirs = module()
    FORMATS[name](theirs.state_dict(), tmp_path / name)
    state = read_state_dict(tmp_path / name)
    assert list(state) == list(theirs.state_dict()) or name.endswith("safetensors")
    output = layers(flip_filters)
    set_all_param_values(output, state_dict_values(output, state))
    x = torch.rand(3, 2, 8, 8)
    ours = Network(output)(x, deterministic=True)
    torch.testing.assert_close(ours, theirs(x), rtol=1e-5, atol=1e-6)


def test_tensors_of_pytorchs_first_releases_are_read(tmp_path):
    """They were pickled by a function without the hooks' argument."""

    class Old:
        def __init__(self, tensor):
            self.tensor = tensor

        def __reduce__(self):
            storage = torch.storage.TypedStorage(
                wrap_storage=self.tensor.untyped_storage(), dtype=torch.float32, _internal=True
            )
            return torch._utils._rebuild_tensor, (storage, 0, (2, 3), (3, 1))

    tensor = torch.rand(2, 3)
    save_legacy(OrderedDict(weight=Old(tensor)), tmp_path / "old.pth")
    assert torch.equal(read_state_dict(tmp_path / "old.pth")["weight"], tensor)


def changed(**tensors):
    """The state dict with others in it; None takes one away, __ stands for a dot."""
    state = module().state_dict() | {
        key.replace("__", "."): value for key, value in tensors.items()
    }
    return {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"first__weight": None}, "have no weight for the layer Conv2DLayer 'first'; give"),
        ({"block__1__running_var": None}, "no running_var for the layer BatchNormLayer 'block_1'"),
        ({"first__bias": None, "fc__bias": None}, "have no bias for the layer Conv2DLayer 'first'"),
        ({"block__0__bias": torch.zeros(6)}, "have 'block.0.bias', which belongs to no layer"),
        ({"first_weight": torch.zeros(1)}, "have 'first_weight', which belongs to no layer"),
        ({"module__fc__bias": torch.zeros(3)}, "have 'module.fc.bias', which belongs to no layer"),
        (
            {"fc__weight": torch.zeros(1000, 120)},
            r"have 'fc.weight' of shape \(1000, 120\), where the layer DenseLayer 'fc' needs "
            r"\(3, 120\); give the --model-architecture that they are of, with as many labels",
        ),
        ({"fc__weight": torch.zeros(120, 3)}, r"'fc.weight' of shape \(120, 3\), .* \(3, 120\)"),
        ({"first__weight": torch.zeros(4, 2, 2, 3)}, r"shape \(4, 2, 2, 3\), .* \(4, 2, 3, 2\)"),
        ({"fc__bias": torch.zeros(3, dtype=torch.int64)}, "'fc.bias' of torch.int64, which is no"),
        ({"fc__bias": torch.zeros(3, dtype=torch.complex64)}, "of torch.complex64, which is no"),
        ({"fc__bias": torch.zeros(3).to_sparse()}, "'fc.bias' of torch.float32, which is no array"),
        ({"fc__bias": torch.zeros(3, device="meta")}, "'fc.bias' of torch.float32, which is no"),
        ({"fc__bias": torch.tensor([0, 1, torch.nan])}, "numbers in 'fc.bias' that no trained"),
        ({"block__1__running_var": -torch.ones(6)}, "numbers in 'block.1.running_var' that no"),
    ],
)
def test_what_does_not_fit_first_is_named(tensors, sentence):
    with pytest.raises(CommandError, match=f"^The weights .*{sentence}"):
        state_dict_values(layers(), changed(**tensors))


def test_old_state_dicts_have_no_count_of_batches_and_halves_are_numbers_too():
    values = state_dict_values(layers(), changed(block__1__num_batches_tracked=None))
    halves = {key: value.half() for key, value in changed().items()}
    for value, half in zip(values, state_dict_values(layers(), halves), strict=True):
        torch.testing.assert_close(value, half.to(value.dtype), rtol=3e-3, atol=1e-3)


def test_layers_that_no_state_dict_can_have():
    with pytest.raises(CommandError, match="have no weight for the layer DenseLayer;"):
        state_dict_values(layers(name=None), changed())
    recurrent = LSTMLayer(InputLayer((None, 5, 4)), 3, name="lstm")
    with pytest.raises(CommandError, match="cannot be those of the layer LSTMLayer 'lstm', whose"):
        state_dict_values(recurrent, {})


class Hostile:
    """Creates a file when it is unpickled by a program that runs what it is told to."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    "save", [save_zip, save_legacy, lambda o, p: p.write_bytes(pickle.dumps(o))]
)
def test_nothing_of_a_hostile_file_is_run(tmp_path, save, inside):
    marker, path = tmp_path / "marker", tmp_path / "weights.pth"
    hostile = Hostile(marker)
    save({"fc.weight": torch.zeros(2), "fc.bias": hostile} if inside else hostile, path)
    with pytest.raises(CommandError) as error:
        read_state_dict(path)
    assert not marker.exists()
    assert "\n" not in str(error.value)
    assert "posix.system" in str(error.value) or save not in (save_zip, save_legacy)
    if save is save_zip:
        torch.load(path, weights_only=False)
        assert marker.exists()


def test_a_hostile_pickle_is_no_safetensors_file(tmp_path):
    save_zip(Hostile(tmp_path / "marker"), tmp_path / "weights.safetensors")
    with pytest.raises(
        CommandError, match=r"weights\.safetensors cannot be read: .*; get the file"
    ):
        read_state_dict(tmp_path / "weights.safetensors")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_end_in_a_sentence(tmp_path, name):
    path = tmp_path / name
    FORMATS[name](module().state_dict(), path)
    whole = path.read_bytes()
    for size in sorted({0, 3, 8, 100, len(whole) // 2, len(whole) - 30, len(whole) - 1}):
        path.write_bytes(whole[:size])
        with pytest.raises(CommandError, match=rf"^The weights .*{name} cannot be read: [^\n]*;"):
            read_state_dict(path)


def test_a_changed_byte_of_a_zip_file_is_seen(tmp_path):
    path = tmp_path / "weights.pth"
    state = module().state_dict()
    save_zip(state, path)
    data = bytearray(path.read_bytes())
    data[data.index(state["fc.weight"].numpy().tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(CommandError, match="cannot be read"):
        read_state_dict(path)


def test_a_compressed_zip_file_is_refused(tmp_path):
    """PyTorch writes none, and would take the compressed bytes for numbers."""
    save_zip({"fc.bias": torch.zeros(10_000)}, tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "weights.pth", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    with pytest.raises(CommandError, match="cannot be read"):
        read_state_dict(tmp_path / "weights.pth")


def test_a_torchscript_archive_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    save_zip(module().state_dict(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("weights/constants.pkl", pickle.dumps(()))
    with pytest.raises(CommandError, match="cannot be read"):
        read_state_dict(path)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"epoch": 3}, "have 'epoch', which is of int, where tensors by name are needed; save a"),
        ({"model": {"fc.bias": torch.zeros(3)}}, "have 'model', which is of dict"),
        ({3: torch.zeros(3)}, "have a name that is of int"),
        ([torch.zeros(3)], "hold one list"),
        (torch.zeros(3), "hold one Tensor"),
    ],
)
def test_files_of_something_else(tmp_path, save, content, sentence):
    save(content, tmp_path / "weights.pth")
    with pytest.raises(CommandError, match=rf"^The weights .*weights\.pth {sentence}"):
        read_state_dict(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", FORMATS)
def test_a_path_that_leads_nowhere(tmp_path, name):
    with pytest.raises(CommandError, match=f"{name} cannot be read: .*No such file"):
        read_state_dict(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(CommandError, match=f"{name} cannot be read: "):
        read_state_dict(tmp_path / name)
    shutil.rmtree(tmp_path / name)
    (tmp_path / name).write_text("<html>404 Not Found</html>")
    with pytest.raises(CommandError, match=f"{name} cannot be read: "):
        read_state_dict(tmp_path / name)
