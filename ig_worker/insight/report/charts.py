"""What the report's charts are drawn from, as plain data: pure functions from tables, None where there is nothing.

A table that a run does not have (nothing evaluated, nothing compared, no label) leaves its chart out.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.compare.rows import SURE
from ig_worker.insight.report.views import MAX_CLASSES, Classes
from ig_worker.insight.tables.evidence import evidence, minimum_documents, strongest
from ig_worker.insight.tables.positions import PLACES

MAX_TERMS = 15  # words or tokens of a class
MAX_NGRAMS = 10
MAX_DRIFTS = 16
MAX_PROFILES = 6  # classes in one chart
LOG_MEASURES = frozenset(("abs_delta", "error_estimate"))
_LOG_STEP = 10**0.25  # the width of a bin on a logarithmic scale
_CURVES = ("comprehensiveness", "sufficiency", "deletion", "insertion")

Data = dict[str, Any]
Tables = dict[str, pa.Table]  # by name in RUN/aggregates


def charts(tables: Tables, classes: Classes, rows: int) -> Data:
    """The data of every chart, ready for JSON; `rows` are the explained ones."""
    words = tables.get("words")
    return {
        "importance": {
            "minimum": minimum_documents(rows),
            "word": importance(words, classes, rows) if words is not None else None,
            "token": importance(tables["tokens"], classes, rows),
        },
        "reliability": reliability(tables.get("calibration")),
        "histograms": histograms(tables.get("histograms")),
        "faithfulness": faithfulness(tables.get("faithfulness")),
        "positions": positions(tables.get("positions"), classes),
        "drift": drift(tables.get("compare_words")),
    }


def explained_classes(tokens: pa.Table, classes: Classes) -> list[int]:
    """The classes that get a chart of their own: with two classes both, else those explained most often."""
    if classes.count == 2:
        return [0, 1]
    counts = tokens.group_by(["target"], use_threads=False).aggregate([("count", "sum")])
    order = counts.sort_by([("count_sum", "descending"), ("target", "ascending")])
    return sorted(order.column("target").to_pylist()[:MAX_CLASSES])


def importance(tokens: pa.Table, classes: Classes, rows: int, most: int = MAX_TERMS) -> list[Data]:
    """The terms that push most towards each class, by their shrunken mean; `tokens` as `evidence` reads them."""
    term, found = tokens.column_names[0], []
    for target in explained_classes(tokens, classes):
        table = evidence(tokens, target, classes.count, minimum_documents(rows))
        terms = [
            {"term": row[term], "score": _round(row["score"]), "count": row["count"], "documents": row["documents"]}
            for row in strongest(table, most)
        ]
        found.append({"name": classes.name(target), "terms": terms})
    return found


def ngrams(table: pa.Table | None, classes: Classes, rows: int) -> list[Data]:
    """The pairs and triples of words that push most towards each class."""
    if table is None or not table.num_rows:
        return []
    return [group for group in importance(table.drop_columns(["n"]), classes, rows, MAX_NGRAMS) if group["terms"]]


def reliability(table: pa.Table | None) -> Data | None:
    """Accuracy against confidence, by bin; bins without labelled rows are left out."""
    bins = [] if table is None else [row for row in table.to_pylist() if row["rows"]]
    if not bins:
        return None
    names = ("low", "high", "rows", "confidence", "accuracy")
    return {
        "ece": _round(bins[0]["ece"]),
        "rows": sum(row["rows"] for row in bins),
        "bins": [{name: row[name] if name == "rows" else _round(row[name]) for name in names} for row in bins],
    }


def histograms(table: pa.Table | None) -> dict[str, list[Data]]:
    """Bins by measure. On a logarithmic scale the one from 0 on begins a bin's width below where it ends."""
    found: dict[str, list[Data]] = {}
    for row in [] if table is None else table.to_pylist():
        low = row["low"]
        if row["measure"] in LOG_MEASURES and low <= 0:
            low = row["high"] / _LOG_STEP
        if row["rows"] and row["high"] is not None:
            found.setdefault(row["measure"], []).append({"low": low, "high": row["high"], "rows": row["rows"]})
    return found


def faithfulness(table: pa.Table | None) -> list[Data] | None:
    """Points of the curves: metric, method, fraction, mean and its interval."""
    if table is None:
        return None
    points = [
        {
            "metric": row["metric"],
            "method": f"{row['method'].replace('_', ' ')} ({row['rows']:,} texts)",
            "fraction": row["fraction"],
            **{name: _round(row[name]) for name in ("mean", "low", "high")},
        }
        for row in table.to_pylist()
        if row["metric"] in _CURVES and row["fraction"] is not None
    ]
    return points or None


def positions(table: pa.Table | None, classes: Classes) -> list[Data] | None:
    """Share of the attribution of each class by place in the text, 0 to 1."""
    if table is None or not table.num_rows:
        return None
    tokens = table.group_by(["target"], use_threads=False).aggregate([("tokens", "sum")])
    order = tokens.sort_by([("tokens_sum", "descending"), ("target", "ascending")])
    shown = order.column("target").to_pylist()[:MAX_PROFILES]
    rows = table.filter(pc.is_in(table.column("target"), pa.array(shown, table.column("target").type))).to_pylist()
    return [
        {"name": classes.name(row["target"]), "place": (row["bin"] + 0.5) / PLACES, "share": _round(row["share"])}
        for row in rows
    ]


def drift(table: pa.Table | None) -> list[Data] | None:
    """The words whose mean attribution has changed for sure since the earlier run, the strongest change first."""
    if table is None:
        return None
    names = ("mean_before", "mean", "drift")
    return [
        {"word": row["word"], "documents": row["documents"], **{name: _round(row[name]) for name in names}}
        for row in table.to_pylist()
        if row["q"] is not None and row["q"] < SURE
    ][:MAX_DRIFTS]


def _round(value: float | None) -> float | None:
    """Six significant digits; None for what is no number."""
    return None if value is None or value != value else float(f"{value:.6g}")
