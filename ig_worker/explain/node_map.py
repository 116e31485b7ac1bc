"""Where the nodes of a network's paths should lie: decisions only, from what a few paths have shown. No network.

Paths bend in the middle, but not all networks' in the same place, nor as sharply. A map that has its nodes where a
network's paths need them saves up to a node of ten. It is chosen by what each rule would have made of paths that are
known: J in one direction of each, on many nodes, through the slope of the head along it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre

from ig_worker.explain.explanation import FLOOR
from ig_worker.explain.product import FEWEST, Float64, Spread, lagrange

SURVEYED = 32  # nodes on which a path is known
CELLS = 256  # of [0, 1], on which the head's slope is known
# Nodes that are tried. Gauss's rule with half as many as were surveyed, in their own map, makes no error at all on what
# was seen: near that, the usual map would look better than it is.
_TRIED = range(FEWEST, 3 * SURVEYED // 8 + 1)
_CENTRES, _WIDTHS = (0.4, 0.45, 0.5, 0.53, 0.56, 0.6), (0.1, 0.125, 0.15, 0.175, 0.2, 0.25, 0.3, 0.4)
_MARGIN = 0.7  # the logarithm by which errors should be below the tolerance, so that few texts need a second rule
_COMPARED = 3  # numbers of nodes, so that no single one is lucky
_GAIN = 0.1  # of the logarithm of the error: what is not worth leaving the usual map


@dataclass(frozen=True)
class Survey:
    """One path, along one direction u of z.

    Args:
        samples: J(α_s)ᵀu · (h − h') at the `SURVEYED` nodes of the usual map, ascending, [nodes, tokens].
        slope: ∫ ∂F/∂z · u dα over each of `CELLS` equal parts of [0, 1], [cells].
    """

    samples: npt.NDArray[np.floating]
    slope: npt.NDArray[np.floating]


def choose_map(seen: Sequence[Survey], tolerance: float) -> Spread:
    """The map with which a network's paths need the fewest nodes to be within a tolerance.

    Compared are mean logarithms of errors over the paths, from where the best map reaches the tolerance; the usual map
    stays where none is better by a tenth.
    """
    usual = Spread()
    if not seen:
        return usual
    maps = [usual, *(Spread(centre, width) for centre in _CENTRES for width in _WIDTHS)]
    logs = np.array([[_mean_log(errors(seen, spread, n)) for n in _TRIED] for spread in maps])
    if not np.isfinite(logs).all() or logs[0, 0] <= math.log(tolerance) - _MARGIN:  # the fewest nodes will do
        return usual
    enough = np.flatnonzero(logs.min(axis=0) <= math.log(tolerance) - _MARGIN)
    first = min([*enough, len(_TRIED) - _COMPARED])
    scores = logs[:, first : first + _COMPARED].mean(axis=1)
    best = int(np.argmin(scores))
    return maps[best] if scores[best] < scores[0] - _GAIN else usual


def errors(seen: Sequence[Survey], spread: Spread, n: int) -> Float64:
    """Relative L1 errors of the product rule with n nodes on each path, float64 [paths]."""
    usual, cells, known = Spread(), (np.arange(CELLS) + 0.5) / CELLS, legendre.leggauss(SURVEYED)[0]
    t = legendre.leggauss(n)[0]
    exactly = lagrange(known, usual.t(cells))  # [cells, surveyed]
    by_rule = lagrange(t, spread.t(cells)) @ lagrange(known, usual.t(spread.alpha(t)))
    found = []
    for path in seen:
        exact, wrong = path.slope @ exactly @ path.samples, path.slope @ (by_rule - exactly) @ path.samples
        found.append(np.abs(wrong).sum() / max(float(np.abs(exact).sum()), FLOOR))
    return np.array(found)


def _mean_log(found: Float64) -> float:
    return float(np.log(np.maximum(found, 1e-9)).mean())
