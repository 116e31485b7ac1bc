"""Where to spend the next evaluations of a text: decisions only, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ig_worker.explain.product import MOST, Float64

HALF_NODES = 8  # of each half of a part that was cut
_APART = 2  # nodes between two rules that are to be compared


@dataclass
class Panel:
    """A part [low, high] of a path from 0 to 1, integrated with n nodes."""

    low: float
    high: float
    n: int
    values: Float64  # its share of the attributions, [tokens]
    bound: float  # of its L1 error
    gap: float  # by which its sum misses F(high) − F(low)
    difference: float = math.inf  # L1, from the same panel with fewer nodes
    written: float = math.inf  # bound that is written, where it is not `bound`

    @property
    def error(self) -> float:
        """Estimated L1 error: the bound or what a second rule says, but never less than what completeness shows."""
        return max(min(self.bound, self.difference), abs(self.gap))

    @property
    def estimate(self) -> float:
        """L1 error that is written."""
        return max(min(self.bound if math.isinf(self.written) else self.written, self.difference), abs(self.gap))


@dataclass(frozen=True)
class Retry:
    """Integrate panel number `panel` again with n nodes."""

    panel: int
    n: int


@dataclass(frozen=True)
class Halve:
    """Cut panel number `panel` in two."""

    panel: int


HALVING_COST = 2 * HALF_NODES + 0.5  # evaluations


def refinement(panels: Sequence[Panel], goal: float, left: float, fall: float) -> Retry | Halve | None:
    """What to do about the worst panel; None where nothing is affordable.

    Args:
        panels: of one path.
        goal: the L1 error that is allowed for all of them together.
        left: evaluations that may still be spent.
        fall: by how much the logarithm of the error falls with each node more.
    """
    errors = [panel.error for panel in panels]
    worst = int(np.argmax(errors))
    panel, allowed = panels[worst], max(goal - (sum(errors) - errors[worst]), 0.1 * goal)
    # A second rule that did not do either shows that errors fall more slowly here: so the third has half as many again.
    apart = _APART if math.isinf(panel.difference) else max(_APART, panel.n // 2)
    wanted = panel.n + max(apart, math.ceil(math.log(panel.error / allowed) / fall))
    n = min(wanted, MOST, math.floor(left))
    if n >= panel.n + _APART and (n == wanted or panel.n < MOST // 2):
        return Retry(worst, n)
    if left >= HALVING_COST:
        return Halve(worst)
    return Retry(worst, n) if n >= panel.n + _APART else None
