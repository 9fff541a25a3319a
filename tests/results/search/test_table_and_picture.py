import csv

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from results.plots import BEST, VALIDATION
from results.search.picture import search_picture
from results.search.table import Row, best_of, evaluations_table, write_csv
from training.search.parameters import parse_space

PARAMETERS = {
    one.name: one
    for one in parse_space(
        "rate__loguniform=-12,-5:units__qloguniform=2,6,1:dropout__uniform=0,1:width__normal=0,1:"
        "rule__choice=adam,nesterov_momentum,sgd:size__choice=(3, 3),5:only__choice=1"
    )
}


def row(number: int, error: float, **changes) -> Row:
    result = {"status": "ok", "loss": error, "stopped": "finished", "epochs": 3, "seconds": 1.25}
    point = {
        "rate": 10.0 ** -(2 + number % 3),
        "units": 8 * number,
        "dropout": 1 / number,
        "width": -number,
        "rule": ("adam", "nesterov_momentum", "sgd")[number % 3],
        "size": ((3, 3), 5)[number % 2],
        "only": 1,
    }
    if number % 4 == 0:
        del point["dropout"]
    return Row(number, point, result | {"folder": f"eval-{number:04d}"} | changes)


def failed(number: int) -> Row:
    return row(number, 1.0, status="fail", stopped="diverged", reason="The loss, no number")


ROWS = [row(1, 0.5), failed(2), row(3, 0.25), row(4, 0.3, stopped="stopped early"), row(5, 0.25)]


def test_the_best_is_the_first_of_the_lowest_errors():
    assert best_of(ROWS).number == 3
    assert best_of([failed(1)]) is None
    assert best_of([]) is None


def test_the_table_is_ordered_by_error():
    head, rule, *lines = evaluations_table(ROWS, list(PARAMETERS)).splitlines()
    assert head.split()[:6] == ["rank", "evaluation", "error", "epochs", "seconds", "rate"]
    assert set(rule) == {"-"}
    assert [line.split()[:3] for line in lines[:4]] == [
        ["1", "3", "25.00%"],
        ["2", "5", "25.00%"],
        ["3", "4", "30.00%"],
        ["4", "1", "50.00%"],
    ]
    assert lines[2].endswith("stopped early")
    assert lines[4].split()[0] == "2"
    assert lines[4].endswith("diverged")
    many = evaluations_table([row(i, 1 / i) for i in range(1, 31)], ["rate"]).splitlines()
    assert len(many) == 23
    assert many[-1] == "and 10 more"


def test_the_csv_has_all_of_them_in_order(tmp_path):
    write_csv(ROWS, list(PARAMETERS), tmp_path / "evaluations.csv")
    with (tmp_path / "evaluations.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["evaluation"] for line in lines] == ["1", "2", "3", "4", "5"]
    assert lines[1]["reason"] == "The loss, no number"
    assert lines[1]["stopped"] == "diverged"
    assert float(lines[2]["error"]) == 0.25
    assert float(lines[2]["dropout"]) == 1 / 3
    assert lines[3]["dropout"] == ""
    assert lines[0]["folder"] == "eval-0001"


def count(path, color: str) -> int:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")) / 255
    return int((np.abs(pixels - to_rgb(color)).max(axis=2) < 0.02).sum())


@pytest.mark.parametrize(
    "rows",
    [
        [row(1, 0.0)],
        ROWS,
        [failed(1), row(2, 0.4)],
    ],
    ids=["one", "every kind", "failed first"],
)
def test_the_picture_has_a_line_of_the_best_and_marks_failures(tmp_path, rows):
    path = tmp_path / "search.png"
    search_picture(rows, PARAMETERS, "a search", path)
    assert count(path, BEST) > 100
    assert (count(path, VALIDATION) > 50) == any(one.failed for one in rows)
