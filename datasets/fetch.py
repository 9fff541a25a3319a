"""Fetches one address: a picture that decodes, whole and within its limits, or a reason."""

from __future__ import annotations

import email.utils
import http.client
import os
import socket
import ssl
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.exceptions import InvalidURL

from datasets.connections import Adapters, PrivateAddressError, Watch, says_private
from datasets.links import is_ambiguous
from datasets.whole_picture import fault

STEP = 65536  # bytes
SMALL_BODY = 65536  # bytes of a refusal that are read to keep the connection
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REASON = 200  # characters
YEAR = 366 * 86_400  # seconds; nobody is to wait for longer
HEADERS = {
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": f"bandcamp-deep-learning ({requests.utils.default_user_agent()})",
}
ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


class Status(StrEnum):
    """What became of a link."""

    FETCHED = "fetched"
    THERE = "there"
    GONE = "gone"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SERVER_ERROR = "server error"
    TIMED_OUT = "timed out"
    BROKEN_OFF = "broken off"
    NO_PICTURE = "no picture"
    TOO_LARGE = "too large"
    NOT_ALLOWED = "not allowed"
    NOT_WRITTEN = "not written"
    NOT_TRIED = "not tried"
    FAULT = "program fault"


class Failure(Exception):
    """Why an attempt brought no picture.

    Parameters
    ----------
    status : Status
        The kind.
    reason : str
        The reason, in a few words; what can't be printed or is too long is replaced.
    again : bool
        Whether another attempt may succeed.
    wait : float, optional
        Seconds that the server asks to wait.
    whole_host : bool
        Whether that goes for all of the host's pictures.
    """

    def __init__(
        self,
        status: Status,
        reason: str,
        again: bool = False,
        wait: float | None = None,
        whole_host: bool = False,
    ) -> None:
        reason = printable(reason)
        super().__init__(f"{status}: {reason}")
        self.status, self.reason, self.again = status, reason, again
        self.wait, self.whole_host = wait, whole_host


@dataclass(frozen=True)
class Limits:
    """What an attempt may take.

    Parameters
    ----------
    timeout : float
        Seconds, from the connection to the last byte, redirects included.
    max_bytes : int
        Of a picture.
    allow_private : bool
        Whether names and redirects may lead to private addresses.
    """

    timeout: float = 30.0
    max_bytes: int = 20_000_000
    allow_private: bool = False


class Fetcher:
    """What one thread fetches with; the adapters are all threads'."""

    def __init__(self, limits: Limits, watch: Watch, adapters: Adapters) -> None:
        self._limits, self._watch, self._adapters = limits, watch, adapters
        self._proxies = bool(urllib.request.getproxies())
        self._verify = (
            os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )

    def fetch(self, url: str) -> bytes:
        """Returns the picture at `url`, which decodes.

        A private address is fetched from where it is written as such, as 127.0.0.1 or localhost, in
        `url`, or where a redirect from such an address says so; a public address can't redirect to
        one, nor can a name lead to one.

        Raises
        ------
        Failure
            Where there is none.
        """
        self._watch.start(self._limits.timeout)
        try:
            body, content_type = self._follow(url)
        except PrivateAddressError as error:
            raise Failure(
                Status.NOT_ALLOWED, f"a name leads to the private address {error}"
            ) from error
        except ERRORS as error:
            raise self._failure(error) from error
        finally:
            self._watch.stop()
        if reason := fault(BytesIO(body)):
            kind = f" ({content_type})" if content_type else ""
            raise Failure(Status.NO_PICTURE, reason + kind)
        return body

    def _follow(self, url: str) -> tuple[bytes, str]:
        """Returns the body that the redirects end at, and its type."""
        request, trusted, seen = _request(url), True, set()
        for _ in range(MAX_REDIRECTS + 1):
            address = request.url or ""
            host = urlsplit(address).hostname or ""
            private = says_private(host)
            if private and not trusted:
                raise Failure(
                    Status.NOT_ALLOWED, f"it redirects to the private address {_short(address)}"
                )
            trusted = self._limits.allow_private or private
            if address in seen:
                raise Failure(Status.NOT_ALLOWED, "it redirects in a circle")
            seen.add(address)
            with (
                self._adapters.place(host, self._watch),
                self._send(request, trusted) as response,
            ):
                location = _location(response)
                if not location:
                    return self._body(response), response.headers.get("Content-Type", "")
                self._drain(response)
            request = _redirected(address, location)
        raise Failure(Status.NOT_ALLOWED, f"it redirects more than {MAX_REDIRECTS} times")

    def _send(self, request: requests.PreparedRequest, trusted: bool) -> requests.Response:
        adapter = self._adapters.open if trusted else self._adapters.guarded
        address, left = request.url or "", self._watch.left()
        return adapter.send(
            request,
            stream=True,
            timeout=(left, left),
            verify=self._verify,
            proxies=requests.utils.get_environ_proxies(address) if self._proxies else None,
        )

    def _body(self, response: requests.Response) -> bytes:
        if response.status_code not in (200, 203):
            with suppress(*ERRORS):  # the status says enough
                self._drain(response)
            raise _failure_of_status(response)
        announced = _length(response)
        if announced is not None and announced > self._limits.max_bytes:
            raise self._too_large(f"{announced:,} bytes")
        parts, received = [], 0
        while step := response.raw.read1(STEP, decode_content=True):
            parts.append(step)
            received += len(step)
            self._watch.left()
            if received > self._limits.max_bytes:
                raise self._too_large("its body")
        self._watch.left()  # where the watch has broken it off, its end is none
        return b"".join(parts)

    def _drain(self, response: requests.Response) -> None:
        """Reads what a refusal or redirect says, if it is short, so that the connection lives."""
        length = _length(response)
        if length is not None and length <= SMALL_BODY:
            while response.raw.read1(STEP, decode_content=False):
                self._watch.left()
        response.close()

    def _too_large(self, what: str) -> Failure:
        return Failure(Status.TOO_LARGE, f"{what} against --max-bytes {self._limits.max_bytes:,}")

    def _failure(self, error: Exception) -> Failure:
        """Returns what an attempt that ended in `error` comes to."""
        silent = isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError)
        if self._watch.overdue or silent or isinstance(error, TimeoutError):
            reason = f"not whole within {self._limits.timeout:g} seconds"
            return Failure(Status.TIMED_OUT, reason, again=True)
        return _failure_of(error)


def _location(response: requests.Response) -> str:
    """Returns what a redirect's header says, or an empty string where it is none."""
    if response.status_code not in REDIRECTS:
        return ""
    location = response.headers.get("Location", "")
    return location.encode("latin-1").decode("utf-8", "replace").strip()


def _request(url: str) -> requests.PreparedRequest:
    """Returns the request for `url`; by its own address, not `url`, is judged and connected to.

    Raises InvalidURL where it is no address of the web.
    """
    request = requests.PreparedRequest()
    try:
        request.prepare(method="GET", url=url, headers=HEADERS)
        if urlsplit(request.url).scheme in ("http", "https") and not is_ambiguous(url):
            return request
    except ValueError:  # a name that can't be written in ASCII, for one
        pass
    raise InvalidURL(f"{_short(url)} is no http or https address")


def _redirected(url: str, location: str) -> requests.PreparedRequest:
    """Returns the request that a redirect of `url` asks for; raises Failure where it is none."""
    try:
        if is_ambiguous(location):  # joining would drop some control characters
            raise InvalidURL
        return _request(urljoin(url, location))
    except ValueError as error:
        reason = f"it redirects to {_short(location)}, no http or https address"
        raise Failure(Status.NOT_ALLOWED, reason) from error


def _length(response: requests.Response) -> int | None:
    """Returns the length of the body that is announced."""
    with suppress(ValueError):
        return int(response.headers.get("Content-Length", ""))
    return None


def _failure_of_status(response: requests.Response) -> Failure:
    code = response.status_code
    reason = f"{code} {http.client.responses.get(code, '')}".strip()
    if code in (404, 410):
        return Failure(Status.GONE, reason)
    if code == 429 or code >= 500:
        wait = retry_after(response.headers.get("Retry-After", ""))
        again = code not in (501, 505)
        return Failure(Status.SERVER_ERROR, reason, again, wait, whole_host=code == 429)
    return Failure(Status.REFUSED, reason, again=code in (408, 425))


def retry_after(value: str) -> float | None:
    """Returns the seconds that a Retry-After header asks for, a number or a date; None if none."""
    with suppress(ValueError):
        return float(min(max(0, int(value)), YEAR))
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), YEAR)


def _failure_of(error: Exception) -> Failure:
    """Returns what an error of the connection or the protocol comes to, in words for a person."""
    if isinstance(error, InvalidURL):
        return Failure(Status.UNREACHABLE, str(error))
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                again = cause.errno == socket.EAI_AGAIN
                return Failure(Status.UNREACHABLE, "its host's name is unknown", again)
            case ssl.SSLCertVerificationError():
                return Failure(Status.UNREACHABLE, f"certificate: {cause.verify_message}")
            case ConnectionRefusedError():
                return Failure(Status.UNREACHABLE, "the connection is refused", again=True)
            case requests.exceptions.ProxyError():
                return Failure(Status.UNREACHABLE, "the proxy does not let it through", again=True)
            case urllib3.exceptions.NewConnectionError():
                return Failure(Status.UNREACHABLE, "no connection", again=True)
            case UnicodeError():
                return Failure(Status.UNREACHABLE, "its host's name is none")
    return Failure(Status.BROKEN_OFF, _in_words(error), again=True)


def _in_words(error: Exception) -> str:
    """Returns why an answer did not come to its end."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLError():
                words = (cause.reason or "it fails").lower().replace("_", " ")
                return f"TLS: {words}"
            case urllib3.exceptions.IncompleteRead() if cause.expected is not None:
                return f"{cause.partial:,} bytes came, and {cause.expected:,} more did not"
            case http.client.RemoteDisconnected():
                return "the server closed the connection without an answer"
            case http.client.BadStatusLine() | urllib3.exceptions.InvalidHeader():
                return "the answer is not in HTTP"
            case urllib3.exceptions.DecodeError():
                return "the body is not in its Content-Encoding"
            case http.client.IncompleteRead() | urllib3.exceptions.InvalidChunkLength():
                return "the body's chunks are not whole"
            case OSError() if cause.strerror:
                return cause.strerror.lower()
    return f"{type(error).__name__}: {error}"


def _causes(error: BaseException) -> list[BaseException]:
    """Returns an error and what led to it, the first cause first."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.insert(0, cause)
        cause = cause.__cause__ or cause.__context__
    return causes


def printable(text: str) -> str:
    """Returns `text` in one line of at most `MAX_REASON` characters, without control characters."""
    words = " ".join(text[: 10 * MAX_REASON].split())
    words = "".join(character if character.isprintable() else "�" for character in words)
    return words if len(words) <= MAX_REASON else words[: MAX_REASON - 1] + "…"


def _short(url: str) -> str:
    return repr(url if len(url) <= 100 else url[:100] + "…")
