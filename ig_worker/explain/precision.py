"""Which precision of matrix products a run goes by, where it is left to its pilot (`--precision auto`).

A few rows of the pilot are explained at the same nodes in float32 and in what the device multiplies faster. The fastest
precision is taken whose rounding is lost in the tolerance, and whose gain is worth the wait for its programs. Decisions
only: no network, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ig_worker.explain.calibration import TINY
from ig_worker.explain.learning import guess

FLOAT32, TF32, BFLOAT16 = "float32", "tf32", "bfloat16"
AUTO = "auto"  # the pilot says which
ASKED, NO_PILOT = "as asked for", "there is no pilot to try others"  # reasons
LEAST_PILOT = 60  # rows of a pilot, from which a trial is a small part of it
ROWS, NODES, LAPS = 12, 8, 5  # of a trial
_LEAST_SECONDS = 120.0  # that an actor computes in float32: of less nothing worth the wait can be saved
_EACH = 10.0  # evaluations of a row, about
_ROOM = 0.2  # of the tolerance is left to rounding
_GAIN = 0.1  # of float32's time, at least
_PRIOR_ROWS, _PRIOR_SPREAD = 4, 1.0  # of the logarithm of rounding errors: as many rows, and from text to text


@dataclass(frozen=True)
class Tried:
    """What a trial has shown of a precision.

    Args:
        precision: its name.
        seconds: of an evaluation, the median of some laps; nan where no time was taken.
        errors: relative L1 of each row's attributions against float32's at the same nodes.
        wait: seconds until an actor's programs are ready.
    """

    precision: str
    seconds: float
    errors: tuple[float, ...]
    wait: float = 0.0


@dataclass(frozen=True)
class Choice:
    """The precision of a run, and why.

    Args:
        precision: float32, tf32 or bfloat16.
        reason: one line, for people.
        exact_truth: whether the pilot's truth is to be float32's, so that its promise covers the rounding.
        measured: what was found of each precision that was tried, for run.json.
    """

    precision: str
    reason: str
    exact_truth: bool = True
    measured: tuple[tuple[str, dict[str, Any]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What run.json says of it, beside the identity."""
        told: dict[str, Any] = {"chosen": self.precision, "reason": self.reason}
        told |= {"measured": dict(self.measured)} if self.measured else {}
        return told if self.exact_truth else told | {"covered": False}


def without_trial(asked: str) -> Choice:
    """The choice where there is no pilot that could make one."""
    return Choice(FLOAT32, NO_PILOT) if asked == AUTO else Choice(asked, ASKED)


def concrete(precision: str) -> str:
    """What `precision` is as long as no pilot says otherwise."""
    return FLOAT32 if precision == AUTO else precision


def untried(asked: str, pilot: int, candidates: Sequence[str], lacking: str, *, final: bool) -> str:
    """Why no trial is made; empty where one is.

    Args:
        asked: the setting.
        pilot: rows of the pilot.
        candidates: precisions that this device multiplies faster than float32.
        lacking: why there are none.
        final: whether the pilot's explanations are written; with hidden attributions they are not.
    """
    if asked == FLOAT32:
        return ASKED
    if pilot < LEAST_PILOT:
        return f"a pilot of {pilot} rows is too small to try others" if pilot else NO_PILOT
    if asked == AUTO and not final:
        return "hidden attributions are kept in float32"
    return lacking if asked == AUTO and not candidates else ""


def worth_trying(seconds: float, rows: int) -> bool:
    """Whether a run is so long that another precision may pay.

    Args:
        seconds: of an evaluation in float32.
        rows: that one actor has to explain, about.
    """
    return seconds * _EACH * rows >= _LEAST_SECONDS


def rounding(errors: Sequence[float], risk: float) -> float:
    """The rounding error that a share `risk` of texts is beyond, by a few: infinite where one is no number.

    Logarithms are taken for normal, and few of them get Student's quantile; never less than the largest seen.
    """
    if not errors or not all(math.isfinite(error) for error in errors):
        return math.inf
    logs = np.log(np.maximum(np.array(errors, np.float64), TINY))
    squares = float(np.square(logs - logs.mean()).sum()) + _PRIOR_ROWS * _PRIOR_SPREAD**2
    spread = math.sqrt(squares / (len(logs) - 1 + _PRIOR_ROWS))
    return max(math.exp(float(logs.mean()) + guess(risk, len(logs)) * spread), *errors)


def room(tolerance: float) -> float:
    """The rounding error that is lost in a tolerance."""
    return _ROOM * tolerance


def choose(exact: float, tried: Sequence[Tried], rows: int, *, tolerance: float, risk: float) -> Choice:
    """The fastest precision that rounds little enough and saves enough; float32 where there is none.

    Args:
        exact: seconds of an evaluation in float32, the median of some laps.
        tried: the others.
        rows: that one actor has to explain, about.
        tolerance: of the run.
        risk: of the run.
    """
    measured, reasons, best = [], [], None
    for one in tried:
        error, share = rounding(one.errors, risk), one.seconds / exact if exact > 0 else math.inf
        told = {"of_float32s_time": _short(share), "rounding": _short(error), "median": _short(_median(one.errors))}
        measured.append((one.precision, {**told, "wait_seconds": _short(one.wait)}))
        said = f"{one.precision} takes {share:.2f} of float32's time and rounds by up to {error:.1e}"
        saved = (exact - one.seconds) * _EACH * rows
        if not error <= room(tolerance):
            reasons.append(f"{said}, more than {room(tolerance):.1e}")
        elif not share <= 1 - _GAIN:
            reasons.append(f"{said}: no gain")
        elif not saved > one.wait:
            reasons.append(f"{said}, but would save {saved:.0f} s for {one.wait:.0f} s of waiting")
        elif best is None or one.seconds < best[0]:
            best = one.seconds, one.precision, said
    if best is None:
        return Choice(FLOAT32, "; ".join(reasons), measured=tuple(measured))
    return Choice(best[1], best[2], measured=tuple(measured))


def judge(asked: Tried, tolerance: float, risk: float) -> Choice:
    """Whether a precision that was asked for rounds so little that a pilot's promise can cover it."""
    error = rounding(asked.errors, risk)
    told = {"rounding": _short(error), "median": _short(_median(asked.errors))}
    covered = error <= room(tolerance)
    said = f"{ASKED}; it rounds by up to {error:.1e}"
    reason = said if covered else f"{said}, more than {room(tolerance):.1e}: nothing is promised"
    return Choice(asked.precision, reason, covered, ((asked.precision, told),))


def _median(errors: Sequence[float]) -> float:
    return float(np.median(errors)) if errors else math.nan


def _short(value: float) -> float | None:
    """Three digits; JSON knows no others than numbers."""
    return float(f"{value:.3g}") if math.isfinite(value) else None
