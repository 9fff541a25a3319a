"""Downloads Ballroom, 698 recordings of eight dances, 30 s each, to DATA_DIR/ballroom.

Of F. Gouyon et al., An experimental comparison of audio tempo induction algorithms, 2006; 1.5 GB
from its authors' server. The recordings go to DATA_DIR/ballroom/DANCE/, those of the three kinds of
Rumba to folders below Rumba/. A download that broke off goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of download_ballroom."""

    data_dir: Annotated[Path, Positional, arg(metavar="DATA_DIR")]
    """Folder that the recordings' folder, ballroom, goes to."""

    source: str | None = None
    """Archive to take, a file or an http address; None: the public addresses."""

    keep_archive: bool = False
    """Keeps what was downloaded, as DATA_DIR/ballroom.tar.gz."""

    timeout: float = 30.0
    """Seconds to wait for a server's next sign of life."""


def run(options: Options) -> Path:
    """Gets and unpacks the recordings; returns their folder."""
    from datasets.music import BALLROOM, fetch

    fetched = fetch(
        BALLROOM,
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
