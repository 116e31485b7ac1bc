"""What rows of a pilot teach: the regressions, and with how much to spare texts start; see `calibration`.

Decisions only: no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, TINY, Calibration, Ends, Observation
from ig_worker.explain.product import Float64

JUDGED_AT = 2.0  # times the risk that is expected where judges are seen: near where it is decided they say most
COVERED = 0.95  # of errors are below the bounds that are written
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
