"""How exact the attributions are, and what that took."""

from __future__ import annotations

import pyarrow as pa

from ig_worker.insight.format import number, percent
from ig_worker.insight.report.section import View
from ig_worker.insight.tables.measures import TOTAL

LOG_MEASURES = frozenset(("abs_delta", "error_estimate"))
_LOG_STEP = 10**0.25  # the width of a bin on a logarithmic scale
_STATUS = {"fixed": "fixed rule", "evaluation_limit": "evaluation limit", TOTAL: "all"}


def convergence(table: pa.Table) -> list[View]:
    """One line per status; the line of all rows only where there are several."""
    rows = table.to_pylist()
    rows = rows[:1] if len(rows) == 2 else rows
    return [
        {
            "status": _STATUS.get(row["status"], row["status"]),
            "total": row["status"] == TOTAL,
            "rows": f"{row['rows']:,}",
            "share": percent(row["share"]),
            "delta": [number(row[f"abs_delta_{name}"]) for name in ("p50", "p90", "p99", "max")],
            "evaluations": f"{row['evaluations_mean']:.1f}",
            "error": number(row["error_estimate_p50"]),
            "truncated": percent(row["truncated_share"]),
        }
        for row in rows
    ]


def histograms(table: pa.Table | None) -> dict[str, list[View]]:
    """Bins by measure. A logarithmic scale has no 0: there the lowest bin is as wide as the others."""
    found: dict[str, list[View]] = {}
    for row in [] if table is None else table.to_pylist():
        low = row["low"]
        if row["measure"] in LOG_MEASURES and low <= 0:
            low = row["high"] / _LOG_STEP
        if row["rows"] and row["high"] is not None:
            found.setdefault(row["measure"], []).append({"low": low, "high": row["high"], "rows": row["rows"]})
    return found
