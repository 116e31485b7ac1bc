"""Numbers as people read them: never rounded to a certainty, nor to nothing."""

from __future__ import annotations

import math


def percent(share: float | None) -> str:
    """``0.5`` as ``50.0%``; never rounded up to 100% nor down to 0%, where a few rows are the news."""
    if share is None:
        return "–"
    text = f"{share:.1%}"
    if text == "100.0%" and share < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and share > 0 else text


def points(difference: float) -> str:
    """A difference of shares: ``-0.0321`` as ``-3.21 points``; never rounded down to 0."""
    text = f"{100 * difference:+.2f}"
    if text in ("+0.00", "-0.00"):
        text = "0.00" if difference == 0 else f"{100 * difference:+.1e}"
    return f"{text} points"


def number(value: float | None) -> str:
    """Two significant digits, for figures of any size."""
    return "–" if value is None or math.isnan(value) else f"{value:.2g}"


def probability(value: float) -> str:
    """Three decimals, never rounded to a certainty."""
    if 0.9995 <= value < 1:
        return ">0.999"
    return "<0.001" if 0 < value < 0.0005 else f"{value:.3f}"


def measured(value: float) -> str:
    """Four significant digits, for numbers of which nothing is known."""
    return f"{value:.4g}"


def signed(value: float) -> str:
    """``+0.0412``, or ``+3.1e-05`` where four decimals would show nothing; 0 as ``0``."""
    if value == 0:
        return "0"
    return f"{value:+.1e}" if abs(value) < 0.0005 else f"{value:+.4f}"
