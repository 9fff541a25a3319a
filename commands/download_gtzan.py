"""Downloads GTZAN, 1,000 recordings of ten genres, 30 s each, to DATA_DIR/gtzan.

Of G. Tzanetakis and P. Cook, Musical genre classification of audio signals, 2002; 1.2 GB from a
mirror or from its authors' server. The recordings go to DATA_DIR/gtzan/GENRE/. A download that
broke off goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of download_gtzan."""

    data_dir: Annotated[Path, Positional, arg(metavar="DATA_DIR")]
    """Folder that the recordings' folder, gtzan, goes to."""

    source: str | None = None
    """Archive to take, a file or an http address; None: the public addresses."""

    keep_archive: bool = False
    """Keeps what was downloaded, as DATA_DIR/gtzan.tar.gz."""

    timeout: float = 30.0
    """Seconds to wait for a server's next sign of life."""


def run(options: Options) -> Path:
    """Gets and unpacks the recordings; returns their folder."""
    from datasets.music import GTZAN, fetch

    fetched = fetch(
        GTZAN,
        options.data_dir,
        source=options.source,
        keep_archive=options.keep_archive,
        timeout=options.timeout,
    )
    if fetched.count:
        print(f"Wrote {fetched.count:,} recordings to {fetched.folder}.")
    else:
        print(f"{fetched.folder} is there already; remove it to download it again.")
    print(f"For their spectrograms: create_spectrograms {fetched.folder} NAME.pkl.zip.")
    return fetched.folder
