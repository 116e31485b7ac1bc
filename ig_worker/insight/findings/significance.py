"""How sure a difference between groups of texts is. Pure functions over numpy arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SURE = 0.05  # false discovery rate up to which a finding is told
_Z = float(stats.norm.ppf(0.975))  # of intervals of 95%


def stratified_p(hits: int, inside: Ints, events: Ints, sizes: Ints) -> float:
    """Chance of `hits` events or more in a group, were they dealt out without regard to it within each stratum.

    Fisher's exact test of each stratum, added up (Birch 1964; Cochran, Mantel and Haenszel without their
    approximation): the sum of independent hypergeometric numbers, by convolution.

    Args:
        hits: events in the group, over all strata.
        inside: texts of the group in each stratum, [strata].
        events: events in each stratum.
        sizes: texts in each stratum.
    """
    chances, offset = np.ones(1), 0
    for n, event, size in zip(inside.tolist(), events.tolist(), sizes.tolist(), strict=True):
        low, high = max(0, n + event - size), min(n, event)
        if low == high:
            offset += low
            continue
        pmf = stats.hypergeom.pmf(np.arange(low, high + 1), size, event, n)
        chances = np.convolve(chances, pmf)  # all are positive, so small tails keep their digits
        offset += low
    at = hits - offset
    return 1.0 if at <= 0 else float(min(chances[at:].sum(), 1.0))


def deviates(hits: Floats, inside: Floats, events: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """The same by its mean and variance, for many groups at once.

    Args:
        hits: events in each group, [groups].
        inside: texts of each group in each stratum, [groups, strata].
        events: events in each stratum, [strata].
        sizes: texts in each stratum, [strata].

    Returns:
        Standard normal deviates (0 where nothing can vary), and hits beyond what was to be expected, both [groups].
    """
    rate = events / np.maximum(sizes, 1)
    excess = hits - inside @ rate
    spread = events * (sizes - events) / np.maximum(sizes**2 * (sizes - 1), 1)
    variance = (inside * (sizes - inside)) @ spread
    return np.where(variance > 1e-12, excess / np.sqrt(np.maximum(variance, 1e-12)), 0.0), excess


def wilson(hits: float, size: float) -> tuple[float, float]:
    """95% interval of a share (Wilson 1927)."""
    if not size:
        return 0.0, 1.0
    share, z2 = hits / size, _Z**2
    middle, half = share + z2 / (2 * size), _Z * math.sqrt(share * (1 - share) / size + z2 / (4 * size**2))
    return max(0.0, (middle - half) / (1 + z2 / size)), min(1.0, (middle + half) / (1 + z2 / size))


def share_difference(hits_a: float, size_a: float, hits_b: float, size_b: float) -> tuple[float, float, float]:
    """Share of a less share of b with its 95% interval (Newcombe 1998, method 10): (difference, low, high)."""
    a, b = hits_a / max(size_a, 1), hits_b / max(size_b, 1)
    (low_a, high_a), (low_b, high_b) = wilson(hits_a, size_a), wilson(hits_b, size_b)
    down, up = math.hypot(a - low_a, high_b - b), math.hypot(high_a - a, b - low_b)
    return a - b, max(a - b - down, -1.0), min(a - b + up, 1.0)


def paired_difference(both: int, gained: int, lost: int, neither: int) -> tuple[float, float, float]:
    """A share now less the same share before, of the same texts, with its 95% interval: (difference, low, high).

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired
    data", method 10: Wilson's bounds of both shares, put together with regard to their correlation.

    Args:
        both: texts of which it was true and still is; gained: it has become true; lost: it no longer is; neither.
    """
    size = both + gained + lost + neither
    if not size:
        return 0.0, -1.0, 1.0
    now, before = (both + gained) / size, (both + lost) / size
    (low_now, high_now), (low_before, high_before) = wilson(both + gained, size), wilson(both + lost, size)
    margins = float(both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    product = float(both) * neither - float(gained) * lost
    product = max(product - size / 2, 0.0) if product > 0 else product
    phi = product / math.sqrt(margins) if margins > 0 else 0.0

    def width(a: float, b: float) -> float:
        return math.sqrt(max(a**2 - 2 * phi * a * b + b**2, 0.0))

    down, up = width(now - low_now, high_before - before), width(high_now - now, before - low_before)
    return now - before, max(now - before - down, -1.0), min(now - before + up, 1.0)


def false_discovery_rates(p: Floats) -> Floats:
    """P-values adjusted for their number: those up to q are false for a share q of them (Benjamini, Hochberg 1995)."""
    return stats.false_discovery_control(p) if len(p) else p
