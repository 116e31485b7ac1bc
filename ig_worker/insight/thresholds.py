"""What a night, or a comparison of two runs, has to be within, and what of that was crossed."""

from __future__ import annotations

from dataclasses import dataclass

from ig_worker.insight.format import number, percent
from ig_worker.run.setting import setting
from ig_worker.schema import CLASSES, LABELS, VALUES


@dataclass(frozen=True)
class Thresholds:
    """The table `[thresholds]`: what a night has to be within; None: no limit. Shares are 0 to 1."""

    min_accuracy: float | None = setting(
        None,
        "least share of labelled rows that are right; of several labels, of which every one is",
        "limits",
        kind=float,
    )
    min_f1: float | None = setting(None, "least F1 over all labels, of several labels", "limits", kind=float)
    max_error: float | None = setting(None, "largest mean absolute error, of numbers", "limits", kind=float)
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
    max_f1_loss: float | None = setting(
        None, "several labels: exit code 6 if F1 over all labels has fallen by more, 0 to 1", "everyday", kind=float
    )
    max_error_rise: float | None = setting(
        None,
        "numbers: exit code 6 if the mean error has risen by more than this share of what it was",
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
    f1: float | None = None
    error: float | None = None
    f1_loss: float | None = None
    error_rise: float | None = None


_WORDS = {
    "accuracy": ("min", "accuracy is {}"),
    "quarantined": ("max", "{} of the rows are quarantined"),
    "converged": ("min", "{} of the rows converged"),
    "drift": ("max", "{} of the attribution has moved since the run before"),
    "flips": ("max", "{} of the predictions have changed since the run before"),
    "accuracy_loss": ("max", "the accuracy has fallen by {} of the labelled rows since the run before"),
    "f1": ("min", "F1 over all labels is {}"),
    "error": ("max", "the mean error is {}"),
    "f1_loss": ("max", "F1 over all labels has fallen by {} since the run before"),
    "error_rise": ("max", "the mean error has risen by {} since the run before"),
}
_ONLY_OF = {  # what a limit needs the model to say
    **dict.fromkeys(("accuracy", "accuracy_loss", "flips"), (CLASSES, LABELS)),
    **dict.fromkeys(("f1", "f1_loss"), (LABELS,)),
    **dict.fromkeys(("error", "error_rise"), (VALUES,)),
}
_GIVES = {CLASSES: "one class of each text", LABELS: "several labels of a text", VALUES: "a number"}


def crossed(found: Found, limits: Thresholds | ChangeThresholds) -> list[str]:
    """The thresholds that were crossed, each as a sentence. What is not known crosses none."""
    reasons = []
    for name, (side, words) in _WORDS.items():
        value, limit = getattr(found, name), getattr(limits, f"{side}_{name}", None)
        if value is None or limit is None:
            continue
        if value < limit if side == "min" else value > limit:
            what = "at least" if side == "min" else "at most"
            shown = number if name == "error" else percent
            reasons.append(f"{words.format(shown(value))}, expected {what} {shown(limit)} ({side}_{name})")
    return reasons


def without_meaning(limits: Thresholds | ChangeThresholds, outputs: str) -> list[str]:
    """The limits that are set and mean nothing for what a model says, of `schema.OUTPUTS`, each in one line."""
    names = {name: f"{side}_{name}" for name, (side, _) in _WORDS.items()}
    return [
        f"{names[name]} means nothing here: the model gives {_GIVES[outputs]}"
        for name, fitting in _ONLY_OF.items()
        if outputs not in fitting and getattr(limits, names[name], None) is not None
    ]
