"""Where in the texts the attribution lies, on what kinds of token, and what becomes of texts that are cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.format import number, percent
from ig_worker.insight.report.section import MAX_CLASSES, Classes, View, rounded
from ig_worker.insight.tables.positions import KINDS, PLACES
from ig_worker.insight.tables.segments import SEGMENTS

MAX_PROFILES = 6  # classes in one chart


def positions(table: pa.Table | None, classes: Classes) -> list[View] | None:
    """Share of the attribution of each class by place in the text, 0 to 1."""
    if table is None or not table.num_rows:
        return None
    tokens = table.group_by(["target"], use_threads=False).aggregate([("tokens", "sum")])
    order = tokens.sort_by([("tokens_sum", "descending"), ("target", "ascending")])
    shown = order.column("target").to_pylist()[:MAX_PROFILES]
    rows = table.filter(pc.is_in(table.column("target"), pa.array(shown, table.column("target").type))).to_pylist()
    return [
        {"name": classes.name(row["target"]), "place": (row["bin"] + 0.5) / PLACES, "share": rounded(row["share"])}
        for row in rows
    ]


def shares(table: pa.Table | None, classes: Classes) -> list[View]:
    """Part of each class's total absolute attribution that lies on ordinary, special and unknown tokens.

    With many classes, those with the most tokens.
    """
    return _by_class(table, classes, "kind", KINDS)


def texts(table: pa.Table | None, classes: Classes) -> list[View]:
    """The same on the first of two texts, on the second, and on special tokens; nothing where rows have one text."""
    return _by_class(table, classes, "segment", (*SEGMENTS[1:], SEGMENTS[0]))


def _by_class(table: pa.Table | None, classes: Classes, column: str, names: Sequence[str]) -> list[View]:
    by_class: dict[int, dict[str, dict[str, Any]]] = {}
    for row in [] if table is None else table.to_pylist():
        by_class.setdefault(row["target"], {})[row[column]] = row
    tokens = {target: sum(row["tokens"] for row in found.values()) for target, found in by_class.items()}
    shown = sorted(sorted(tokens, key=lambda target: -tokens[target])[:MAX_CLASSES])
    return [
        {
            "target": classes.name(target),
            "tokens": f"{tokens[target]:,}",
            "shares": [percent(by_class[target][kind]["share"]) if kind in by_class[target] else "–" for kind in names],
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
