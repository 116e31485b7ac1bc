"""What becomes of the prediction when the tokens that a ranking puts first are taken out."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ig_worker.insight.report.section import View, rounded

_CURVES = ("comprehensiveness", "sufficiency", "deletion", "insertion")
_HEADLINES = {
    "comprehensiveness_aopc": "comprehensiveness ↑",
    "sufficiency_aopc": "sufficiency ↓",
    "deletion_auc": "deletion AUC ↓",
    "insertion_auc": "insertion AUC ↑",
}


def curves(table: pa.Table | None) -> list[View] | None:
    """Points of the curves: metric, ranking, fraction, mean and its interval."""
    if table is None:
        return None
    points = [
        {
            "metric": row["metric"],
            "method": f"{row['method'].replace('_', ' ')} ({row['rows']:,} texts)",
            "fraction": row["fraction"],
            **{name: rounded(row[name]) for name in ("mean", "low", "high")},
        }
        for row in table.to_pylist()
        if row["metric"] in _CURVES and row["fraction"] is not None
    ]
    return points or None


def headlines(table: pa.Table | None) -> View | None:
    """One row per ranking: the means over all fractions, and the areas, with their 95% intervals."""
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for row in [] if table is None else table.to_pylist():
        if row["metric"] in _HEADLINES:
            cells.setdefault(row["method"], {})[row["metric"]] = row
    if not cells:
        return None
    return {
        "titles": list(_HEADLINES.values()),
        "rows": [
            {
                "ranking": ranking.replace("_", " "),
                "rows": f"{max(row['rows'] for row in found.values()):,}",
                "values": [_interval(found.get(metric)) for metric in _HEADLINES],
            }
            for ranking, found in cells.items()
        ],
    }


def _interval(row: dict[str, Any] | None) -> str:
    if row is None or row["mean"] is None:
        return "–"
    return f"{row['mean']:.3f}" if row["high"] is None else f"{row['mean']:.3f} ± {row['high'] - row['mean']:.3f}"
