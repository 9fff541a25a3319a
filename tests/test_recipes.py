"""experiments/ holds recipes that their commands understand."""

from pathlib import Path

import pytest

from architectures.registry import build
from commands import load, parse
from common.params import parse_params
from lasagne.layers import count_params
from tests.paths import ROOT

FOLDER = ROOT / "experiments"
COUNTS = {  # with 40 bands and 8 labels, as the paper's table says
    "oNetOne": 4188,
    "pNetOne": 7428,
    "oNetpNet": 11608,
    "oNetTwopNetTwo": 23208,
    "oNetFourpNetFour": 46408,
    "oNetEightpNetEight": 92808,
}


@pytest.mark.parametrize("recipe", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_of_an_experiment(recipe):
    parse(load("run_experiment"), "run_experiment", ["--config", str(recipe)])


@pytest.mark.parametrize("recipe", sorted(FOLDER.glob("mirdl/*.yaml")), ids=lambda path: path.stem)
def test_a_row_of_mirdl_s_paper(recipe):
    options = parse(load("run_cross_validation"), "run_cross_validation", ["--config", str(recipe)])
    options.check()
    name, _, hop = recipe.stem.partition("-hop-")
    assert (options.model_architecture, options.patch_hop) == (name, int(hop))
    assert options.dataset_path == Path("data/ballroom.pkl.zip")
    network = build(name, (1, 40, 250), 8, parse_params(options.model_params))
    assert count_params(network) == COUNTS.get(name, count_params(network))
