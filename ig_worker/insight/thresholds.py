"""What a night, or a comparison of two runs, has to be within, and what of that was crossed."""

from __future__ import annotations

from dataclasses import dataclass

from ig_worker.insight.format import percent
from ig_worker.run.setting import setting


@dataclass(frozen=True)
class Thresholds:
    """The table `[thresholds]`: what a night has to be within; None: no limit. Shares are 0 to 1."""

    min_accuracy: float | None = setting(None, "least share of labelled rows that are right", "limits", kind=float)
    max_quarantined: float | None = setting(None, "largest share of rows in quarantine", "limits", kind=float)
    min_converged: float | None = setting(None, "least share of rows that converged", "limits", kind=float)
    max_drift: float | None = setting(
        None, "largest share of attribution that moved since the run before", "limits", kind=float
    )


@dataclass(frozen=True)
class ChangeThresholds:
    """What two runs that are compared may differ by; None: no limit. Shares are 0 to 1."""

    max_drift: float | None = setting(
        None,
        "exit code 6 if a larger share of the attribution has moved: the drift score, 0 to 1",
        "everyday",
        kind=float,
    )
    max_flips: float | None = setting(
        None, "exit code 6 if a larger share of the predictions has changed", "everyday", kind=float
    )
    max_accuracy_loss: float | None = setting(
        None,
        "exit code 6 if the accuracy has fallen by more than this share of the labelled rows",
        "everyday",
        kind=float,
    )


@dataclass(frozen=True)
class Found:
    """What a night, or a comparison, found; None: not known."""

    accuracy: float | None = None
    quarantined: float | None = None
    converged: float | None = None
    drift: float | None = None
    flips: float | None = None
    accuracy_loss: float | None = None


_WORDS = {
    "accuracy": ("min", "accuracy is {}"),
    "quarantined": ("max", "{} of the rows are quarantined"),
    "converged": ("min", "{} of the rows converged"),
    "drift": ("max", "{} of the attribution has moved since the run before"),
    "flips": ("max", "{} of the predictions have changed since the run before"),
    "accuracy_loss": ("max", "the accuracy has fallen by {} of the labelled rows since the run before"),
}


def crossed(found: Found, limits: Thresholds | ChangeThresholds) -> list[str]:
    """The thresholds that were crossed, each as a sentence. What is not known crosses none."""
    reasons = []
    for name, (side, words) in _WORDS.items():
        value, limit = getattr(found, name), getattr(limits, f"{side}_{name}", None)
        if value is None or limit is None:
            continue
        if value < limit if side == "min" else value > limit:
            what = "at least" if side == "min" else "at most"
            reasons.append(f"{words.format(percent(value))}, expected {what} {percent(limit)} ({side}_{name})")
    return reasons
