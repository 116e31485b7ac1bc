"""A run in a handful of numbers, from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ig_worker.insight.format import number, percent
from ig_worker.insight.tables.measures import TOTAL
from ig_worker.schema import CLASSES, LABELS, VALUES


@dataclass(frozen=True)
class RunSummary:
    """The headline figures. Shares are 0 to 1; None means that the run does not say."""

    rows: int  # explained
    quarantined: int
    labelled: int  # of the explained rows
    accuracy: float | None  # of the labelled rows
    converged: float | None  # share of rows; None for a fixed rule, which does not check
    delta_p50: float  # |delta|
    delta_p99: float
    evaluations: float  # mean per row
    error_estimate: float | None  # median estimated relative L1 error
    truncated: float  # share of rows
    outputs: str = CLASSES  # what the model says, of `schema.OUTPUTS`
    # Of several labels, the row of `label_scores`; of a number, that of `value_scores`. Then `accuracy` is the part of
    # the labelled rows of which every label is right, or None.
    scores: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def f1(self) -> float | None:
        """Of several labels: micro F1."""
        return self.scores.get("micro_f1")

    @property
    def error(self) -> float | None:
        """Of a number: the mean absolute error."""
        return self.scores.get("mean_absolute_error")

    def lines(self) -> list[str]:
        """For the terminal, one figure a line."""
        error = "" if self.error_estimate is None else f", estimated error {self.error_estimate:.2g} (median)"
        lines = [
            f"rows         {self.rows:,} explained, {self.quarantined:,} quarantined",
            *self._how_right(),
            f"|delta|      {self.delta_p50:.2g} median, {self.delta_p99:.2g} p99{error}",
            f"evaluations  {self.evaluations:.1f} a row (mean)",
        ]
        if self.converged is not None:
            lines.append(f"converged    {percent(self.converged)} of the rows")
        if self.truncated:
            lines.append(f"truncated    {percent(self.truncated)} of the texts were longer than max_length")
        return lines

    def _how_right(self) -> list[str]:
        """How right the model is."""
        if not self.labelled:
            if self.outputs == VALUES:
                return ["error        unknown, no row has a number"]
            return [f"accuracy     unknown, no row has {'labels' if self.outputs == LABELS else 'a label'}"]
        told = self.scores
        if self.outputs == LABELS:
            return [
                f"accuracy     {percent(self.accuracy)} of {self.labelled:,} labelled rows have every label right, "
                f"{percent(told['label_accuracy'])} of all labels are",
                f"F1           {number(told['micro_f1'])} over all labels, {number(told['macro_f1'])} as their mean",
            ]
        if self.outputs == VALUES:
            return [
                f"error        {number(told['mean_absolute_error'])} mean, {number(told['root_mean_square_error'])} "
                f"root mean square, {told['mean_error']:+.2g} too high, of {self.labelled:,} labelled rows",
                f"correlation  {number(told['pearson'])} of the numbers, {number(told['spearman'])} of their ranks",
            ]
        return [f"accuracy     {percent(self.accuracy)} of {self.labelled:,} labelled rows"]


NEEDED = ("classes", "label_scores", "value_scores", "convergence")  # tables, so far as a run has them


def summarise(tables: Mapping[str, pa.Table], quarantined: int = 0) -> RunSummary:
    """The headline figures of the tables that `aggregate.aggregate` returns, or of those in `NEEDED`."""
    outputs, labelled, accuracy, scores = _how_right(tables)
    convergence = {row["status"]: row for row in tables["convergence"].to_pylist()}
    whole = convergence[TOTAL]
    converged = convergence["converged"]["rows"] if "converged" in convergence else 0
    adaptive = converged + (convergence["evaluation_limit"]["rows"] if "evaluation_limit" in convergence else 0)
    return RunSummary(
        rows=whole["rows"],
        quarantined=quarantined,
        labelled=labelled,
        accuracy=accuracy,
        converged=converged / adaptive if adaptive else None,
        delta_p50=whole["abs_delta_p50"],
        delta_p99=whole["abs_delta_p99"],
        evaluations=whole["evaluations_mean"],
        error_estimate=whole["error_estimate_p50"],
        truncated=whole["truncated_share"],
        outputs=outputs,
        scores=scores,
    )


def _how_right(tables: Mapping[str, pa.Table]) -> tuple[str, int, float | None, dict[str, float | None]]:
    """(what the model says, labelled rows, accuracy, scores)."""
    for outputs, name in ((LABELS, "label_scores"), (VALUES, "value_scores")):
        if name in tables:
            scores = tables[name].to_pylist()[0]
            return outputs, scores["labelled"], scores.get("subset_accuracy"), scores
    classes: list[dict[str, Any]] = tables["classes"].to_pylist()
    labelled = sum(row["count"] for row in classes if row["label"] is not None)
    return CLASSES, labelled, classes[0]["accuracy"], {}
