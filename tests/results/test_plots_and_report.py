import base64
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from results.confusion import confusion_picture
from results.plots import learning_curve
from results.report import write_report
from results.tables import LayerRow
from training.records import EpochRecord


def records(count: int) -> list[EpochRecord]:
    return [
        EpochRecord(i, 1 / i, 1.5 / i, 1 - 0.5 / i, 0.01, 1.0, 500.0) for i in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [1, 10, 200])
def test_a_learning_curve_is_a_picture_with_lines_in_it(tmp_path, count):
    learning_curve(records(count), "ConvNet on digits.pkl.zip", tmp_path / "curve.png")
    picture = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB")).astype(int)
    assert picture.shape == (480, 1200, 3)
    red = (picture[..., 0] > 200) & (picture[..., 1] < 150) & (picture[..., 2] < 160)
    assert red.sum() > (100 if count > 1 else 20)


def drawn(monkeypatch, tmp_path, records) -> list[Axes]:
    """The two axes of a learning curve."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    learning_curve(records, "x", tmp_path / "curve.png")
    return figures[0].axes


@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
def test_the_ticks_are_whole_epochs(monkeypatch, tmp_path, count):
    for axes in drawn(monkeypatch, tmp_path, records(count)):
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == int(tick) >= (1 if count < 10 else 0) for tick in ticks)
        labels = [text.get_text() for text in axes.get_xticklabels()]
        assert not any("." in label for label in labels)


def test_dots_at_an_edge_are_whole(monkeypatch, tmp_path):
    perfect = [EpochRecord(1, 2.0, 1.0, 0.5, 0.1, 1.0, 9.0), EpochRecord(2, 0, 0, 1.0, 0.1, 1, 9)]
    for axes in drawn(monkeypatch, tmp_path, perfect):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            assert not line.get_clip_on()
            for x, y in zip(*line.get_data(), strict=True):
                assert left <= x <= right and bottom <= y <= top


class Page(HTMLParser):
    """Checks that every tag is closed and collects texts and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_report_is_one_page_that_needs_no_other_file(tmp_path):
    curve = tmp_path / "curve.png"
    learning_curve(records(3), "x", curve)
    results = {"testing_accuracy": 0.98765, "parameters": 53002, "stopped": "finished"}
    options = {"dataset_path": "<b>&x", "model_params": "", "num_epochs": 3}
    layers = [LayerRow("lc0", "Conv2DLayer", (4, 8, 8), 1234, 5678)]
    report = tmp_path / "report.html"
    matrix = tmp_path / "matrix.png"
    confusion_picture(np.array([[3, 1], [0, 2]]), ["a", "b"], "x", matrix)
    write_report(report, "Net <1>", results, records(3), layers, options, curve, matrix)
    page = Page()
    page.feed(report.read_text(encoding="utf-8"))
    assert page.open == []
    embedded = [base64.b64encode(file.read_bytes()).decode() for file in (curve, matrix)]
    assert page.sources == [f"data:image/png;base64,{data}" for data in embedded]
    for text in ("98.77%", "53,002", "finished", "Net <1>", "<b>&x", "4 × 8 × 8", "1,234"):
        assert text in page.texts


@pytest.mark.parametrize(
    ("tested", "name"), [(7, "testing accuracy"), (10, "testing accuracy, epoch 10")]
)
def test_the_report_names_a_tested_epoch_that_is_not_the_best(tmp_path, tested, name):
    results = {"testing_accuracy": 0.5, "testing_epoch": tested, "best_epoch": 7}
    options = {"dataset_path": "x", "model_params": ""}
    matrix = tmp_path / "matrix.png"
    matrix.write_bytes(b"")
    none = tmp_path / "none.png"
    write_report(tmp_path / "report.html", "Net", results, [], [], options, none, matrix)
    page = Page()
    page.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.texts[page.texts.index("50.00%") + 1] == name
    untested = {"best_epoch": 7}
    write_report(tmp_path / "report.html", "Net", untested, [], [], options, none, none)


def test_the_report_tells_of_recordings_too(tmp_path):
    results = {
        "testing_accuracy": 0.5,
        "testing_recording_accuracy": 0.75,
        "testing_vote_accuracy": 0.25,
    }
    options = {"dataset_path": "x", "model_params": ""}
    matrix = tmp_path / "matrix.png"
    matrix.write_bytes(b"")
    none = tmp_path / "none.png"
    write_report(tmp_path / "report.html", "Net", results, [], [], options, none, matrix)
    page = Page()
    page.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    told = dict(zip(page.texts[1:], page.texts, strict=False))
    assert told["testing accuracy of patches"] == "50.00%"
    assert told["of recordings, by mean probability"] == "75.00%"
    assert told["of recordings, by majority vote"] == "25.00%"
