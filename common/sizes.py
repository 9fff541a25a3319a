"""Sizes for people to read."""

from __future__ import annotations

UNITS = ("kB", "MB", "GB", "TB")


def size_text(size: float) -> str:
    """Writes bytes in the unit that suits them, as in 38 kB, 1.2 MB or 140 GB."""
    power = 1
    while power < len(UNITS) and size >= 999.5 * 1000**power:
        power += 1
    value = size / 1000**power
    return f"{value:,.{0 if value >= 9.95 else 1}f} {UNITS[power - 1]}"
