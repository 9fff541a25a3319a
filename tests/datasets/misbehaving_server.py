"""A server on 127.0.0.1 that misbehaves in a way that the path's first part names.

As a program it serves until it is killed, and prints its port: `python -m` with the name of this
module.
"""

import gzip
import http.server
import io
import struct
import threading
import time
import zlib
from collections import Counter
from functools import cache
from urllib.parse import unquote

import numpy as np
from PIL import Image

FAULTS = ("404", "410", "403", "500", "501", "html", "bomb", "damaged")
IMAGE = ("Content-Type", "image/jpeg")


@cache
def picture(kind: str = "JPEG", side: int = 60, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@cache
def bomb() -> bytes:
    """A PNG of 40,000 x 40,000 pixels in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(5001 * 100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@cache
def zeros() -> bytes:
    """500 MB of them, as gzip in half a megabyte."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(10**6)) for _ in range(500)) + packer.flush()


@cache
def many_scans(number: int = 10_000) -> bytes:
    """A progressive JPEG whose last scan is there `number` times more: for each another pass."""
    file = io.BytesIO()
    Image.new("RGB", (1990, 1990), (90, 120, 30)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + number * content[last:-2] + content[-2:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("http://"):  # as a proxy is asked
            self.path = "/" + self.path.split("/", 3)[3]
        with self.server.lock:
            self.server.first_time.setdefault(self.path, time.monotonic())
            self.server.requested[self.path] += 1
            self.count = self.server.requested[self.path]
            self.server.busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.busy)
        try:
            kind, _, self.rest = self.path.lstrip("/").partition("/")
            getattr(self, "get_" + kind.replace("-", "_"), self.get_status)()
        except OSError:  # the client has gone
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def send(self, code, body=b"", *headers):
        self.send_response(code)
        for header in headers:
            self.send_header(*header)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start(self, *headers):
        self.send_response(200)
        for header in (IMAGE, *headers):
            self.send_header(*header)
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def get_status(self):
        code = int(self.path.split("/")[1])
        self.send(code, b"" if code == 204 else b"sorry")

    def get_ok(self):
        self.send(200, picture(), IMAGE)

    def get_slow(self):
        time.sleep(0.05)
        self.get_ok()

    def get_wait(self):
        time.sleep(float(self.rest.partition("/")[0]))
        self.get_ok()

    def get_png(self):
        self.send(200, picture("PNG"))

    def get_no_length(self):
        self.start(("Connection", "close"))
        self.wfile.write(picture())
        self.close_connection = True

    def get_chunked(self):
        self.start(("Transfer-Encoding", "chunked"))
        for at in range(0, len(picture()), 500):
            self.chunk(picture()[at : at + 500])
        self.wfile.write(b"0\r\n\r\n")

    def get_gzip(self):
        self.send(200, gzip.compress(picture()), ("Content-Encoding", "gzip"))

    def get_gzip_slow(self):
        content = gzip.compress(picture())
        self.start(("Content-Encoding", "gzip"), ("Content-Length", str(len(content))))
        for part in (content[:12], content[12:14], content[14:]):
            self.wfile.write(part)
            time.sleep(0.05)

    def get_gone_and_silent(self):
        self.send_response(404)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.server.closing.wait()
        self.close_connection = True

    def get_gzip_bomb(self):
        self.send(200, gzip.compress(bytes(30_000_000)), ("Content-Encoding", "gzip"))

    def get_gzip_bombs(self):
        """500 MB of zeros, packed once and packed twice."""
        if self.rest == "twice":
            self.send(200, gzip.compress(zeros()), ("Content-Encoding", "gzip, gzip"))
        else:
            self.send(200, zeros(), ("Content-Encoding", "gzip"))

    def get_gzip_damaged(self):
        self.send(200, b"this is no gzip", ("Content-Encoding", "gzip"))

    def get_escapes(self):
        self.send(200, b"text", ("Content-Type", "\x1b[31mtext\x07/" + "x" * 5000))

    def get_digits(self):
        self.start(("Content-Length", "9" * 400))
        self.close_connection = True

    def get_closes(self):
        self.close_connection = True

    def get_503_once(self):
        if self.count > 1:
            self.get_ok()
        else:
            self.send(503, b"busy", ("Retry-After", self.rest.partition("/")[0]))

    def get_429_once(self):
        if self.count > 1:
            self.get_ok()
        else:
            self.send(429, b"slowly", ("Retry-After", self.rest.partition("/")[0]))

    def get_500_once(self):
        if self.count > 1:
            self.get_ok()
        else:
            self.send(500, b"oh")

    def get_truncated(self):
        self.start(("Content-Length", str(len(picture()))))
        self.wfile.write(picture()[:1000])
        self.close_connection = True

    def get_truncated_once(self):
        if self.count > 1:
            self.get_ok()
        else:
            self.get_truncated()

    def get_truncated_chunked(self):
        self.start(("Transfer-Encoding", "chunked"))
        self.chunk(picture()[:1000])
        self.close_connection = True

    def get_truncated_no_length(self):
        self.start(("Connection", "close"))
        self.wfile.write(picture()[:1000])
        self.close_connection = True

    def get_damaged(self):
        self.send(200, picture("PNG")[:3000] + bytes(100) + picture("PNG")[3100:], IMAGE)

    def get_html(self):
        self.send(200, b"<html>not found</html>", ("Content-Type", "text/html"))

    def get_empty(self):
        self.send(200, b"", IMAGE)

    def get_scans(self):
        self.send(200, many_scans(int(self.rest)), IMAGE)

    def get_bomb(self):
        self.send(200, bomb(), ("Content-Type", "image/png"))

    def get_hang(self):
        self.server.closing.wait()
        self.close_connection = True

    def get_hang_in_body(self):
        self.start(("Content-Length", str(len(picture()))))
        self.wfile.write(picture()[:1000])
        self.server.closing.wait()
        self.close_connection = True

    def trickle(self, data):
        for byte in data:
            if self.server.closing.wait(0.02):
                break
            self.wfile.write(bytes([byte]))
        self.close_connection = True

    def get_trickle(self):
        self.start(("Content-Length", str(len(picture()))))
        self.trickle(picture())

    def get_trickle_no_length(self):
        self.start(("Connection", "close"))
        self.trickle(picture())

    def get_trickle_headers(self):
        self.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 60_000)

    def get_endless(self):
        self.start(("Transfer-Encoding", "chunked"))
        while not self.server.closing.is_set():
            self.chunk(bytes(65536))

    def get_large(self):
        self.start(("Content-Length", "3000000000"))
        self.close_connection = True

    def get_redirect(self):
        left = int(self.rest)
        self.send(302, b"", ("Location", f"/redirect/{left - 1}" if left > 1 else "/ok/there"))

    def get_redirect_endless(self):
        self.send_response(302)
        self.send_header("Location", "/ok/there")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.server.closing.is_set():
            self.chunk(bytes(65536))

    def get_circle(self):
        self.send(301, b"", ("Location", f"/circle/{1 - int(self.rest)}"))

    def get_to_file(self):
        self.send(302, b"", ("Location", "file:///etc/passwd"))

    def get_to(self):
        self.send(307, b"", ("Location", "http://" + unquote(self.rest, "latin-1")))

    def get_nowhere(self):
        self.send(302, b"")

    def get_garbage(self):
        self.wfile.write(b"\x00\x01 this is no HTTP\r\n\r\n")
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    """Counts what was asked for, and the most requests that were under way at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.requested, self.first_time = Counter(), {}
        self.busy = self.most_busy = self.connections = 0
        self.address = f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """Says nothing of a client that has gone."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        self.server_close()


if __name__ == "__main__":
    with Server() as server:
        print(server.server_port, flush=True)
        threading.Event().wait()
