"""Two runs in a handful of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.insight.compare import statistics
from ig_worker.insight.compare.pairs import column
from ig_worker.insight.format import number, percent
from ig_worker.insight.thresholds import ChangeThresholds, Found, crossed
from ig_worker.schema import CLASSES, LABELS, VALUES


@dataclass(frozen=True)
class ClassChange:
    """How one class, or label, fared: shares of the rows that have it for which it was predicted."""

    label: int
    rows: int
    before: float
    now: float


@dataclass(frozen=True)
class OutcomeChange:
    """The labelled rows that were right or wrong before, and are right or wrong now."""

    before: str  # right or wrong
    now: str
    rows: int
    drift: float | None  # mean share of attribution that has moved
    confidence_before: float  # mean probability of the predicted class
    confidence: float

    def lines(self) -> list[str]:
        """For the terminal: rows whose outcome has changed, or that are still wrong."""
        if (self.before, self.now) == ("right", "right"):
            return []
        how = f"{self.before}, now {self.now}" if self.before != self.now else f"still {self.now}"
        drift = "" if self.drift is None else f", {percent(self.drift)} of their attribution moved"
        sure = f"confidence {self.confidence_before:.3f} before, {self.confidence:.3f} now"
        return [f"             {self.rows:,} rows {how}: {sure}{drift}"]


@dataclass(frozen=True)
class Comparison:
    """Two runs, in a handful of numbers. Shares are 0 to 1."""

    before: str
    now: str
    paired: int  # rows that both have explained
    only_before: int
    only_now: int
    flips: int  # of the prediction
    labelled: int
    accuracy_before: float | None
    accuracy: float | None
    worse: int  # labelled rows that were right and are wrong
    better: int
    p_value: float  # of worse against better
    calibration_before: float | None  # expected calibration error
    calibration: float | None
    classes: tuple[ClassChange, ...]
    drift: float | None  # mean share of attribution that has moved
    aligned: int  # rows whose attributions could be compared
    words: tuple[dict[str, Any], ...]  # those that drifted for sure, the strongest first
    outcomes: tuple[OutcomeChange, ...] = ()  # of the labelled rows
    outputs: str = CLASSES  # what the models say, of `schema.OUTPUTS`
    # Of several labels the rows of `label_scores`, of numbers those of `value_scores`. Of labels, a row is right where
    # every one is, and calibration is the mean over labels.
    scores_before: Mapping[str, float | None] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    change: float | None = None  # of numbers: mean absolute change

    def _fallen(self, name: str) -> float | None:
        """How much lower a score is than before."""
        before, now = self.scores_before.get(name), self.scores.get(name)
        return None if before is None or now is None else before - now

    def crossed(self, limits: ChangeThresholds) -> list[str]:
        """The limits that were crossed, each as a sentence."""
        loss = None
        if self.accuracy is not None and self.accuracy_before is not None:
            loss = self.accuracy_before - self.accuracy
        rise, before = self._fallen("mean_absolute_error"), self.scores_before.get("mean_absolute_error")
        found = Found(
            drift=self.drift,
            flips=None if self.outputs == VALUES else self.flips / max(self.paired, 1),
            accuracy_loss=loss,
            f1_loss=self._fallen("micro_f1"),
            error_rise=-rise / before if rise is not None and before else None,
        )
        return crossed(found, limits)

    def lines(self) -> list[str]:
        """For the terminal."""
        lines = [
            f"compared     {self.now} with {self.before}",
            f"rows         {self.paired:,} in both, {self.only_before:,} only before, {self.only_now:,} only now",
            *self._told(),
        ]
        if self.drift is not None:
            lines.append(f"drift        {percent(self.drift)} of the attribution moved (mean of {self.aligned:,} rows)")
        if self.words:
            named = ", ".join(f"{word['word']} ({word['drift']:+.3f})" for word in self.words[:8])
            lines.append(f"words        {named}")
        return lines

    def _told(self) -> list[str]:
        """What the models say, against each other and against the data."""
        if self.outputs == VALUES:
            return self._numbers()
        lines = [f"flips        {self.flips:,} predictions changed ({percent(self.flips / max(self.paired, 1))})"]
        if self.labelled:
            lines.append(
                f"accuracy     {percent(self.accuracy_before)} before, {percent(self.accuracy)} now: {self.worse:,} "
                f"rows got wrong, {self.better:,} got right (p {self.p_value:.2g})"
            )
            if self.outputs == LABELS:
                was, now = self.scores_before, self.scores
                lines.append(
                    f"F1           {number(was['micro_f1'])} before, {number(now['micro_f1'])} now over all labels; "
                    f"{number(was['macro_f1'])} and {number(now['macro_f1'])} as their mean"
                )
            what = "label" if self.outputs == LABELS else "class"
            for change in self.classes:
                if abs(change.now - change.before) >= 0.01:
                    lines.append(
                        f"{what} {change.label}      {percent(change.before)} of its {change.rows:,} rows right "
                        f"before, {percent(change.now)} now"
                    )
            lines += [line for change in self.outcomes for line in change.lines()]
            lines.append(f"calibration  error {self.calibration_before:.3f} before, {self.calibration:.3f} now")
        return lines

    def _numbers(self) -> list[str]:
        lines = [f"numbers      changed by {number(self.change)} (mean)"]
        if self.labelled:
            was, now = self.scores_before, self.scores
            for title, name in (("error", "mean_absolute_error"), ("correlation", "pearson")):
                rows = f", of {self.labelled:,} labelled rows" if title == "error" else ""
                lines.append(f"{title:<12} {number(was[name])} before, {number(now[name])} now{rows}")
        return lines


def summary(table: pa.Table, sure: np.ndarray, words: list[dict[str, Any]], extra: dict[str, Any]) -> Comparison:
    """The summary of paired rows.

    Args:
        table: of `rows.ROWS`.
        sure: confidence before and now, [2, rows].
        words: those that drifted for sure, as rows of `rows.WORDS`.
        extra: further values of `Comparison`.
    """
    label, was, now = (column(table, name, -1) for name in ("label", "prediction_before", "prediction"))
    known = label >= 0
    right_was, right = (was == label)[known], (now == label)[known]
    worse, better = int((right_was & ~right).sum()), int((~right_was & right).sum())
    moved = table.column("moved").drop_null().to_numpy()
    classes = [
        ClassChange(
            int(c), int((label == c).sum()), float((was == c)[label == c].mean()), float((now == c)[label == c].mean())
        )
        for c in np.unique(label[known])
    ]
    some = bool(known.any())
    return Comparison(
        **extra,
        paired=table.num_rows,
        flips=int((was != now).sum()),
        labelled=int(known.sum()),
        accuracy_before=float(right_was.mean()) if some else None,
        accuracy=float(right.mean()) if some else None,
        worse=worse,
        better=better,
        p_value=statistics.mcnemar(worse, better),
        calibration_before=statistics.calibration_error(sure[0][known], right_was) if some else None,
        calibration=statistics.calibration_error(sure[1][known], right) if some else None,
        classes=tuple(classes),
        drift=float(moved.mean()) if len(moved) else None,
        aligned=len(moved),
        words=tuple(words),
        outcomes=_outcomes(table, sure, known, was == label, now == label),
    )


def summary_of_held(
    table: pa.Table, found: Mapping[str, Any], words: list[dict[str, Any]], extra: dict[str, Any]
) -> Comparison:
    """The summary of paired rows that have no one class.

    Args:
        table: of `rows.ROWS`.
        found: what `held.Held.numbers` says of them.
        words, extra: as in `summary`.
    """
    moved = table.column("moved").drop_null().to_numpy()
    of_classes: dict[str, Any] = {
        "flips": 0, "accuracy_before": None, "accuracy": None, "worse": 0, "better": 0, "p_value": 1.0,
        "calibration_before": None, "calibration": None,
    }  # fmt: skip
    own = {name: value for name, value in found.items() if name != "recalls"}
    return Comparison(
        **(of_classes | own | extra),
        paired=table.num_rows,
        classes=tuple(ClassChange(*recall) for recall in found.get("recalls", ())),
        drift=float(moved.mean()) if len(moved) else None,
        aligned=len(moved),
        words=tuple(words),
    )


def _outcomes(
    table: pa.Table, sure: np.ndarray, known: np.ndarray, was: np.ndarray, now: np.ndarray
) -> tuple[OutcomeChange, ...]:
    moved = table.column("moved").to_numpy(zero_copy_only=False).astype(np.float64)  # null as nan
    names, found = {True: "right", False: "wrong"}, []
    for before in (True, False):
        for after in (True, False):
            here = known & (was == before) & (now == after)
            if not here.any():
                continue
            drifts = moved[here][~np.isnan(moved[here])]
            drift = float(drifts.mean()) if len(drifts) else None
            means = sure[:, here].mean(axis=1)
            found.append(
                OutcomeChange(names[before], names[after], int(here.sum()), drift, float(means[0]), float(means[1]))
            )
    return tuple(found)
