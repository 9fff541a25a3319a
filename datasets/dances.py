"""Eight ballroom dances as patterns: who plays when in a bar, and how fast.

The dances are those of the Ballroom dataset (F. Gouyon et al., An experimental comparison of audio
tempo induction algorithms, 2006), written down from what dance bands play: metre, the rhythm of
each part, usual tempi. Some share their tempi, so that only the pattern tells them apart: Rumba and
Samba, ChaChaCha and Tango, Jive and VienneseWaltz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARTS = ("low", "mid", "high", "bell", "bass", "chord")
LOUDNESS = {"X": 1.0, "x": 0.65, "o": 0.35}  # by a step's sign; a dot is a rest


@dataclass(frozen=True)
class Dance:
    """A dance.

    Parameters
    ----------
    beats : int
        In a bar.
    tempi : tuple of int
        The slowest and the fastest tempo, in beats per minute.
    pattern : mapping of str to str
        A bar of each part: equal steps, all parts as many, see `LOUDNESS`.
    held : float
        How much of the way to the next note bass and chords are held.
    """

    beats: int
    tempi: tuple[int, int]
    pattern: Mapping[str, str]
    held: float = 0.6

    @property
    def steps(self) -> int:
        """How many steps a bar has."""
        return len(self.pattern["low"])


DANCES = {
    "ChaChaCha": Dance(
        4,
        (112, 132),
        {
            "low": "X.......x.......",
            "mid": "....x.......X.X.",
            "high": "X...x.x.X...x.x.",
            "bell": "X...x...X...x...",
            "bass": "X.....x.....x.x.",
            "chord": "..x...x...x...x.",
        },
        0.4,
    ),
    "Jive": Dance(
        4,
        (158, 184),
        {
            "low": "x..x..x..x..",
            "mid": "...X.....X..",
            "high": "X..X.xX..X.x",
            "bell": "............",
            "bass": "X..x..X..x..",
            "chord": "...x.x...x.x",
        },
    ),
    "Quickstep": Dance(
        4,
        (190, 216),
        {
            "low": "X...x...",
            "mid": "..x...x.",
            "high": "x.x.x.xx",
            "bell": "........",
            "bass": "X...X...",
            "chord": "..X...X.",
        },
        0.3,
    ),
    "Rumba": Dance(
        4,
        (90, 110),
        {
            "low": "X.......x.......",
            "mid": "x.o.x.o.x.o.X.o.",
            "high": "x.x.x.x.x.x.x.x.",
            "bell": "X..X..X...X.X...",
            "bass": "X.....x.x...x...",
            "chord": "X...........x...",
        },
        0.9,
    ),
    "Samba": Dance(
        4,
        (92, 112),
        {
            "low": "x...X...x...X...",
            "mid": "x.x..x.x.x..x.x.",
            "high": "XoxXXoxXXoxXXoxX",
            "bell": "x.x..xx.x..x.x..",
            "bass": "x..xX..xx..xX..x",
            "chord": "..x..x....x..x..",
        },
        0.4,
    ),
    "Tango": Dance(
        4,
        (114, 136),
        {
            "low": "X...X...",
            "mid": "......oX",
            "high": "x...x...",
            "bell": "........",
            "bass": "X.x.X.xX",
            "chord": "X.X.X.Xx",
        },
        0.3,
    ),
    "VienneseWaltz": Dance(
        3,
        (164, 188),
        {
            "low": "X.....",
            "mid": "..x.x.",
            "high": "x.x.x.",
            "bell": "......",
            "bass": "X.....",
            "chord": "..x.x.",
        },
    ),
    "Waltz": Dance(
        3,
        (82, 100),
        {
            "low": "X.....",
            "mid": "....o.",
            "high": "o.xox.",
            "bell": "......",
            "bass": "X.....",
            "chord": "X.x.xo",
        },
        1.0,
    ),
}
