"""Downloads the pictures that a file of links lists, a folder of them for each label.

The file has a line for each picture: its address, a tab and <label>/<name>.jpg. Repeat the command
to go on where it stopped: a picture that is there and whole is not fetched again. OUT_DIR gets
download-report.tsv, a line for each link with what became of it. The exit status is 0 when all
pictures are there, and 1 when some are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets.download_images import Download

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of download_dataset_images."""

    out_dir: Path
    """Folder that the pictures and the report are written to."""

    dataset_links_tsv: Path = Path("dataset-links.tsv")
    """The file of links."""

    num_threads: int = 10
    """Pictures to fetch at once; no more than 8 of them from one host."""

    timeout: float = 30.0
    """Seconds that one attempt at a picture may take, from the connection to the last byte."""

    retries: int = 2
    """Attempts after the first at a picture that another may bring."""

    max_bytes: int = 20_000_000
    """Size in bytes of the largest picture to take."""

    allow_private: bool = False
    """Follows names and redirects to private addresses; else they must stand in the file itself."""

    retry_failed: bool = False
    """Fetches only what another try may bring by the last run's report; not what is gone or no
    picture. What it lists as there is not checked."""


def run(options: Options) -> Download:
    """Fetches the pictures, prints a summary and returns what became of every link."""
    from common.errors import CommandError
    from datasets.download_images import download_images
    from datasets.fetch import Limits

    download = download_images(
        options.dataset_links_tsv,
        options.out_dir,
        num_threads=options.num_threads,
        retries=options.retries,
        limits=Limits(options.timeout, options.max_bytes, options.allow_private),
        retry_failed=options.retry_failed,
    )
    print(download.summary, flush=True)
    if download.num_missing:
        raise CommandError(
            f"{download.num_missing:,} of {len(download.outcomes):,} pictures are missing; "
            f"{download.report} says why, for each."
        )
    print(f"Report: {download.report}")
    return download
