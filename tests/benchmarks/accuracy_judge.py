"""What errors, estimates and deltas of many reviews amount to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import relative_l1

TOLERANCE = 0.005
Arrays = dict[str, npt.NDArray[Any]]


def error_of(found: npt.NDArray[Any], exact: npt.NDArray[Any]) -> float:
    """Relative L1 error of attributions, padded perhaps."""
    return relative_l1(found[: len(exact)], exact)


def quantiles(values: npt.ArrayLike) -> dict[str, float]:
    found = np.asarray(values, np.float64)
    places = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: float(np.quantile(found, place)) for name, place in places.items()}


def judge_estimates(tolerance: float, found: Arrays) -> dict[str, Any]:
    """How well the adaptive engine knows its own error; all but two are shares of the reviews."""
    error, estimate = found["error"], found["estimate"]
    return {
        "converged": float(found["converged"].mean()),
        "within": float((error <= tolerance).mean()),
        "covered": float((estimate >= error).mean()),
        "ratio_median": float(np.median(estimate / error)),
        "ratio_worst": float((error / estimate).max()),
        "ratio_of_medians": float(np.median(estimate) / np.median(error)),
        "delta_covered": float((found["delta"] >= error).mean()),
        "delta_silent": float(((found["delta"] < tolerance / 10) & (error > tolerance / 10)).mean()),
    }


def trap(n: int, found: Arrays) -> dict[str, Any]:
    """What stopping by |delta| at half the tolerance, and by the estimate at the tolerance, would let through."""
    error = found["error"]

    def judge(accepted: Iterable[bool]) -> dict[str, Any]:
        kept = error[np.asarray(accepted)]
        return {
            "accepted": float(len(kept) / len(error)),
            "wrong": float((kept > TOLERANCE).sum() / len(error)),
            "wrong_of_accepted": float((kept > TOLERANCE).mean()) if len(kept) else None,
            "worst": float(kept.max()) if len(kept) else None,
        }

    return {
        "nodes": n,
        "good": float((error <= TOLERANCE).mean()),
        "delta": judge(found["delta"] <= TOLERANCE / 2),
        "estimate": judge(found["estimate"] <= TOLERANCE),
    }
