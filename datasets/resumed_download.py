"""Downloads a large file over HTTP; what came of it before the connection broke is not sent again.

The bytes go to NAME.download beside the file, and the server's name for that version of the file
(its ETag) to NAME.download.etag: with that, by RFC 9110's Range and If-Range, a server sends the
rest of the same version, or else the whole of another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import requests
import urllib3

from common.errors import CommandError
from common.files import cannot_write, new_folders
from common.progress import progress
from datasets.download import DownloadError

STEP = 2**16  # bytes
HEADERS = {  # one of the servers refuses who gives no name
    "Accept-Encoding": "identity",
    "User-Agent": f"bandcamp-deep-learning ({requests.utils.default_user_agent()})",
}


def download_resumed(url: str, path: Path, timeout: float) -> None:
    """Downloads the file at `url` to `path`, which appears when it is whole.

    Parameters
    ----------
    url, path
        From where and to where.
    timeout : float
        Seconds to wait for the server's next sign of life.

    Raises
    ------
    DownloadError
        Where the server can't be reached, refuses, falls silent or breaks off; what came is kept.
    CommandError
        Where the file can't be written.
    """
    part = path.with_name(f"{path.name}.download")
    tag = part.with_name(f"{part.name}.etag")
    try:
        with new_folders(path.parent):
            if not _complete(url, part, tag, timeout):  # what is there is not of this file
                part.unlink(missing_ok=True)
                tag.unlink(missing_ok=True)
                if not _complete(url, part, tag, timeout):
                    raise DownloadError(f"{url} answers 416 to a request for all of it")
            part.replace(path)
            tag.unlink(missing_ok=True)
    except (requests.RequestException, ValueError) as error:  # a header that is no number
        raise DownloadError(f"{url}: {_reason(error, timeout)}") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _complete(url: str, part: Path, tag: Path, timeout: float) -> bool:
    """Downloads what is missing; returns False where the server has no such part of the file."""
    etag = tag.read_text(encoding="latin-1") if tag.is_file() else ""
    start = part.stat().st_size if etag and part.is_file() else 0
    headers = HEADERS | ({"Range": f"bytes={start}-", "If-Range": etag} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable and start:
            return False
        if response.status_code == requests.codes.partial_content and start:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                return False
        elif response.status_code == requests.codes.ok:
            start = 0
            with suppress(FileNotFoundError):
                tag.unlink()
        else:
            raise DownloadError(f"{url} answers {response.status_code} {response.reason}")
        _append(response, part, tag, start)
    return True


def _append(response: requests.Response, part: Path, tag: Path, start: int) -> None:
    expected = start + int(response.headers.get("Content-Length") or 0)
    has_length = "Content-Length" in response.headers
    etag = response.headers.get("ETag", "")
    received = start
    with (
        part.open("r+b" if start else "wb") as file,
        progress(f"Downloading {part.stem}", max(1, expected), "bytes") as advance,
    ):
        file.seek(start)
        if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
            tag.write_text(etag, encoding="latin-1")
        advance(start)
        try:
            for step in response.raw.stream(STEP, decode_content=False):
                file.write(step)
                received += len(step)
                advance(len(step))
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(_broken_off(response, received, tag)) from error
    if has_length and received != expected:
        raise DownloadError(_broken_off(response, received, tag))


def _broken_off(response: requests.Response, received: int, tag: Path) -> str:
    advice = "the same command goes on from there" if tag.exists() else "try again"
    return f"{response.url} broke off after {received:,} bytes; {advice}"


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return "the server can't be reached"
    return str(error)


def from_first(
    mirrors: list[str], path: Path, timeout: float, fault: Callable[[Path], str]
) -> None:
    """Downloads `path` from the first of several addresses that has it right.

    Parameters
    ----------
    mirrors : list of str
        The addresses.
    path, timeout
        As for `download_resumed`.
    fault : callable
        Returns what is wrong with a file that was downloaded; it is removed, and the next tried.

    Raises
    ------
    CommandError
        Where none has it.
    """
    failures = []
    try:
        with new_folders(path.parent):
            for number, url in enumerate(mirrors):
                # What was begun at one mirror is not gone on with at another.
                place = path if number == 0 else path.with_name(f"{number}-{path.name}")
                try:
                    download_resumed(url, place, timeout)
                except DownloadError as error:
                    failures.append(str(error))
                    continue
                if not (wrong := fault(place)):
                    place.replace(path)
                    return
                place.unlink()
                failures.append(f"{url} {wrong}")
    except OSError as error:
        raise cannot_write(path, error) from error
    raise CommandError(
        f"{path.name} can't be downloaded: {'; '.join(failures)}. Try again later, or give "
        "--source with another address or a file."
    )
