"""What a pilot finds out about a network's paths: how many nodes a text needs, and how far its error can be.

Errors are relative L1 errors of a text's attributions. Their logarithm is foretold twice, by linear regressions: before
any gradient, from what both ends of the path show (`level`), and afterwards, from what a rule knows of its own work
(`told`). Three numbers say how many of their spreads an error is taken to be above that:

* `start` decides. A text starts with so many nodes that the level, so raised, is within the tolerance, and is done with
  them, unless its own rule expects nearly as much. Conformal risk control (Angelopoulos et al. 2022, arXiv:2208.02814)
  finds the least raise with which errors beyond the tolerance are as rare as is asked for. One rule for nearly all is
  cheaper than to start low and tell who is done: a second rule costs as much as a first, three or four more nodes do
  not. Only for the oddest the others need not start with more: those are told from their own rule.
* `again` decides after a second rule, by either regression.
* `raised` is for the bound that is written, which 95% of errors are below: split conformal prediction (Vovk et al.
  2005, chapter 4).

Decisions only: no network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ig_worker.explain.product import FEWEST, MOST, ROUNDING, Float64, Spread

TINY = 1e-7  # relative, so that logarithms stay finite
_LEAST_CHANGE = 1e-3  # of F
_LEAST_ODDS = 1e-2  # by which the logarithm of the odds changes
_SURE = 1e-6  # of F: nearer to 0 and to 1 odds are not told apart
_CHANCE = 0.3  # of an error: so small its gap may be by chance
_LEAST_SHARE = 0.02  # of the tolerance: of smaller errors nothing finer is said
_WARY = 0.8  # spreads by which a rule's own expectation has to be within the tolerance
_SLOWER = 1.5  # times as many nodes more as the regression says, where a text lacks some, and so much fewer to spare
_HAIR = 1e-6  # of a node


@dataclass(frozen=True)
class Ends:
    """What both ends of a path show, before any gradient."""

    change: float  # |F(x) − F(x')|
    odds: float  # the same of log(F / (1 − F)): of two paths with one change, that into saturation bends more
    tokens: int

    @classmethod
    def of(cls, f1: float, f0: float, tokens: int) -> Ends:
        """Of F at the text and at the baseline."""
        return cls(abs(f1 - f0), abs(_log_odds(f1) - _log_odds(f0)), tokens)

    def features(self, n: float) -> Float64:
        """Float64 [5], for n nodes."""
        change, odds = math.log(max(self.change, _LEAST_CHANGE)), math.log(max(self.odds, _LEAST_ODDS))
        return np.array([1.0, change + 1.0, odds - 1.0, math.log(max(self.tokens, 1) / 128), n])


def _log_odds(f: float) -> float:
    return math.log(max(f, _SURE) / max(1 - f, _SURE))


@dataclass(frozen=True)
class Known:
    """What a rule knows of its own error, relative to the attributions' L1 norm."""

    ends: Ends
    n: int  # nodes
    gap: float  # by which completeness is missed
    series: float  # `product.error_series`

    def features(self, level: float) -> Float64:
        """Float64 [4]. A gap may be small by chance: it counts with a part of the error that was expected."""
        gap = math.log(self.gap + _CHANCE * math.exp(level))
        return np.array([1.0, gap, math.log(max(self.series, TINY)), level])


@dataclass(frozen=True)
class Observation:
    """A rule whose error is known."""

    known: Known
    error: float

    @property
    def log(self) -> float:
        return math.log(max(self.error, TINY))


@dataclass(frozen=True)
class Calibration:
    """Where the nodes lie, how many there are, and what bounds their error, for one network, layer and baseline.

    Args:
        centre, width: of the nodes' `Spread`; without a width they are Gauss's own.
        level: the logarithm of the error by `Ends.features`, [5]; the last falls with the number of nodes.
        level_spread: standard deviation from that, of texts.
        told: the same by `Known.features`, [4], of which the bounds are that are written.
        told_spread: standard deviation from that, of texts.
        start: how many spreads above the level an error is taken to be, before a text's first rule.
        again: how many above what is foretold after a second, which no pilot's rows say anything of.
        raised: the same for the bound that is written.
        rows: of the pilot; 0: there was none, and all this is what other networks have in common.
        certified: the largest share of rows beyond the tolerance, where enough rows say so; None: nothing is promised.
    """

    centre: float = 0.5
    width: float | None = 0.2
    level: tuple[float, ...] = (-1.7, 0.1, 0.0, -0.1, -0.45)
    level_spread: float = 1.8
    told: tuple[float, ...] = (-1.9, 0.45, 0.4, 0.0)
    told_spread: float = 0.8
    start: float = 0.0
    again: float = 2.1
    raised: float = 2.1
    rows: int = 0
    certified: float | None = None

    @property
    def spread(self) -> Spread:
        """Of the nodes of a whole path."""
        return Spread(self.centre, self.width)

    @property
    def fall(self) -> float:
        """By how much the logarithm of the error falls with each node more."""
        return -self.level[-1]

    def first(self, ends: Ends, tolerance: float) -> int:
        """With how many nodes to start on a text."""
        above = self._lacks(ends, tolerance) + self.start * self.level_spread
        return int(min(max(math.ceil(above / self.fall + 1e-9), FEWEST), MOST))

    def _lacks(self, ends: Ends, tolerance: float) -> float:
        """The logarithm of the error without any nodes, above that of the tolerance."""
        within = math.log(max(tolerance - ROUNDING, tolerance / 2))
        return float(np.dot(self.level, ends.features(0))) - within

    def bound(self, known: Known, tolerance: float, *, again: bool = False) -> float:
        """Of the relative error, to decide whether a text is done. It is never below what completeness shows.

        Args:
            again: it is not the text's first rule.
        """
        level, told = self._foretold(known)
        if again or not self.rows:  # without rows, what other networks' errors are says nothing of this one's
            bound = told + self.again * self.told_spread
            bound = min(level + self.again * self.level_spread, bound) if self.rows else bound
            return self._least(known, tolerance, bound)
        return self._least(known, tolerance, max(level + self.start * self.level_spread, self._wary(told)))

    def estimate(self, known: Known, tolerance: float) -> float:
        """Of the relative error, to be written: `COVERED` of texts are below."""
        return self._least(known, tolerance, self._foretold(known)[1] + self.raised * self.told_spread)

    def _least(self, known: Known, tolerance: float, log: float) -> float:
        if not (math.isfinite(known.gap) and math.isfinite(known.series)):
            return math.nan
        return max(math.exp(min(log, 50.0)), known.gap, _LEAST_SHARE * tolerance)

    def _wary(self, told: float) -> float:
        """What a text's own rule has to expect for it to be done. It tells the oddest from the others."""
        return told + _WARY * self.told_spread

    def needed(self, seen: Observation, tolerance: float) -> float:
        """The least `start` with which a text gets as many nodes as it needs, by its error with those that it had.

        It is none for a text that would not be done with its first rule anyway: all others need not start with more
        for its sake.
        """
        if self._wary(self._foretold(seen.known)[1]) > math.log(tolerance):
            return -math.inf
        lacking = (seen.log - math.log(tolerance)) / self.fall
        nodes = seen.known.n + math.ceil(lacking * _SLOWER if lacking > 0 else lacking / _SLOWER)
        if nodes <= FEWEST:
            return -math.inf
        # `first` rounds up: anything above one node fewer will do.
        return ((nodes - 1 + _HAIR) * self.fall - self._lacks(seen.known.ends, tolerance)) / self.level_spread

    def written_score(self, seen: Observation, tolerance: float) -> float:
        """The least `raised` with which the written bound holds for a text whose error is known."""
        if seen.error <= max(_LEAST_SHARE * tolerance, seen.known.gap):
            return -math.inf
        return (seen.log - self._foretold(seen.known)[1]) / self.told_spread

    def to_json(self) -> dict[str, Any]:
        """For `of_json`."""
        return asdict(self) | {"level": list(self.level), "told": list(self.told)}

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Of what `to_json` gave."""
        return cls(**{**content, "level": tuple(content["level"]), "told": tuple(content["told"])})

    def _foretold(self, known: Known) -> tuple[float, float]:
        level = float(np.dot(self.level, known.ends.features(known.n)))
        level = max(level, math.log(TINY))
        return level, float(np.dot(self.told, known.features(level)))


# Fitted on reviews 6,000 to 7,023 of IMDB's test split with three networks: a DistilBERT of 2 blocks and a MiniLM,
# both trained on IMDB, and the demo's. The bound held for 99% of the rules of each.
CAUTIOUS = Calibration()
