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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
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
JUDGED_AT = 2.0  # times the risk that is expected where judges are seen: near where it is decided they say most
COVERED = 0.95  # of errors are below the bounds that are written
_SLOWER = 1.5  # times as many nodes more as the regression says, where a text lacks some, and so much fewer to spare
_HAIR = 1e-6  # of a node
SCOUTS = 12  # rows of a pilot that say how errors fall with the number of nodes
_SURVEYED = 8  # of them, those that say where the nodes should lie
_JUDGED = 0.25  # of the others: rows that refine the regressions
_SHARE = 0.02  # of the run's evaluations that a pilot may cost beyond what its rows cost anyway
_SURVEY_COST, _SCOUT_COST, _ROW_COST = 3.5, 2.5, 1.6  # what a row costs beyond that, in rows
_SURVEYS_FROM = 60  # rows of a pilot, from which a survey is a small part of it
_MOST_ROWS = 400
_LEAST_ROWS = 3


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
# How far a network may be from what networks have in common, one standard deviation of each coefficient.
_LEVEL_APART = (3.0, 0.4, 0.4, 0.4, 0.25)
_TOLD_APART = (1.0, 0.5, 0.3, 0.7)
_LEAST_FALL = 0.05
_PRIOR_ROWS = 4  # as many rows as the prior spreads count for
_PRIOR_SPREADS = 0.6, 0.4
_STEP = 0.05  # of spreads, in which a start is looked for


def fit(seen: Sequence[Observation], before: Calibration = CAUTIOUS) -> Calibration:
    """The two regressions, by rows of a pilot; they are drawn to `before` where rows are few (ridge regression).

    Args:
        seen: rules with errors that are known, of one row perhaps several.
        before: what is taken for granted.
    """
    if not seen:
        return before
    y = np.array([one.log for one in seen])
    ends = np.array([one.known.ends.features(one.known.n) for one in seen])
    level, level_spread = _regression(ends, y, before.level, _LEVEL_APART, _PRIOR_SPREADS[0])
    level[-1] = min(level[-1], -_LEAST_FALL)
    levels = np.maximum(ends @ level, math.log(TINY))
    shown = np.array([one.known.features(float(at)) for one, at in zip(seen, levels, strict=True)])
    told, told_spread = _regression(shown, y, before.told, _TOLD_APART, _PRIOR_SPREADS[1])
    return replace(
        before,
        level=tuple(level),
        level_spread=level_spread,
        told=tuple(told),
        told_spread=told_spread,
    )


def _regression(
    x: Float64, y: Float64, before: Sequence[float], apart: Sequence[float], spread: float
) -> tuple[list[float], float]:
    """Coefficients and the spread about them, both with their priors."""
    weights = np.diag(spread**2 / np.square(apart))
    found = np.array(before) + np.linalg.solve(x.T @ x + weights, x.T @ (y - x @ np.array(before)))
    squares = float(np.square(y - x @ found).sum())
    return [float(c) for c in found], math.sqrt((squares + _PRIOR_ROWS * spread**2) / (len(y) + _PRIOR_ROWS))


def by_law(fitted: Calibration, ends: Sequence[Ends], tolerance: float, risk: float, rows: int) -> Calibration:
    """With how much to spare texts start while no judge has spoken: as a normal law of errors would have it.

    That is the least with which no more texts like these are expected beyond the tolerance. As texts get whole nodes,
    most of them have more to spare than that, and how much more is known: so what is summed is each text's own chance.

    Args:
        fitted: the regressions.
        ends: of some texts.
        tolerance: of the run.
        risk: the share of rows that may be beyond the tolerance.
        rows: that were fitted.
    """
    most = 2 * guess(risk, rows)
    scale = fitted.level_spread * math.sqrt(1 + len(fitted.level) / max(rows, 1))  # coefficients are not known either
    for start in np.arange(0.0, most, _STEP):
        found = replace(fitted, start=float(start))
        levels = [float(np.dot(fitted.level, one.features(found.first(one, tolerance)))) for one in ends]
        chances = [_tail((math.log(tolerance) - level) / scale, rows + _PRIOR_ROWS) for level in levels]
        if chances and np.mean(chances) <= risk:
            return found
    return replace(fitted, start=most)


def _tail(t: float, freedom: int) -> float:
    """The chance that Student's t is above a value, or nearly (Wallace 1959, doi:10.1214/aoms/1177706080)."""
    z = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return NormalDist().cdf(-math.copysign(z, t))


def certify(fitted: Calibration, seen: Sequence[Observation], tolerance: float, risk: float) -> Calibration:
    """With how much to spare texts start, and what is written, by rows that were not fitted.

    Args:
        fitted: whose regressions are kept; nor does `start` fall where rows are too few to say that it may.
        seen: the first rule of each row.
        tolerance: of the run.
        risk: the share of rows that may be beyond the tolerance.
    """
    needed, written = (sorted(one(row, tolerance) for row in seen) for one in (fitted.needed, fitted.written_score))
    certified = enough(len(seen), risk)
    start = _quantile(needed, risk) if certified else max([fitted.start, *needed])
    return replace(
        fitted,
        start=max(0.0, start),
        again=guess(risk, len(seen)),
        raised=max(0.0, _quantile(written, 1 - COVERED)),
        certified=risk if certified else None,
    )


def unjudged(fitted: Calibration, risk: float) -> Calibration:
    """Where all rows were fitted and none can judge: a normal law says what is written, too."""
    unknown = math.sqrt(1 + len(fitted.told) / max(fitted.rows, 1))  # of the coefficients
    again, raised = (unknown * guess(share, fitted.rows) for share in (risk, 1 - COVERED))
    return replace(fitted, again=again, raised=raised, certified=None)


def enough(judges: int, risk: float) -> bool:
    """Whether so many rows can say that no more than this share of others is beyond anything."""
    return _rank(judges, risk) <= judges


def _rank(rows: int, risk: float) -> int:
    return math.ceil((rows + 1) * (1 - risk))


def _quantile(scores: Sequence[float], risk: float) -> float:
    """Which of some ascending scores no more than this share of others is above; a guess where they are too few."""
    rank = _rank(len(scores), risk)
    return scores[rank - 1] if rank <= len(scores) else max([guess(risk, len(scores)), *scores])


def guess(risk: float, rows: int) -> float:
    """A raise by so few rows that they can say nothing of their own: Student's quantile, of normal errors.

    By the expansion of Fisher & Cornish (1960, doi:10.1080/00401706.1960.10489895), with the prior's rows.
    """
    z = NormalDist().inv_cdf(1 - risk)
    freedom = rows + _PRIOR_ROWS
    return (z + (z**3 + z) / (4 * freedom)) * math.sqrt(1 + 1 / max(rows, 1))


def survey_rows(pilot: int) -> int:
    """How many rows of a pilot say where the nodes should lie."""
    return _SURVEYED if pilot >= _SURVEYS_FROM else 0


def judge_rows(pilot: int) -> int:
    """How many rows of a pilot refine the regressions, after the scouts."""
    return int(_JUDGED * max(0, pilot - SCOUTS))


def pilot_rows(total: int) -> int:
    """How many rows the pilot of a data set has; 0 where that would cost more than a fiftieth of the run.

    Args:
        total: rows of the data set.
    """
    budget = _SHARE * total
    scouts = min(SCOUTS, int(budget / _SCOUT_COST))
    left = budget - scouts * _SCOUT_COST
    surveyed = left - _SURVEYED * _SURVEY_COST
    rows = scouts + int(max(surveyed, min(left, (_SURVEYS_FROM - 1 - scouts) * _ROW_COST)) / _ROW_COST)
    return min(rows, _MOST_ROWS) if rows >= _LEAST_ROWS else 0
