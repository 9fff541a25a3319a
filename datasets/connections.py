"""Connections that keep to their time and, where guarded, away from private addresses.

`requests` bounds the silence between two bytes, not a transfer, and resolves names unseen. Here
each thread has a `Watch` that another thread breaks the connection off by when its time is up, and
a name's addresses are looked at before any of them is connected to, so that a name that leads
elsewhere the second time leads nowhere. A host gets few connections at once; who waits for one does
so with the clock stopped.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family, create_connection

NUM_HOSTS = 64  # whose connections are kept
PER_HOST = 8  # connections in use, of all threads together, redirects included
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Python's `is_global` takes these for public, but 192.0.0.0/24 is for protocols, fec0::/10 was for
# sites, ::/96 for IPv4 addresses, and 64:ff9b:1::/48 is for one's own NAT64.
NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "fec0::/10", "::/96", "64:ff9b:1::/48"))
)


class PrivateAddressError(Exception):
    """A name that leads to a private address, which is the message."""


class Watch:
    """The time that one thread's attempt has, and the socket that it waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._socket: socket.socket | None = None
        self._ended = False
        self.overdue = False

    def start(self, seconds: float) -> None:
        """Begins an attempt of this thread."""
        with self._lock:
            self._deadline, self._socket = time.monotonic() + seconds, None
            self.overdue = self._ended
        _present.watch = self

    def stop(self) -> None:
        """Ends the attempt; from now on nothing is broken off."""
        with self._lock:
            self._deadline = self._socket = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock meanwhile. Raises TimeoutError if the time is up before or after."""
        left = self.left()
        with self._lock:
            self._deadline = self._socket = None
        yield
        with self._lock:
            self._deadline = time.monotonic() + left
        self.left()

    def left(self) -> float:
        """Returns the seconds that are left, at least a hundredth. Raises TimeoutError if none."""
        left = (self._deadline or 0) - time.monotonic()
        if self.overdue or left <= 0:
            self.overdue = True
            raise TimeoutError("timed out")
        return max(left, 0.01)

    def listen(self, sock: socket.socket | None) -> None:
        """Says what the thread is going to wait for. Raises TimeoutError if the time is up."""
        with self._lock:
            self._socket = sock
        self.left()

    def break_off(self, now: float) -> None:
        """Breaks the attempt off if its time was up at `now`; called by another thread."""
        with self._lock:
            if self._deadline is not None and now >= self._deadline:
                self._break_off()

    def end(self) -> None:
        """Breaks the attempt off, and every later one as it starts; called by another thread."""
        with self._lock:
            self._ended = True
            self._break_off()

    def _break_off(self) -> None:
        self.overdue = True
        if self._socket is not None:
            with suppress(OSError):  # of TLS too: its own shutdown would take the object apart
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Present(threading.local):
    watch: Watch = Watch()


_present = _Present()


def is_private(address: str) -> bool:
    """Returns whether an IP address is not one of the public internet's.

    Private, loopback, link-local, shared, reserved and multicast ones are not, nor IPv6 addresses
    that only wrap such an IPv4 address (mapped, 6to4, NAT64) or are of a range no longer in use.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_private(str(inner))
    return not ip.is_global or ip.is_multicast or any(ip in network for network in NOT_PUBLIC)


def says_private(host: str) -> bool:
    """Returns whether a host is written as a private address: an IP address, or localhost."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return is_private(name)
    except ValueError:
        return False


class _Watched(HTTPConnection):
    """A connection within its thread's time."""

    guarded = False

    def _new_conn(self) -> socket.socket:
        try:
            addresses = self._addresses()
        except (socket.gaierror, UnicodeError) as error:
            gai_error = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, self, gai_error) from error
        failure: OSError = OSError("the name has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                return create_connection(
                    (address, self.port),
                    _present.watch.left() / left,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} does not answer") from failure
        raise NewConnectionError(self, str(failure)) from failure

    def _addresses(self) -> list[str]:
        found = socket.getaddrinfo(
            self._dns_host.strip("[]"), self.port, allowed_gai_family(), socket.SOCK_STREAM
        )
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if self.guarded and is_private(address):
                raise PrivateAddressError(address)
        return addresses

    def getresponse(self) -> Any:
        _present.watch.listen(self.sock)
        return super().getresponse()


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Guarded(_Watched):
    guarded = True


class _GuardedTls(_WatchedTls):
    guarded = True


def _pools(plain: type[HTTPConnection], tls: type[HTTPSConnection]) -> dict[str, Any]:
    http = type("Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain})
    https = type("TlsPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": tls})
    return {"http": http, "https": https}


_WATCHED = _pools(_Watched, _WatchedTls)
_GUARDED = _pools(_Guarded, _GuardedTls)


class Adapter(HTTPAdapter):
    """What all threads send with; each one's own `Watch` bounds it.

    A proxy resolves names itself: through one, only addresses written as private are known.

    Parameters
    ----------
    guarded : bool
        Whether a name that leads to a private address raises PrivateAddressError.
    """

    def __init__(self, guarded: bool) -> None:
        self._classes = _GUARDED if guarded else _WATCHED
        super().__init__(pool_connections=NUM_HOSTS, pool_maxsize=PER_HOST)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Makes the pools, of connections of ours."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Makes the pools of a proxy, which may well have a private address."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _WATCHED
        return manager


class Adapters:
    """The two adapters that all threads share, and the hosts' connections that they may use.

    They stand without a session of requests: that would read a redirect's body to its end, keep
    strangers' cookies, and look through the environment for every picture.
    """

    def __init__(self) -> None:
        self.guarded, self.open = Adapter(guarded=True), Adapter(guarded=False)
        self._lock = threading.Lock()
        self._places: WeakValueDictionary[str, threading.Semaphore] = WeakValueDictionary()

    @contextmanager
    def place(self, host: str, watch: Watch) -> Iterator[None]:
        """Holds one of the `PER_HOST` places of a host, waiting for it with the clock stopped.

        No thread may hold two, or they could wait for each other. Raises TimeoutError as
        `Watch.paused`.
        """
        with self._lock:  # whoever waits for a host keeps its semaphore in being
            places = self._places.setdefault(host, threading.Semaphore(PER_HOST))
        with ExitStack() as stack:
            with watch.paused():
                stack.enter_context(places)
            yield

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self.guarded.close()
        self.open.close()
