"""Attributions of one review as colours: a diverging map, centred on 0, scaled by the review's own largest |a|.

As in alibi's tutorials (matplotlib's ``PiYG``). The three palettes offered are ColorBrewer's colour-blind-safe ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ig_worker.errors import UsageError

STEPS = 20  # shades on each side of 0
PALETTES = ("PiYG", "PuOr", "RdBu")

Rgb = tuple[float, float, float]  # 0 to 1


@dataclass(frozen=True)
class Swatch:
    """CSS colours of one token."""

    background: str
    text: str


NEUTRAL = Swatch("transparent", "inherit")


def levels(attributions: ArrayLike) -> NDArray[np.int64]:
    """Shade of each attribution, -STEPS to STEPS; all 0 where every attribution is. Non-finite values count as 0."""
    values = np.asarray(attributions, np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    peak = np.max(np.abs(values), initial=0.0)
    if peak == 0:
        return np.zeros(values.shape, np.int64)
    return np.rint(values / peak * STEPS).astype(np.int64)


def colours(attributions: ArrayLike, palette: str = "PiYG") -> list[Swatch]:
    """Colours of the tokens of one review on a white page."""
    shades = swatches(palette)
    return [shades[level] for level in levels(attributions).tolist()]


def swatches(palette: str = "PiYG", surface: Rgb | None = None) -> dict[int, Swatch]:
    """The swatch of each level, for a page of the colour `surface`.

    On a white page (None) this is matplotlib's map. On another one the map fades from its middle tones into the page,
    so that small attributions do not glare from a dark page.

    Raises:
        UsageError: `palette` is not one of `PALETTES`.
    """
    if palette not in PALETTES:
        raise UsageError(f"palette is {palette!r}", expected=f"one of {', '.join(PALETTES)}")
    from matplotlib import colormaps  # takes a third of a second

    colormap = colormaps[palette]
    shades = {0: NEUTRAL}
    for level in range(-STEPS, STEPS + 1):
        if level == 0:
            continue
        rgb = colormap(0.5 + level / STEPS / 2)[:3] if surface is None else _faded(colormap, level / STEPS, surface)
        shades[level] = Swatch(_css(rgb), _readable_on(rgb))
    return shades


def _faded(colormap: Any, strength: float, surface: Rgb) -> Rgb:
    vivid = colormap(0.5 + np.copysign(0.34, strength))[:3]
    red, green, blue = (s + abs(strength) * (v - s) for s, v in zip(surface, vivid, strict=True))
    return red, green, blue


def luminance(rgb: Rgb) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(a: Rgb, b: Rgb) -> float:
    """Contrast ratio, 1 to 21; small text needs 4.5 (WCAG 2.2)."""
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def _readable_on(rgb: Rgb) -> str:
    black, white = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return _css(max(black, white, key=lambda text: contrast(text, rgb)))


def _css(rgb: Rgb) -> str:
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in rgb)
