"""What a pilot promises of a run, in a line for people, and whether rows that were in no pilot keep it. All pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ig_worker.explain.calibration import Calibration

CHANCE = 0.01  # of a promise that is kept to be taken for broken


def promise(manifest: Mapping[str, Any]) -> str:
    """What run.json promises of the errors of its rows, as one line; empty where no method does, or none ever did."""
    identity = manifest.get("identity", {})
    if not isinstance(identity, Mapping) or identity.get("calibration") is None:
        return ""
    try:
        known = Calibration.of_json(identity["calibration"])
        tolerance, risk = float(identity["tolerance"]), float(identity["risk"])
    except (KeyError, TypeError, ValueError):  # of another version, or changed by hand
        return ""
    if known.certified is not None:
        by = f"by {known.rows:,} rows of a pilot"
        return f"at most {100 * known.certified:.3g}% of the rows are expected beyond the tolerance {tolerance:g}, {by}"
    precision = manifest.get("precision")
    if known.rows and isinstance(precision, Mapping) and precision.get("covered") is False:
        return f"no promise: what {precision.get('chosen')} rounds is more than the tolerance leaves, or is not known"
    if known.rows:
        return f"no promise: a pilot of {known.rows:,} rows is too small for a risk of {risk:g}"
    failed = "failed" in (manifest.get("pilot") or {})
    return "no promise: the pilot failed" if failed else "no promise: there was no pilot"


@dataclass(frozen=True)
class Kept:
    """How rows that were in no pilot keep to what was promised.

    Args:
        rows: that were looked at.
        beyond: of them, those whose true error is above the tolerance.
        ratio: median of error estimate over error; nan where there is none.
        certified: the share of rows that may be beyond; None: nothing was promised.
    """

    rows: int
    beyond: int
    ratio: float
    certified: float | None

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]], tolerance: float, certified: float | None) -> Kept:
        """Of (true error, error estimate) of each row."""
        found = np.array(pairs, np.float64).reshape(-1, 2)
        ratios = found[:, 1] / np.maximum(found[:, 0], 1e-12)
        ratio = float(np.median(ratios)) if len(pairs) else math.nan
        return cls(len(pairs), int((~(found[:, 0] <= tolerance)).sum()), ratio, certified)

    @property
    def broken(self) -> bool:
        """Whether so many are beyond that chance would hardly do it, were the promise kept."""
        if self.certified is None or not self.beyond:
            return False
        return at_least(self.beyond, self.rows, self.certified) < CHANCE

    def line(self) -> str:
        """For a terminal."""
        share = self.beyond / self.rows if self.rows else 0.0
        said = f"{self.beyond} of {self.rows} rows outside the pilot ({share:.2%}) are beyond the tolerance"
        if self.rows:
            said += f"; median of estimate over error {self.ratio:.1f}"
        if self.certified is None:
            return f"{said}; nothing was promised"
        verdict = "more than chance explains" if self.broken else "as promised"
        return f"{said}; promised are at most {self.certified:.2%}: {verdict}"


def at_least(hits: int, rows: int, share: float) -> float:
    """Chance of `hits` or more of `rows`, where each is one with the chance `share`, above 0 and below 1: exact."""
    if hits <= 0:
        return 1.0
    logs = [
        math.lgamma(rows + 1) - math.lgamma(k + 1) - math.lgamma(rows - k + 1)
        + k * math.log(share) + (rows - k) * math.log1p(-share)
        for k in range(hits, rows + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(math.exp(log) for log in logs))
