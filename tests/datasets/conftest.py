import functools
import gzip
import http.server
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.container import write_dataset


@pytest.fixture
def make_dataset(tmp_path):
    """Writes a small dataset of pictures and returns its path and arrays."""

    def make(name="small.pkl.zip", layout="nhwc", shape=(5, 7, 3), sizes=(40, 8, 8), **options):
        rng = np.random.default_rng(0)
        subsets = {}
        for subset, size in zip(("training", "validation", "testing"), sizes, strict=True):
            instances = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
            subsets[subset] = instances, np.arange(size) % 3
        picture_shape = shape if layout == "nhwc" else None
        options = {"layout": layout, "scale": 255, "picture_shape": picture_shape} | options
        path = tmp_path / name
        write_dataset(path, subsets, {"ape": 0, "bee": 1, "cat": 2}, **options)
        return path, subsets

    return make


@pytest.fixture
def make_pictures(tmp_path):
    """Writes a folder of one folder per label with real picture files; returns it."""

    def make(counts, size=(12, 10), folder="pictures"):
        rng = np.random.default_rng(1)
        for label, count in counts.items():
            (tmp_path / folder / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / label / f"{number:03d}.png")
        return tmp_path / folder

    return make


@pytest.fixture
def idx_folder(tmp_path):
    """A folder with four IDX files in MNIST's form: 60 training and 12 testing pictures, 4x5."""
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for part, size in (("train", 60), ("t10k", 12)):
        images = rng.integers(0, 256, (size, 4, 5), dtype=np.uint8)
        labels = rng.integers(0, 10, size, dtype=np.uint8)
        header = struct.pack(">HBBIII", 0, 8, 3, *images.shape)
        content = gzip.compress(header + images.tobytes())
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(content)
        header = struct.pack(">HBBI", 0, 8, 1, size)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(header + labels.tobytes())
        )
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requested.append(self.path)
        if self.server.truncated in self.path:
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
        else:
            super().do_GET()


@pytest.fixture
def serve():
    """Serves a folder on 127.0.0.1; files whose name contains `truncated` break off half-way."""
    servers = []

    def start(folder, truncated="no such name"):
        handler = functools.partial(Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.truncated, server.requested = truncated, []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server, f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
