"""Downloads files over HTTP: beside their name first, checked, then renamed."""

from __future__ import annotations

from pathlib import Path

import requests
import urllib3

from common.files import whole_file
from common.progress import progress

STEP = 65536  # bytes


class DownloadError(Exception):
    """Why a file could not be downloaded; begins with its address."""


def download(url: str, path: Path, timeout: float) -> None:
    """Downloads the file at `url` to `path`, whole or not at all.

    Parameters
    ----------
    url, path
        From where and to where.
    timeout : float
        Seconds to wait for the server's next sign of life.

    Raises
    ------
    DownloadError
        Where the server can't be reached, refuses, falls silent or breaks off.
    CommandError
        Where the file can't be written.
    """
    headers = {"Accept-Encoding": "identity"}  # a .gz file is to arrive as it is
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code != requests.codes.ok:
                raise DownloadError(f"{url} answers {response.status_code} {response.reason}")
            _save(response, path)
    except (requests.RequestException, ValueError) as error:
        raise DownloadError(f"{url}: {_reason(error, timeout)}") from error


def _save(response: requests.Response, path: Path) -> None:
    expected = int(response.headers.get("Content-Length", 0))
    received = 0
    with (
        whole_file(path) as partial,
        partial.open("wb") as file,
        progress(f"Downloading {path.name}", expected, "bytes") as advance,
    ):
        try:
            for step in response.raw.stream(STEP, decode_content=False):
                file.write(step)
                advance(len(step))
                received += len(step)
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{response.url} broke off: {error}") from error
        if expected and received != expected:
            raise DownloadError(
                f"{response.url} broke off after {received:,} of {expected:,} bytes"
            )


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return "the server can't be reached"
    return str(error)


def is_address(source: str) -> bool:
    """Returns whether `source` is an http or https address, rather than a folder."""
    return source.lower().startswith(("http://", "https://"))
