from pathlib import Path

import matplotlib
import pytest

from results import drawing
from results.drawing import font

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
LACKING = "Ꭰ日\U0001d5d4"  # Cherokee, Japanese, a bold mathematical A
BOLD_A = "\U0001d5d4"  # which DejaVu Sans Bold has


@pytest.fixture
def fontconfig(tmp_path, monkeypatch):
    """Makes a fontconfig that answers as it is told, and counts its answers."""
    drawing._font_with.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))

    def answer(text, status=0):
        script = tmp_path / "fc-match"
        script.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {tmp_path}/asked\n"
                          f"printf '{text}'\nexit {status}\n")  # fmt: skip
        script.chmod(0o755)
        return tmp_path / "asked"

    yield answer
    drawing._font_with.cache_clear()


@pytest.mark.parametrize("text", ["", "Jazz — Blues…", "Жаз", "Ελλάδα", "עברית", "عربي", "a\nb\t"])
def test_what_the_usual_letters_have_asks_no_one(fontconfig, text):
    asked = fontconfig("nothing")
    assert font(16, text).path == str(FONTS / "DejaVuSans.ttf")
    assert not asked.exists()


def test_a_font_of_the_system_serves_what_they_lack(fontconfig):
    asked = fontconfig(f"0\\t{FONTS / 'DejaVuSans-Bold.ttf'}")
    for _ in range(2):
        assert font(16, f"Rock {BOLD_A}").path == str(FONTS / "DejaVuSans-Bold.ttf")
    assert font(12, BOLD_A).size == 12
    lines = asked.read_text().splitlines()
    assert len(lines) == 2 and lines[0].endswith(
        "sans-serif:charset=52 63 6b 6f 1d5d4:scalable=true:color=false"
    )


BOLD = f"{FONTS}/DejaVuSans-Bold.ttf"  # lacks two of LACKING, and has one face only


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "0\\t/no/font", f"0\\t{__file__}", f"99\\t{BOLD}", f"0\\t{BOLD}"],
)
def test_else_boxes_are_drawn(fontconfig, text):
    fontconfig(text)
    assert font(16, LACKING).path == str(FONTS / "DejaVuSans.ttf")


def test_a_system_without_fontconfig(fontconfig):
    assert font(16, LACKING).path == str(FONTS / "DejaVuSans.ttf")
    fontconfig("", status=1)
    assert font(16, LACKING[:2]).path == str(FONTS / "DejaVuSans.ttf")
