import os
import pty
import subprocess
import sys

from common import progress as module
from common.progress import progress
from tests.paths import ROOT


def test_a_log_gets_plain_lines_with_rate_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(module, "LOG_EVERY", 0.0)
    with progress("epoch 1", 4, "images") as advance:
        for _ in range(4):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        f"epoch 1: {done} of 4" for done in (1, 2, 3)
    ]
    assert all("images/s" in line and "s left" in line for line in lines)


def test_short_work_says_nothing_in_a_log(capsys):
    with progress("epoch 1", 4, "images") as advance:
        advance(4)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar():
    code = (
        "import time\n"
        "from common.progress import progress\n"
        "with progress('decoding', 3, 'pictures') as advance:\n"
        "    for _ in range(3): time.sleep(0.2); advance(1)\n"
    )
    main, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stderr=terminal, env=environment, check=True
    )
    os.close(terminal)
    shown = os.read(main, 100_000).decode()
    os.close(main)
    assert "decoding" in shown
    assert "pictures/s" in shown
    assert "3/3" in shown
