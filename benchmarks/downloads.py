"""download_dataset_images against a plain pool of `requests` sessions, from a local server.

Run: python benchmarks/downloads.py [NUMBER of pictures, 10000]

The server is a process of its own. The plain pool writes the bytes that come and checks nothing.
Then the same pictures with 10 % gone, 5 % refused once, 2 % broken off and 1 % silent.
"""

import asyncio
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from datasets.download_images import Download, download_images
from datasets.fetch import Limits

NUM_THREADS = 10
ROUNDS = 5
SIDE = 100  # pixels
FAULTS = {"gone": 10, "busy": 5, "broken": 2, "silent": 1}  # of a hundred


def picture() -> bytes:
    """A JPEG of about 3 kB."""
    rows = np.random.default_rng(0).integers(0, 256, (SIDE // 10, SIDE // 10, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(rows).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


class Server:
    """Answers by the path's first part, as fast as Python can."""

    def __init__(self) -> None:
        self.body, self.seen = picture(), set[bytes]()

    def answer(self, path: bytes) -> bytes:
        """Returns the bytes to send for a path."""
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.body), self.body)
        if path.startswith(b"/gone"):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"
        if path.startswith(b"/busy") and path not in self.seen:
            self.seen.add(path)
            return b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy"
        return whole[:1000] if path.startswith(b"/broken") else whole

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                path = request.split(b" ", 2)[1]
                if path.startswith(b"/silent"):
                    await asyncio.sleep(3600)
                writer.write(self.answer(path))
                await writer.drain()
                if path.startswith(b"/broken"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve(self) -> None:
        """Prints the port and serves until killed."""
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0, backlog=256)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def plain(rows: list[tuple[str, Path]]) -> None:
    """The reference: sessions in threads that write what comes."""
    local = threading.local()

    def fetch(row: tuple[str, Path]) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        row[1].write_bytes(local.session.get(row[0], timeout=30).content)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for _ in pool.map(fetch, rows):
            pass


def ours(rows: list[tuple[str, Path]], out: Path, timeout: float = 30.0) -> Download:
    """The same by download_images."""
    tsv = out.with_suffix(".tsv")
    lines = [f"{url}\t{path.parent.name}/{path.name}" for url, path in rows]
    tsv.write_text("\n".join(lines))
    return download_images(tsv, out, num_threads=NUM_THREADS, limits=Limits(timeout))


def rows_of(kinds: list[str], address: str, out: Path) -> list[tuple[str, Path]]:
    """Addresses and files, in ten labels."""
    return [
        (f"{address}/{kind}/{number}.jpg", out / f"label{number % 10}" / f"{number}.jpg")
        for number, kind in enumerate(kinds)
    ]


def compare(number: int, address: str, folder: Path) -> None:
    """Prints files/s of both, interleaved."""
    rates: dict[str, list[float]] = {"plain pool": [], "download_images": [], "again": []}
    for round_number in range(ROUNDS):
        for name in ("plain pool", "download_images") if round_number % 2 else (
            "download_images", "plain pool"
        ):  # fmt: skip
            out = folder / f"out-{name.partition(' ')[0]}"
            rows = rows_of(["whole"] * number, address, out)
            start = time.perf_counter()
            if name == "plain pool":
                for label in range(10):
                    (out / f"label{label}").mkdir(parents=True)
                plain(rows)
            else:
                assert not ours(rows, out).num_missing
            rates[name].append(number / (time.perf_counter() - start))
            if name != "plain pool":
                start = time.perf_counter()
                assert not ours(rows, out).num_missing
                rates["again"].append(number / (time.perf_counter() - start))
            shutil.rmtree(out)
    base = rates["plain pool"]
    print(f"| {number:,} pictures | files/s, median of {ROUNDS} (range) | ratio |")
    print("| --- | --- | --- |")
    for name, values in rates.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(values, base, strict=True))
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"| {name} | {median:,.0f} ({spread}) | {ratio:.2f} |", flush=True)


def misbehaving(number: int, address: str, folder: Path) -> None:
    """Prints how long the same pictures take from a bad server, and checks what came."""
    kinds = ["whole"] * number
    order = np.random.default_rng(0).permutation(number)
    for kind, share in FAULTS.items():
        count = number * share // 100
        for index in order[:count]:
            kinds[index] = kind
        order = order[count:]
    out = folder / "bad"
    rows = rows_of(kinds, address, out)
    start = time.perf_counter()
    download = ours(rows, out, timeout=2.0)
    seconds = time.perf_counter() - start
    body = picture()
    for kind, (_, path) in zip(kinds, rows, strict=True):
        assert path.exists() == (kind in ("whole", "busy")), path
        assert not path.exists() or path.read_bytes() == body
    assert not list(out.rglob("*.partial"))
    print(f"\nBad server, --timeout 2: {seconds:.1f} s\n{download.summary}")


def main() -> None:
    """Starts the server, prints the tables."""
    if sys.argv[1:] == ["serve"]:
        asyncio.run(Server().serve())
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE) as server,
    ):
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        try:
            compare(number, address, Path(name))
            misbehaving(number, address, Path(name))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
