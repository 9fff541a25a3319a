from architectures.registry import ARCHITECTURES
from commands import main


def test_every_architecture_comes_with_its_parameters_and_defaults(capsys):
    assert main(["list_architectures"]) == 0
    shown = capsys.readouterr().out
    for name in ARCHITECTURES:
        assert f"\n{name}\n" in "\n" + shown
    for line in (
        "    num_units=512",
        "    num_conv_layers=5",
        "    reduction_factor=1",
        "    groups=2",
        "ld0_W=Normal(0.005):",
        "ln<i>_n=5: an odd whole number",
        "    num_units=4096",
        "lc<i>_num_filters=32: a whole number of at least 1",
        "lc<i>_nonlinearity=rectify: None or one of sigmoid, ",
        "lc<i>_W=HeUniform: ",
        "ld<i>_dropout=0.5: a number from 0",
    ):
        assert line in shown
    assert max(map(len, shown.splitlines())) <= 100
