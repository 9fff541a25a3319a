from common.pins import pinned_versions
from tests.paths import ROOT

TEXT = """\
# torch==1.0
torch==2.13.0  # the driver decides on the build
  indented==1
ruamel.yaml == 0.18.6
fabric[testing, extra]==3.2.3
local==2.0+cpu
-r other.txt
--index-url https://a/==b
unpinned>=3
old==1; python_version < "3.12"
"""


def test_pinned_lines_are_read():
    assert pinned_versions(TEXT) == {
        "torch": "2.13.0",
        "ruamel.yaml": "0.18.6",
        "fabric": "3.2.3",
        "local": "2.0+cpu",
    }


def test_our_own():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert [f"{name}=={version}" for name, version in pinned_versions(text).items()] == text.split()
