"""A run in a handful of numbers, from its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ig_worker.insight.format import percent
from ig_worker.insight.tables.measures import TOTAL


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

    def lines(self) -> list[str]:
        """For the terminal, one figure a line."""
        error = "" if self.error_estimate is None else f", estimated error {self.error_estimate:.2g} (median)"
        lines = [
            f"rows         {self.rows:,} explained, {self.quarantined:,} quarantined",
            f"accuracy     {percent(self.accuracy)} of {self.labelled:,} labelled rows"
            if self.labelled
            else "accuracy     unknown, no row has a label",
            f"|delta|      {self.delta_p50:.2g} median, {self.delta_p99:.2g} p99{error}",
            f"evaluations  {self.evaluations:.1f} a row (mean)",
        ]
        if self.converged is not None:
            lines.append(f"converged    {percent(self.converged)} of the rows")
        if self.truncated:
            lines.append(f"truncated    {percent(self.truncated)} of the texts were longer than max_length")
        return lines


def summarise(tables: dict[str, pa.Table], quarantined: int = 0) -> RunSummary:
    """The headline figures of the tables that `aggregate.aggregate` returns."""
    classes: list[dict[str, Any]] = tables["classes"].to_pylist()
    convergence = {row["status"]: row for row in tables["convergence"].to_pylist()}
    whole = convergence[TOTAL]
    converged = convergence["converged"]["rows"] if "converged" in convergence else 0
    adaptive = converged + (convergence["evaluation_limit"]["rows"] if "evaluation_limit" in convergence else 0)
    return RunSummary(
        rows=whole["rows"],
        quarantined=quarantined,
        labelled=sum(row["count"] for row in classes if row["label"] is not None),
        accuracy=classes[0]["accuracy"],
        converged=converged / adaptive if adaptive else None,
        delta_p50=whole["abs_delta_p50"],
        delta_p99=whole["abs_delta_p99"],
        evaluations=whole["evaluations_mean"],
        error_estimate=whole["error_estimate_p50"],
        truncated=whole["truncated_share"],
    )
