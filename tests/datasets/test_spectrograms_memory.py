"""create_spectrograms takes as much memory for an hour as for a minute."""

import json
import subprocess
import sys

import soundfile

from tests.datasets.sounds import noise, write
from tests.paths import ROOT

RATE = 16_000
SHORT, LONG = 30, 600  # seconds; of the long one 80 MB are decoded, and 12 MB stored
SCRIPT = """
import json, re, sys
from pathlib import Path
from datasets.spectra import Parameters
from datasets.spectrograms import create_spectrograms

create_spectrograms(Path(sys.argv[1]), Path(sys.argv[2]), Parameters(hop_size=256), num_workers=1)
status = Path("/proc/self/status").read_text()
print(json.dumps(int(re.search(r"^VmHWM:\\s+(\\d+) kB$", status, re.M)[1]) * 1024))
"""


def make(folder, seconds):
    write(folder / "a" / "x.wav", noise(30, rate=RATE), RATE)
    (folder / "b").mkdir()
    with soundfile.SoundFile(folder / "b" / "x.wav", "w", RATE, 2) as file:
        for part in range(seconds // 30):
            file.write(noise(30, seed=part, rate=RATE, channels=2))


def test_twenty_times_the_length_takes_little_more(tmp_path):
    peaks = {}
    for seconds in (SHORT, LONG):
        folder = tmp_path / f"{seconds}"
        make(folder, seconds)
        command = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / f"{seconds}.pkl.zip")]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks[seconds] = json.loads(result.stdout)
    assert peaks[SHORT] > 30 * 2**20  # it was seen
    assert peaks[LONG] - peaks[SHORT] < 10 * 2**20
