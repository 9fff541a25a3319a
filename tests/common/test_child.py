import signal
import subprocess
import sys
import time

from common.child import close_pipe, start_child
from tests.paths import ROOT

PROGRAM = """
import pathlib, signal, sys, time
def end(number, frame):
    pathlib.Path("ended").write_text(str(number))
    sys.exit()
signal.signal(signal.SIGTERM, end)
print(sys.argv[1:], sys.path[0], __name__, flush=True)
time.sleep(60)
"""
STARTER = """
import sys, time
from common.child import start_child
process = start_child(sys.argv[1:], cwd=sys.argv[2])
time.sleep(60)
"""


def test_a_child_ends_when_its_starter_is_killed(tmp_path):
    """Real processes: the starter is killed by SIGKILL, the child writes what SIGTERM tells it."""
    program, ended = tmp_path / "program.py", tmp_path / "ended"
    program.write_text(PROGRAM)
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, program, tmp_path], stdout=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip
    assert starter.stdout is not None
    assert starter.stdout.readline() == f"['{tmp_path}'] {tmp_path} __main__\n"
    starter.kill()
    starter.communicate()
    deadline = time.monotonic() + 30
    while not (ended.exists() and ended.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ended.read_text() == str(int(signal.SIGTERM))


def test_a_child_ends_by_itself(tmp_path):
    (tmp_path / "program.py").write_text("import sys; sys.exit(7)")
    process = start_child([str(tmp_path / "program.py")])
    assert process.wait() == 7
    close_pipe(process)


def test_closing_the_pipe_ends_it(tmp_path):
    (tmp_path / "program.py").write_text("import time; time.sleep(60)")
    process = start_child([str(tmp_path / "program.py")])
    close_pipe(process)
    assert process.wait(30) == -signal.SIGTERM
