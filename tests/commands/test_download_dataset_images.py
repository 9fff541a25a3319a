"""The command as a process: its exit status, Ctrl-C, and being killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands.download_dataset_images import Options, run
from common.errors import CommandError
from tests.datasets.misbehaving_server import Server, picture, zeros
from tests.paths import ROOT


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def write_links(server, tmp_path):
    def write(*paths):
        lines = [f"{server.address}/{path}\tl{n % 3}/{n}.jpg" for n, path in enumerate(paths)]
        (tmp_path / "dataset-links.tsv").write_text("\n".join(lines))

    return write


def start(*options):
    command = [sys.executable, str(ROOT / "manage.py"), "download_dataset_images", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(number, out):
    end = time.monotonic() + 20
    while len(list(out.rglob("*.jpg"))) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


def check(out, number=None):
    pictures = list(out.rglob("*.jpg"))
    assert all(path.read_bytes() == picture() for path in pictures)
    assert number is None or len(pictures) == number


def test_the_originals_command_line(write_links, tmp_path):
    write_links("ok/1", "ok/2", "ok/3")
    process = start("--out-dir", "images", "--dataset-links-tsv", "dataset-links.tsv",
                    "--num-threads", "10")  # fmt: skip
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == [
        f"3 of 3 pictures are there ({3 * len(picture()) / 1e6:.1f} MB): 3 fetched, 0 from before.",
        "Report: images/download-report.tsv",
    ]
    check(tmp_path / "images", 3)


def test_status_1_where_some_are_missing(write_links, tmp_path, capsys):
    write_links("ok/1", "404", "410")
    with pytest.raises(CommandError) as error:
        run(Options(tmp_path / "images"))
    assert error.value.status == 1
    assert str(error.value) == (
        f"2 of 3 pictures are missing; {tmp_path}/images/download-report.tsv says why, for each."
    )
    out = capsys.readouterr().out
    assert "      2 gone (404, 410): 127.0.0.1" in out
    assert "Another try is not likely to bring any of them." in out


def test_ctrl_c_ends_in_a_second_and_the_next_run_goes_on(write_links, server, tmp_path):
    paths = [f"slow/{n}" for n in range(40)] + [f"hang/{n}" for n in range(4)]
    write_links(*paths, "trickle-headers", "hang-in-body")
    out = tmp_path / "images"
    process = start("--out-dir", "images", "--num-threads", "16")
    wait_for(8, out)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert time.monotonic() - began < 1
    assert process.returncode == 130
    assert "Stopped; the same command goes on from here." in err
    assert "Traceback" not in err
    check(out)
    assert not list(out.rglob("*.partial"))
    rows = [row.split("\t") for row in (out / "download-report.tsv").read_text().splitlines()[1:]]
    assert len(rows) == 46
    fetched = [row for row in rows if row[2] == "fetched"]
    assert len(fetched) == len(list(out.rglob("*.jpg"))) < 46
    server.requested.clear()
    write_links(*paths[:40])
    process = start("--out-dir", "images")
    process.communicate()
    assert process.returncode == 0
    check(out, 40)
    assert sum(server.requested.values()) == 40 - len(fetched)


def test_ctrl_c_ends_soon_with_a_long_list(server, tmp_path):
    """In less than a second of a processor that has nothing else to do."""
    number = 400_000
    with (tmp_path / "dataset-links.tsv").open("w") as file:
        for n in range(number):
            file.write(f"{server.address}/slow/{n}_long-enough-to-be-one.jpg\tl{n % 50}/{n}.jpg\n")
    process = start("--out-dir", "images")
    wait_for(20, tmp_path / "images")
    before = processor_seconds(process.pid)
    process.send_signal(signal.SIGINT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.communicate()
    assert process.returncode == 130
    assert usage.ru_utime + usage.ru_stime - before < 1
    with (tmp_path / "images" / "download-report.tsv").open() as rows:
        assert sum(1 for _ in rows) == 1 + number


def processor_seconds(process_id):
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_gzip_bombs_take_no_memory(write_links, tmp_path):
    zeros()  # made before anyone waits for it
    write_links("ok", *[f"gzip-bombs/{n}" for n in ("once", "twice") * 15])
    process = start("--out-dir", "images")
    most = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        most = int(found[0].split()[1]) * 1024 if found else most  # a process that ends has none
        time.sleep(0.01)
    out, _ = process.communicate()
    assert "     30 too large: 127.0.0.1" in out
    assert 0 < most < 300_000_000
    check(tmp_path / "images", 1)


def test_a_killed_run_is_taken_up(write_links, server, tmp_path):
    write_links(*[f"slow/{n}" for n in range(60)])
    out = tmp_path / "images"
    for number in (5, 20, 35):
        process = start("--out-dir", "images")
        wait_for(number, out)
        process.kill()
        process.communicate()
        check(out)
        (out / "l1" / f"4.jpg.{process.pid}.partial").write_bytes(picture()[:100])
    process = start("--out-dir", "images")
    stdout, _ = process.communicate()
    assert process.returncode == 0
    assert "60 of 60" in stdout
    check(out, 60)
    assert not list(out.rglob("*.partial"))
    assert sum(server.requested.values()) < 60 + 3 * 10 + 1
