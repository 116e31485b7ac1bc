"""Where to spend the next evaluations of a text: decisions only, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ig_worker.explain.product import NODES, Float64

FIRST_NODES = 6  # until enough texts have been seen
SEEN_ENOUGH = 16  # texts
HALF_NODES = 8  # of each half of a part that was cut
_AIM = 0.7  # of what is allowed, as predictions err
_CLOSE = 4.0  # times what is allowed: the estimate is cautious, so then a second rule will probably confirm the first
_APART = 2  # nodes between two rules that are to be compared


@dataclass
class Panel:
    """A part [low, high] of a path from 0 to 1, integrated with n nodes."""

    low: float
    high: float
    n: int
    values: Float64  # its share of the attributions, [tokens]
    predicted: Float64  # L1 error at every number of nodes in NODES, [len(NODES)]
    gap: float  # by which its sum misses F(high) − F(low)
    difference: float = math.inf  # L1, from the same panel with fewer nodes

    @property
    def error(self) -> float:
        """Estimated L1 error: what the series or a second rule says, but never less than what completeness shows."""
        return max(min(float(self.predicted[NODES.index(self.n)]), self.difference), abs(self.gap))


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


def refinement(panels: Sequence[Panel], goal: float, left: float) -> Retry | Halve | None:
    """What to do about the worst panel; None where nothing is affordable.

    Args:
        panels: of one path.
        goal: the L1 error that is allowed for all of them together.
        left: evaluations that may still be spent.
    """
    errors = [panel.error for panel in panels]
    worst = int(np.argmax(errors))
    panel, allowed = panels[worst], max(goal - (sum(errors) - errors[worst]), 0.1 * goal)
    more = [n for n in NODES if n >= panel.n + _APART]
    close = panel.error <= _CLOSE * allowed
    enough = [n for n in more if close or panel.predicted[NODES.index(n)] <= _AIM * allowed]
    affordable = [n for n in more if n <= left]
    if enough and enough[0] <= left:
        return Retry(worst, enough[0])
    if not enough and left >= HALVING_COST:
        return Halve(worst)
    return Retry(worst, affordable[-1]) if affordable else None


@dataclass
class Start:
    """With how many nodes to start on a text, learned from those before it in the same call."""

    needs: list[int] = field(default_factory=list)  # the smallest sufficient number of each text so far

    def nodes(self) -> int:
        """The number that would have cost least so far, where too few cost a second rule."""
        if len(self.needs) < SEEN_ENOUGH:
            return FIRST_NODES
        needs = np.array(self.needs)
        costs = [np.where(needs <= n, n, n + np.maximum(needs, n + _APART)).sum() for n in NODES]
        return NODES[int(np.argmin(costs))]

    def learn(self, predicted: Float64, goal: float) -> None:
        """Enter a text whose errors at every number of nodes are `predicted`."""
        enough = [n for n, error in zip(NODES, predicted, strict=True) if error <= goal]
        self.needs.append(enough[0] if enough else NODES[-1])
