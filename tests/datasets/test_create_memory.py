"""create_datasets takes as much memory for many pictures as for few, but for some bytes each."""

import json
import subprocess
import sys

import numpy as np
from PIL import Image

from tests.paths import ROOT

FEW, MANY = 1500, 4500  # even the few fill all that is read and written in blocks
SIZE = 64
SCRIPT = f"""
import json, re, sys, threading, time
from pathlib import Path
from datasets import create, outputs

outputs.BLOCK_BYTES = 2**16  # so that these do not hide what grows
peaks = {{"main": 0, "worker": 0}}

def look(which, process):
    try:
        status = Path(f"/proc/{{process}}/status").read_text()
    except OSError:  # it has ended
        return
    found = re.search(r"^RssAnon:\\s+(\\d+) kB$", status, re.M)
    peaks[which] = max(peaks[which], int(found[1]) if found else 0)

def watch():
    while True:
        look("main", "self")
        for process in Path(f"/proc/self/task/{{main}}/children").read_text().split():
            look("worker", process)
        time.sleep(0.001)

main = threading.get_native_id()
threading.Thread(target=watch, daemon=True).start()
image_dir, out_dir = map(Path, sys.argv[1:])
create.create_datasets(image_dir, out_dir, image_size={SIZE}, num_workers=2)
print(json.dumps(peaks))
"""


def make_pictures(folder, count):
    generator = np.random.default_rng(0)
    for label in "ab":
        (folder / label).mkdir(parents=True)
    for index in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((32, 32)).save(folder / "ab"[index % 2] / f"{index:05}.jpg")


def test_three_times_the_pictures_take_little_more(tmp_path):
    peaks = {}
    for count in (FEW, MANY):
        folder = tmp_path / f"{count}"
        make_pictures(folder / "pictures", count)
        command = [sys.executable, "-c", SCRIPT, str(folder / "pictures"), str(folder / "out")]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks[count] = json.loads(result.stdout)
    for which in ("main", "worker"):
        few, many = peaks[FEW][which] * 1024, peaks[MANY][which] * 1024
        assert few > 5 * 2**20  # it was seen
        assert (many - few) / (MANY - FEW) < 2100  # bytes; decoded, a picture has 12,288
