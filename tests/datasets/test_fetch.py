"""One address to one checked picture, against a server that misbehaves in every way."""

import email.utils
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress

import pytest

from datasets import connections
from datasets.connections import Adapters, Watch
from datasets.fetch import Failure, Fetcher, Limits, Status, retry_after
from tests.datasets.misbehaving_server import Server, picture

TIMEOUT = 0.6


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


class Breaking:
    """A fetcher whose watch another thread looks at, as the pool's does."""

    def __init__(self, **limits):
        self.watch = Watch()
        limits = Limits(**{"timeout": TIMEOUT, "max_bytes": 50_000} | limits)
        self.adapters = Adapters()
        self.fetcher = Fetcher(limits, self.watch, self.adapters)
        self.ended = threading.Event()

        def look():
            while not self.ended.wait(0.05):
                self.watch.break_off(time.monotonic())

        self.thread = threading.Thread(target=look)
        self.thread.start()

    def __enter__(self):
        return self.fetcher

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.adapters.close()


@pytest.fixture(scope="module")
def fetcher():
    with Breaking() as fetcher:
        yield fetcher


@pytest.mark.parametrize(
    "path",
    [
        "ok/1.jpg",
        "no-length",
        "chunked",
        "gzip",
        "gzip-slow",
        "redirect/1",
        "redirect/10",
        "redirect-endless",
    ],
)
def test_pictures_in_every_form(fetcher, server, path):
    assert fetcher.fetch(f"{server.address}/{path}") == picture()


def test_a_private_address_in_every_spelling_of_the_list(fetcher, server):
    assert fetcher.fetch(f"http://localhost:{server.server_port}/ok/1") == picture()
    assert fetcher.fetch(f"HTTP://LocalHost:{server.server_port}/ok/1") == picture()


@pytest.mark.parametrize(
    ("path", "status", "reason", "again"),
    [
        ("404", "gone", "404 Not Found", False),
        ("410", "gone", "410 Gone", False),
        ("gone-and-silent", "gone", "404 Not Found", False),
        ("403", "refused", "403 Forbidden", False),
        ("451", "refused", "451 Unavailable For Legal Reasons", False),
        ("408", "refused", "408 Request Timeout", True),
        ("500", "server error", "500 Internal Server Error", True),
        ("501", "server error", "501 Not Implemented", False),
        ("204", "refused", "204 No Content", False),
        ("nowhere", "refused", "302 Found", False),
        ("truncated", "broken off", "1,000 bytes came, and 2,047 more did not", True),
        ("truncated-chunked", "broken off", "the body's chunks are not whole", True),
        ("truncated-no-length", "no picture", "truncated", False),
        ("garbage", "broken off", "the answer is not in HTTP", True),
        ("closes", "broken off", "the server closed the connection without an answer", True),
        ("gzip-damaged", "broken off", "the body is not in its Content-Encoding", True),
        ("damaged", "no picture", "image/jpeg", False),
        ("html", "no picture", "no picture of a known format (text/html)", False),
        ("escapes", "no picture", "no picture of a known format (�[31mtext�/xxx", False),
        ("scans/200", "no picture", "it has 210 scans, more than a picture needs", False),
        ("empty", "no picture", "no picture of a known format", False),
        ("bomb", "no picture", "it has more than 89,478,485 pixels", False),
        ("large", "too large", "3,000,000,000 bytes against --max-bytes 50,000", False),
        ("digits", "too large", "999,999,999", False),
        ("endless", "too large", "its body against --max-bytes 50,000", False),
        ("gzip-bomb", "too large", "its body against --max-bytes", False),
        ("redirect/12", "not allowed", "more than 10 times", False),
        ("circle/0", "not allowed", "in a circle", False),
        ("to-file", "not allowed", "'file:///etc/passwd', no http or https address", False),
        ("to/[bad", "not allowed", "'http://[bad', no http or https", False),
        ("to/a.test%5C@127.0.0.1/ok", "not allowed", "no http or https address", False),
        ("to/a.test%09/ok", "not allowed", "no http or https address", False),
        ("to/a b.test/ok", "not allowed", "no http or https address", False),
        ("to/☃.test/ok", "not allowed", "no http or https address", False),
    ],
)  # fmt: skip
def test_no_picture(fetcher, server, path, status, reason, again):
    with pytest.raises(Failure) as failure:
        fetcher.fetch(f"{server.address}/{path}")
    assert failure.value.status == status
    assert reason in failure.value.reason
    assert failure.value.again == again
    assert failure.value.reason.isprintable()
    assert len(failure.value.reason) <= 200
    assert fetcher.fetch(f"{server.address}/ok/after") == picture()


@pytest.mark.parametrize(
    "path", ["hang", "hang-in-body", "trickle", "trickle-no-length", "trickle-headers"]
)
def test_an_attempt_ends_in_its_time(fetcher, server, path):
    start = time.monotonic()
    with pytest.raises(Failure) as failure:
        fetcher.fetch(f"{server.address}/{path}")
    assert (failure.value.status, failure.value.again) == (Status.TIMED_OUT, True)
    assert failure.value.reason == "not whole within 0.6 seconds"
    assert TIMEOUT * 0.9 < time.monotonic() - start < TIMEOUT + 0.4
    assert fetcher.fetch(f"{server.address}/ok/after") == picture()


def test_an_endless_body_ends_in_its_time_where_any_size_is_allowed(server):
    start = time.monotonic()
    with Breaking(max_bytes=10**12) as fetcher, pytest.raises(Failure) as failure:
        fetcher.fetch(f"{server.address}/trickle")
    assert failure.value.status == Status.TIMED_OUT
    assert time.monotonic() - start < TIMEOUT + 0.6


def test_nobody_listens(fetcher):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Failure) as failure:
            fetcher.fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert failure.value.status == Status.UNREACHABLE
    assert (failure.value.reason, failure.value.again) == ("the connection is refused", True)


@pytest.mark.parametrize(("code", "again"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_an_unknown_name(fetcher, monkeypatch, code, again):
    def unknown(*_):
        raise socket.gaierror(code, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Failure) as failure:
        fetcher.fetch("http://no-such.example/1.jpg")
    assert failure.value.status == Status.UNREACHABLE
    assert (failure.value.reason, failure.value.again) == ("its host's name is unknown", again)


def test_tls_that_is_none(fetcher, server):
    with pytest.raises(Failure) as failure:
        fetcher.fetch(f"https://127.0.0.1:{server.server_port}/ok/1")
    assert failure.value.status in (Status.BROKEN_OFF, Status.TIMED_OUT)
    assert "TLS: " in failure.value.reason or "within" in failure.value.reason


@pytest.mark.parametrize("url", ["http://☃.test/1", "http://a..test/1", "http://*.test/1"])
def test_hosts_that_no_name_server_knows(fetcher, url):
    with pytest.raises(Failure) as failure:
        fetcher.fetch(url)
    assert (failure.value.status, failure.value.again) == (Status.UNREACHABLE, False)


def test_what_is_judged_is_what_is_connected_to(server, monkeypatch):
    """Where one parser sees another host in an address than the other does, none is asked."""
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *_: asked.append(name))
    for host in ("a.test\\@127.0.0.1", "127.0.0.1\\@a.test", "127.0.0.1\t.a.test"):
        url = f"{host}:{server.server_port}/ok/judged"
        with Breaking() as fetcher, pytest.raises(Failure, match="is no http or https address"):
            fetcher.fetch(f"http://{url}")
    assert not asked
    assert server.requested["/ok/judged"] == 0


@pytest.fixture
def public_127_0_0_1(monkeypatch):
    """The server's address passes as public; 127.0.0.2 stays private."""
    really = connections.is_private
    monkeypatch.setattr(connections, "is_private", lambda ip: ip != "127.0.0.1" and really(ip))


def test_a_public_address_leads_to_no_private_one(server, public_127_0_0_1):
    inside = f"127.0.0.2:{server.server_port}/ok/inside"
    for target in (inside, inside.replace("127.0.0.2", "localhost"), "169.254.169.254/", "[::1]/"):
        with Breaking() as fetcher, pytest.raises(Failure) as failure:
            fetcher.fetch(f"{server.address}/to/{target}")
        assert failure.value.status == Status.NOT_ALLOWED
        assert "it redirects to the private address" in failure.value.reason
    assert server.requested["/ok/inside"] == 0
    with Breaking(allow_private=True) as fetcher:
        with pytest.raises(Failure, match="refused"):  # it is asked for, but nobody listens there
            fetcher.fetch(f"{server.address}/to/{inside}")
        outside = inside.replace("127.0.0.2", "localhost")
        assert fetcher.fetch(f"{server.address}/to/{outside}") == picture()


@pytest.mark.parametrize("host", ["intranet.example", "2130706433", "127.1", "0x7f.0.0.1"])
def test_a_name_leads_to_no_private_address(server, monkeypatch, host):
    """Names, and spellings of addresses that only the system's resolver understands."""
    really = socket.getaddrinfo

    def lookup(name, *rest):
        return really("127.0.0.1" if name.endswith(".example") else name, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    url = f"http://{host}:{server.server_port}/ok/by-name"
    for address in (url, f"{server.address}/to/{url.removeprefix('http://')}"):
        with Breaking() as fetcher, pytest.raises(Failure) as failure:
            fetcher.fetch(address)
        assert failure.value.status == Status.NOT_ALLOWED
        assert failure.value.reason == "a name leads to the private address 127.0.0.1"
    assert server.requested["/ok/by-name"] == 0
    with Breaking(allow_private=True) as fetcher:
        assert fetcher.fetch(url) == picture()
    server.requested.clear()


def test_a_name_that_leads_elsewhere_the_second_time(server, monkeypatch):
    """What was looked at is what is connected to."""
    answers = iter(["8.8.8.8", "127.0.0.1"])
    asked = []

    def lookup(name, port, *rest):
        asked.append(name)
        address = next(answers) if name == "rebound.example" else name
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with Breaking() as fetcher, pytest.raises(Failure) as failure:
        fetcher.fetch(f"http://rebound.example:{server.server_port}/ok/rebound")
    assert failure.value.status in (Status.TIMED_OUT, Status.UNREACHABLE)
    assert asked == ["rebound.example", "8.8.8.8"]
    assert server.requested["/ok/rebound"] == 0


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
     "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
     "ff02::1", "fec0::1", "192.0.0.8", "::7f00:1", "::8.8.8.8", "64:ff9b:1::808:808",
     "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1"],
)  # fmt: skip
def test_private_addresses(address):
    assert connections.is_private(address)
    assert connections.says_private(address.partition("%")[0])


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses(address):
    assert not connections.is_private(address)
    assert not connections.says_private(address)


def test_names():
    assert all(map(connections.says_private, ("localhost", "LOCALHOST.", "a.localhost")))
    assert not any(map(connections.says_private, ("a.com", "localhost.com", "nas.local", "127.1")))


def test_retry_after():
    assert retry_after("7") == 7
    assert retry_after("-7") == 0
    assert retry_after(email.utils.formatdate(time.time() + 30)) == pytest.approx(30, abs=2)
    assert retry_after(email.utils.formatdate(time.time() - 30)) == 0
    assert retry_after("9" * 400) == retry_after("Sat, 01 Jan 9999 00:00:00 GMT") == 366 * 86_400
    assert retry_after("9" * 5000) is retry_after("Sat, 01 Jan 99999 00:00:00 GMT") is None
    assert retry_after("") is retry_after("soon") is retry_after("1.5") is None


def test_no_failure_keeps_a_place_among_a_hosts_connections(server):
    paths = ["404", "html", "truncated", "truncated-chunked", "large", "endless", "garbage",
             "to-file", "circle/0", "redirect-endless", "gzip-bomb", "no-length"]  # fmt: skip
    with Breaking(timeout=10) as fetcher:
        for path in paths * (connections.PER_HOST + 1):
            with suppress(Failure):
                fetcher.fetch(f"{server.address}/{path}")
        for _ in range(connections.PER_HOST + 1):
            with pytest.raises(Failure, match="a name leads to"):
                fetcher.fetch(f"http://127.1:{server.server_port}/")
        for path in ("hang", "hang-in-body", "trickle-headers"):
            with Breaking(timeout=0.05) as hasty:
                for _ in range(connections.PER_HOST + 1):
                    with pytest.raises(Failure, match="timed out"):
                        hasty.fetch(f"{server.address}/{path}")
        assert fetcher.fetch(f"{server.address}/ok/at-last") == picture()


def test_through_a_proxy(server, monkeypatch):
    """It resolves the names, and may be private itself."""
    monkeypatch.setenv("HTTP_PROXY", server.address)
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "")
    with Breaking() as fetcher:
        assert fetcher.fetch("http://only-the-proxy-knows.example/ok/by-proxy") == picture()
        with pytest.raises(Failure, match="redirects to the private address"):
            fetcher.fetch("http://only-the-proxy-knows.example/to/10.0.0.1/")
        with pytest.raises(Failure, match="timed out"):
            fetcher.fetch("http://only-the-proxy-knows.example/trickle-headers")
    assert server.requested["/ok/by-proxy"] == 1


def test_connections_are_kept(server):
    opened = []
    with Breaking() as fetcher:
        really = connections.create_connection

        def counted(*arguments, **keywords):
            opened.append(arguments)
            return really(*arguments, **keywords)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connections, "create_connection", counted)
            for path in ("ok/1", "404", "redirect/3", "500", "html", "ok/2"):
                try:
                    fetcher.fetch(f"{server.address}/{path}")
                except Failure:
                    continue
    assert len(opened) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of localhost, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    names = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-out", names[0], "-keyout", names[1],
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return names


def test_https(certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with Server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        address = f"https://localhost:{server.server_port}"
        with (
            Breaking() as fetcher,
            pytest.raises(Failure, match="unreachable: certificate: self") as failure,
        ):
            fetcher.fetch(f"{address}/ok/1")
        assert not failure.value.again
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        with Breaking() as fetcher:
            assert fetcher.fetch(f"{address}/ok/1") == picture()
            assert fetcher.fetch(f"{address}/redirect/2") == picture()
            for path in ("hang", "trickle", "trickle-headers"):
                start = time.monotonic()
                with pytest.raises(Failure, match="timed out"):
                    fetcher.fetch(f"{address}/{path}")
                assert time.monotonic() - start < TIMEOUT + 0.4
            with pytest.raises(Failure, match="broken off"):
                fetcher.fetch(f"{address}/truncated")
