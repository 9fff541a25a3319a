import pytest

from lasagne.layers import Conv2DLayer, DenseLayer, InputLayer, MaxPool2DLayer
from results.tables import layer_rows, loss_text, network_table, shape_text
from training.memory import MemoryEstimate


def network():
    layer = InputLayer((None, 3, 10, 8), name="input")
    layer = MaxPool2DLayer(Conv2DLayer(layer, 4, 3, pad="same", name="lc0"), 2, name="lm0")
    return DenseLayer(layer, 5, name="output")


def test_every_layer_has_its_shape_parameters_and_memory():
    rows = layer_rows(network(), batch_size=10, precision="float32")
    assert [(row.name, row.output_shape, row.parameters) for row in rows] == [
        ("input", (3, 10, 8), 0),
        ("lc0", (4, 10, 8), 4 * 3 * 9 + 4),
        ("lm0", (4, 5, 4), 0),
        ("output", (5,), 80 * 5 + 5),
    ]
    assert rows[1].memory == 10 * 4 * 10 * 8 * 4 + 112 * 4


def test_outputs_are_half_as_large_in_bfloat16_and_twice_in_float64():
    single, half, double = (
        layer_rows(network(), 10, precision)[1].memory
        for precision in ("float32", "bfloat16", "float64")
    )
    assert half == 10 * 320 * 2 + 112 * 4
    assert double == 2 * single


def test_the_table_is_aligned_and_ends_with_the_totals():
    lines = network_table(network(), 10, "float32").splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "memory"]
    assert lines[-1].split()[:2] == ["total", "517"]
    rows = [line for line in lines if not line.startswith("-")]
    assert len({len(line) for line in rows}) == 1
    assert {line.index("Layer") > 0 for line in rows[1:-1]} == {True}


def test_what_a_training_takes_stands_below():
    estimate = MemoryEstimate("cpu", "float32", 0, 0, 10**6, 10**7, 10**8, 0, 1, 1, 1)
    lines = network_table(network(), 10, "float32", estimate).splitlines()
    assert lines[-1].startswith("memory: batch 1.0 MB, activations 10 MB, ")
    assert lines[:-1] == network_table(network(), 10, "float32").splitlines()


def test_layers_without_a_name_have_their_kind_and_position():
    layer = DenseLayer(DenseLayer(InputLayer((None, 3)), 4), 5, name="output")
    names = [row.name for row in layer_rows(layer, 1, "float32")]
    assert names == ["InputLayer0", "DenseLayer1", "output"]


@pytest.mark.parametrize(
    ("loss", "text"),
    [(0.12345, "0.1235"), (99_999.0, "99999.0000"), (1e5, "1.00e+05"), (9.876e30, "9.88e+30")],
)
def test_a_loss_that_explodes_is_written_in_three_digits(loss, text):
    assert loss_text(loss) == text


def test_shapes_as_text():
    assert shape_text((3, 224, 224)) == "3 × 224 × 224"
