"""The small tables beside the report's charts, as plain data: pure functions, empty where the run has no such table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.format import number, percent
from ig_worker.insight.report.views import MAX_CLASSES, Classes, View
from ig_worker.insight.tables.positions import KINDS

_HEADLINES = {
    "comprehensiveness_aopc": "comprehensiveness ↑",
    "sufficiency_aopc": "sufficiency ↓",
    "deletion_auc": "deletion AUC ↓",
    "insertion_auc": "insertion AUC ↑",
}


def faithful(table: pa.Table | None) -> View | None:
    """One row per method: the means over all fractions, and the areas, with their 95% intervals."""
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
                "method": method.replace("_", " "),
                "rows": f"{max(row['rows'] for row in found.values()):,}",
                "values": [_interval(found.get(metric)) for metric in _HEADLINES],
            }
            for method, found in cells.items()
        ],
    }


def _interval(row: dict[str, Any] | None) -> str:
    if row is None or row["mean"] is None:
        return "–"
    return f"{row['mean']:.3f}" if row["high"] is None else f"{row['mean']:.3f} ± {row['high'] - row['mean']:.3f}"


def change(table: pa.Table | None) -> View | None:
    """What `jobs.compare` found by row: how many predictions flipped, and how much attribution moved."""
    if table is None or not table.num_rows:
        return None
    flips = pc.sum(table.column("flipped").cast(pa.int64())).as_py() or 0
    moved = table.column("moved").drop_null()
    before = (table.schema.metadata or {}).get(b"ig_worker.before", b"an earlier run").decode(errors="replace")
    return {
        "before": before,
        "rows": f"{table.num_rows:,}",
        "flips": f"{flips:,}",
        "flipped_share": percent(flips / table.num_rows),
        "moved": percent(pc.mean(moved).as_py()) if len(moved) else "–",
    }


def flipped_ids(table: pa.Table | None) -> frozenset[str]:
    """Ids of the rows whose prediction has changed."""
    return frozenset() if table is None else frozenset(table.filter(table.column("flipped")).column("id").to_pylist())


def shares(table: pa.Table | None, classes: Classes) -> list[View]:
    """Part of each class's total absolute attribution that lies on ordinary, special and unknown tokens.

    With many classes, those with the most tokens.
    """
    by_class: dict[int, dict[str, dict[str, Any]]] = {}
    for row in [] if table is None else table.to_pylist():
        by_class.setdefault(row["target"], {})[row["kind"]] = row
    tokens = {target: sum(row["tokens"] for row in found.values()) for target, found in by_class.items()}
    shown = sorted(sorted(tokens, key=lambda target: -tokens[target])[:MAX_CLASSES])
    return [
        {
            "target": classes.name(target),
            "tokens": f"{tokens[target]:,}",
            "shares": [percent(by_class[target][kind]["share"]) if kind in by_class[target] else "–" for kind in KINDS],
        }
        for target in shown
    ]


def truncation(table: pa.Table | None) -> list[View]:
    """Texts that were cut at max_length beside those that were not; nothing where none was cut."""
    rows = [] if table is None else [row for row in table.to_pylist() if row["rows"]]
    if not any(row["truncated"] for row in rows):
        return []
    return [
        {
            "name": "truncated" if row["truncated"] else "whole",
            "rows": f"{row['rows']:,}",
            "accuracy": percent(row["accuracy"]) if row["labelled"] else "–",
            "confidence": number(row["mean_confidence"]),
            "length": f"{row['mean_length']:.0f}",
            "last": percent(row["last_decile_share"]),
        }
        for row in rows
    ]
