import inspect

import pytest
import torch

from architectures.keywords import CONV, DENSE, MAX_POOL, RESPONSE_NORM
from architectures.registry import ARCHITECTURES, build, parameters
from architectures.temporal import MIRDL
from common.errors import CommandError
from common.params import parse_params
from lasagne.layers import (
    Conv2DLayer,
    DenseLayer,
    LocalResponseNormalization2DLayer,
    MaxPool2DLayer,
    Network,
    count_params,
    get_all_layers,
)

BLOG_CONVNET = (
    "num_conv_layers=5:num_dense_layers=2:lc0_num_filters=48:lc0_filter_size=11:lc0_stride=4:"
    "lc0_mp=True:lm0_pool_size=3:lm0_stride=2:lc1_num_filters=128:lc1_filter_size=5:lc1_mp=True:"
    "lm1_pool_size=3:lm1_stride=2:lc2_num_filters=192:lc2_filter_size=3:lc3_num_filters=192:"
    "lc3_filter_size=3:lc4_num_filters=128:lc4_filter_size=3:lc4_mp=True:lm4_pool_size=3:"
    "lm4_stride=2:ld0_num_units=2048:ld1_num_units=2048"
)
INPUT_SHAPES = {"SingleLayerMlp": (100,), "LasagneMnistExample": (3, 5, 5)}
SMALLER = {
    "VggNet": {"reduction_factor": 32},
    "AlexNet": {"ld0_num_units": 32},
    "CaffeAlexNet": {"ld0_num_units": 32, "ld1_num_units": 32},
    "TorchvisionAlexNet": {"num_units": 32},
    "TorchvisionVgg16": {"num_units": 32},
    "TorchvisionVgg19": {"num_units": 32},
}
INPUT_SHAPES |= {"CaffeAlexNet": (3, 67, 67)}
INPUT_SHAPES |= dict.fromkeys(("TemporalNet", *MIRDL), (1, 40, 250))


def described(layer):
    return [(type(one).__name__, one.output_shape) for one in get_all_layers(layer)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_computes_probabilities_and_learns(name):
    shape = INPUT_SHAPES.get(name, (3, 64, 64))
    params = SMALLER.get(name, {})
    network = Network(build(name, shape, 7, params))
    outputs = network(torch.rand(2, *shape))
    assert outputs.shape == (2, 7)
    assert torch.allclose(outputs.sum(1), torch.ones(2))
    outputs[:, 0].log().sum().backward()
    assert all(torch.isfinite(param.grad).all() for param in network.parameters())


def test_the_blogs_convnet_is_its_alexnet():
    spelled = build("ConvNet", (3, 224, 224), 10, parse_params(BLOG_CONVNET))
    named = build("AlexNet", (3, 224, 224), 10, {})
    assert described(spelled) == described(named)


def test_the_blogs_alexnet_with_more_filters():
    network = build("AlexNet", (3, 224, 224), 10, parse_params("lc0_num_filters=64"))
    assert described(network)[1] == ("Conv2DLayer", (None, 64, 56, 56))


@pytest.mark.parametrize("name", ["num_units", "num_hidden_units"])
def test_the_mlps_units_have_two_names(name):
    assert (
        count_params(build("SingleLayerMlp", (784,), 10, {name: 256})) == 784 * 256 + 256 * 11 + 10
    )


def test_both_names_at_once_are_refused():
    with pytest.raises(CommandError, match="are one parameter"):
        build("SingleLayerMlp", (784,), 10, {"num_units": 1, "num_hidden_units": 2})


@pytest.mark.parametrize("name", ["AlexNet", "CaffeAlexNet"])
def test_a_max_pool_or_a_normalisation_of_the_defaults_can_be_left_out(name):
    params = {"lc0_mp": False, "lc0_lrn": False, "ld0_num_units": 8}
    names = [layer.name for layer in get_all_layers(build(name, (3, 99, 99), 10, params))]
    assert names[1:4] == ["lc0", "lc1", "lm1"]


def test_the_mnist_convnet_has_the_max_pools_that_its_docstring_promised():
    kinds = [kind for kind, _ in described(build("LasagneMnistConvExample", (1, 28, 28), 10, {}))]
    assert kinds.count("MaxPool2DLayer") == 2


def test_vggs_reduction_factor_divides_filters_and_units():
    network = build("VggNet", (3, 32, 32), 10, {"reduction_factor": 8})
    filters = [one.num_filters for one in get_all_layers(network) if isinstance(one, Conv2DLayer)]
    assert filters == [8, 8, 16, 16, 32, 32, 32, 64, 64, 64, 64, 64, 64]


@pytest.mark.parametrize(
    ("rules", "layer"),
    [
        (CONV, Conv2DLayer),
        (MAX_POOL, MaxPool2DLayer),
        (RESPONSE_NORM, LocalResponseNormalization2DLayer),
        (DENSE, DenseLayer),
    ],
)
def test_every_keyword_of_the_layer_has_a_rule(rules, layer):
    elsewhere = {"incoming", "kwargs", "convolution", "num_leading_axes", "name"}
    accepted = set(inspect.signature(layer).parameters) - elsewhere
    assert accepted - {"num_groups"} == set(rules) - {"num_groups"}


@pytest.mark.parametrize(
    "params",
    [
        "lc0_num_filters=4:lc0_filter_size=(3,5):lc0_stride=2:lc0_pad=1:lc0_nonlinearity=tanh",
        "lc0_W=GlorotNormal:lc0_b=None:lc0_untie_biases=False:lc0_flip_filters=False",
        "lc0_W=0.1:lc0_b=0.5:lc0_nonlinearity=None:lc0_num_groups=3:lc0_num_filters=6",
        "lc0_mp=True:lm0_pool_size=(2,3):lm0_stride=None:lm0_pad=1:ld0_W=HeNormal",
        "lc0_mp=True:lm0_ignore_border=False:ld0_nonlinearity=leaky_rectify:ld0_b=None",
        "num_dense_layers=0:num_conv_layers=0",
        "lc0_pad=full:ld0_dropout=0:ld0_num_units=3",
        "lc0_lrn=True:ln0_alpha=0.1:ln0_k=1:ln0_beta=0.5:ln0_n=3:lc0_W=Normal(0.03)",
        "lc0_mp=True:lc0_lrn=True:ld0_W=Uniform(1e-2):ld0_b=Normal(0.1)",
    ],
)
def test_keywords_reach_their_layer(params):
    network = Network(build("ConvNet", (3, 12, 12), 4, parse_params(params)))
    assert network(torch.rand(2, 3, 12, 12)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        (
            "ConvNet",
            "lc0_num_filtres=3",
            r"ConvNet's layer lc0: Unknown parameter 'num_filtres'\. Did",
        ),
        (
            "ConvNet",
            "lc0_num_filters=many",
            "lc0: the parameter 'num_filters' is 'many'; it accepts a",
        ),
        ("ConvNet", "lc0_num_filters=0", "it accepts a whole number of at least 1"),
        ("ConvNet", "lc0_mp=1", "it accepts True or False"),
        ("ConvNet", "lc0_nonlinearity=rectified", "Did you mean 'rectify'"),
        ("ConvNet", "lc0_nonlinearity=relu", "Did you mean 'rectify'"),
        ("ConvNet", "lc0_mp=true", "Did you mean 'True'"),
        ("ConvNet", "lc0_W=HeUnifrom", "Did you mean 'HeUniform'"),
        ("ConvNet", "ld0_dropout=1.5", "a number from 0"),
        ("ConvNet", "lc0_W=Normal(-1)", r"'Normal\(-1\)'; it accepts a number, one of Glorot"),
        ("ConvNet", "lc0_W=Normal(much)", "as in Normal"),
        ("ConvNet", "lc0_W=HeNormal(0.1)", "as in Normal"),
        ("ConvNet", "lc0_lrn=yes", "'lrn' is 'yes'; it accepts True or False"),
        ("ConvNet", "ln0_alpha=1", "the normalisation ln0, .* give lc0_lrn=True as well"),
        ("ConvNet", "ln1_alpha=1", r"no layer ln1 .* its ln layers are: ln0 "),
        ("ConvNet", "lc0_lrn=True:ln0_n=4", "layer ln0: .* 4; it accepts an odd whole number"),
        ("ConvNet", "lc0_lrn=True:ln0_k=0", "it accepts a number above 0"),
        ("ConvNet", "lc0_lrn=True:ln0_aplha=1", "Did you mean 'alpha'"),
        ("TorchvisionAlexNet", "num_units=x", "'num_units' is 'x'; it accepts a whole number"),
        ("TorchvisionVgg16", "num_units=0", r"The layer classifier_0 \(DenseLayer\) does not fit"),
        ("TorchvisionResNet18", "num_units=8", "Unknown parameter 'num_units'"),
        ("CaffeAlexNet", "groups=3", r"The layer lc1 .* must divide the 96 input channels"),
        ("CaffeAlexNet", "groups=0", "'num_groups' is 0; it accepts a whole number of at least 1"),
        ("CaffeAlexNet", "flip_filters=1", "'flip_filters' is 1; it accepts True or False"),
        ("CaffeAlexNet", "lc0_lrn=False:ln0_k=1", "give lc0_lrn=True as well"),
        ("ConvNet", "lc1_num_filters=3", r"no layer lc1 .* its lc layers are: lc0 "),
        ("ConvNet", "lm0_pool_size=3", "give lc0_mp=True as well"),
        (
            "ConvNet",
            "num_conv_layer=2",
            "Unknown parameter 'num_conv_layer'. Did you mean 'num_conv",
        ),
        ("ConvNet", "num_conv_layers=two", "ConvNet: the parameter 'num_conv_layers' is 'two'"),
        ("ConvNet", "lc0_filter_size=4", r"The layer lc0 \(Conv2DLayer\) does not fit"),
        (
            "ConvNet",
            "lc0_filter_size=99:lc0_pad=valid",
            r"The layer lc0 \(Conv2DLayer\) does not fit",
        ),
        ("ConvNet", "lc0_num_groups=2", r"The layer lc0 \(Conv2DLayer\) does not fit"),
        ("SingleLayerMlp", "num_unit=3", "Unknown parameter 'num_unit'. Did you mean 'num_units'"),
        ("SingleLayerMlp", "num_units=0", r"The layer ld0 \(DenseLayer\)"),
        ("VggNet", "reduction_factor=0", "it accepts 1 to 64"),
        ("VggNet", "reduction_factor=100", "it accepts 1 to 64"),
        ("LasagneMnistConvExample", "max_pools=3", "it accepts True or False"),
        ("AlexNet", "lc0_stride=x", "AlexNet's layer lc0: the parameter 'stride' is 'x'"),
    ],
)
def test_a_wrong_parameter_names_layer_parameter_and_what_is_accepted(name, params, sentence):
    shape = {"SingleLayerMlp": (100,), "TorchvisionAlexNet": (3, 64, 64)}.get(name, (3, 32, 32))
    with pytest.raises(CommandError, match=sentence):
        build(name, shape, 10, parse_params(params))


def test_an_unknown_architecture_gets_the_near_name_and_the_list():
    with pytest.raises(
        CommandError, match=r"'convnet'\. Did you mean 'ConvNet'\? Valid: AlexNet, "
    ):
        build("convnet", (3, 8, 8), 10, {})


@pytest.mark.parametrize(
    ("shape", "advice"), [((784,), r"\(1, 28, 28\)"), ((48,), r"\(3, 4, 4\)"), ((7,), "channels")]
)
@pytest.mark.parametrize(
    "name",
    [
        *("ConvNet", "AlexNet", "CaffeAlexNet", "VggNet", "LasagneMnistConvExample"),
        *("TorchvisionAlexNet", "TorchvisionVgg16", "TorchvisionVgg19"),
        *("TorchvisionResNet18", "TorchvisionResNet50"),
    ],
)
def test_pictures_are_asked_for_with_the_reshape_that_would_do(name, shape, advice):
    with pytest.raises(CommandError, match=f"{name} needs pictures.*--reshape-to '.*{advice}"):
        build(name, shape, 10, {})


def test_pictures_too_small_for_the_network_name_the_layer():
    with pytest.raises(CommandError, match=r"The layer lm\d \(MaxPool2DLayer\) does not fit"):
        build("AlexNet", (3, 8, 8), 10, {})
    with pytest.raises(CommandError, match="The layer lc0 .* larger pictures or fewer layers"):
        build("CaffeAlexNet", (3, 8, 8), 10, {})


OWN = """
from __future__ import annotations
from lasagne.layers import DenseLayer
from lasagne.nonlinearities import softmax

def tiny(incoming, num_classes, num_units: int = 4):
    return DenseLayer(DenseLayer(incoming, num_units), num_classes, nonlinearity=softmax)

def wrong(incoming, num_classes):
    return DenseLayer(incoming, num_classes + 1)

def nothing(incoming, num_classes):
    pass

def needy(incoming, num_classes, num_units, other: Unknown = None):
    pass

def short(incoming):
    pass
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(OWN)
    return file


def test_an_architecture_of_ones_own(own):
    network = build(f"{own}:tiny", (6,), 3, {"num_units": 5})
    assert count_params(network) == 6 * 5 + 5 + 5 * 3 + 3


@pytest.mark.parametrize(
    ("function", "params", "sentence"),
    [
        ("tinny", {}, "no function 'tinny'. Did you mean 'tiny'"),
        ("tiny", {"num_units": "x"}, "the parameter 'num_units' is 'x'"),
        ("tiny", {"units": 3}, "Unknown parameter 'units'"),
        ("wrong", {}, r"it must return its output layer, of shape \(None, 3\)"),
        ("nothing", {}, "returned NoneType"),
        ("needy", {}, "missing a required argument: 'num_units'; give what is missing"),
        ("short", {}, "can't be called with"),
    ],
)
def test_mistakes_in_ones_own_architecture(own, function, params, sentence):
    with pytest.raises(CommandError, match=sentence):
        build(f"{own}:{function}", (6,), 3, params)


@pytest.mark.parametrize("code", ["import nothing_of_this_name", "def tiny(:", "1 / 0"])
def test_a_file_that_fails_gives_a_sentence(tmp_path, code):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(CommandError, match=r"mine\.py fails with \w+Error: .*--traceback"):
        build(f"{tmp_path / 'mine.py'}:tiny", (6,), 3, {})


def test_a_file_without_its_function():
    with pytest.raises(CommandError, match=r"mine\.py lacks its function; give mine\.py:FUNCTION"):
        build("mine.py", (6,), 3, {})


def test_a_missing_file_of_ones_own(tmp_path):
    with pytest.raises(CommandError, match="does not exist"):
        build(f"{tmp_path / 'none.py'}:tiny", (6,), 3, {})


def test_parameters_leave_out_what_the_program_gives():
    assert list(parameters(ARCHITECTURES["SingleLayerMlp"])) == ["num_units", "num_hidden_units"]
