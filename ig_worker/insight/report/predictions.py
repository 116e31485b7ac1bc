"""Labels and predictions, and whether the model is as sure as it is right."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ig_worker.insight.format import percent, probability
from ig_worker.insight.report.section import MAX_CLASSES, Classes, View, rounded

MAX_CONFUSIONS = 20


def confusion(table: pa.Table | None, classes: Classes) -> View | None:
    """The square of labels and predictions, or with many classes the most frequent confusions; None without classes."""
    if table is None:
        return None
    cells = table.to_pylist()
    unlabelled = sum(cell["count"] for cell in cells if cell["label"] is None)
    cells = [cell for cell in cells if cell["label"] is not None]
    numbers = sorted({cell[key] for cell in cells for key in ("label", "prediction")} | set(range(classes.count)))
    view: View = {"unlabelled": unlabelled, "names": [], "square": [], "pairs": []}
    if cells and len(numbers) <= MAX_CLASSES:
        by_pair = {(cell["label"], cell["prediction"]): cell for cell in cells}
        view["names"] = [classes.name(i) for i in numbers]
        view["square"] = [
            {"name": classes.name(label), "cells": [_cell(by_pair.get((label, i)), label, i) for i in numbers]}
            for label in numbers
        ]
    else:
        wrong = sorted((cell for cell in cells if cell["label"] != cell["prediction"]), key=lambda cell: -cell["count"])
        view["pairs"] = [
            {
                "label": classes.name(cell["label"]),
                "prediction": classes.name(cell["prediction"]),
                **_cell(cell, cell["label"], cell["prediction"]),
            }
            for cell in wrong[:MAX_CONFUSIONS]
        ]
    return view


def _cell(cell: dict[str, Any] | None, label: int, prediction: int) -> View:
    right, link = label == prediction, f"#?label={label}&prediction={prediction}"
    if cell is None:
        return {"count": "0", "share": "", "width": 0, "right": right, "title": "none", "link": link}
    share, sure = cell["share_of_label"], cell["mean_confidence"]
    return {
        "count": f"{cell['count']:,}",
        "share": percent(share),
        "width": round(100 * share),
        "right": right,
        "title": f"{percent(share)} of the label, mean confidence {probability(sure)}",
        "link": link,
    }


def reliability(table: pa.Table | None) -> View | None:
    """Accuracy against confidence, by bin; bins without labelled rows are left out."""
    bins = [] if table is None else [row for row in table.to_pylist() if row["rows"]]
    if not bins:
        return None
    names = ("low", "high", "rows", "confidence", "accuracy")
    return {
        "ece": rounded(bins[0]["ece"]),
        "rows": sum(row["rows"] for row in bins),
        "bins": [{name: row[name] if name == "rows" else rounded(row[name]) for name in names} for row in bins],
    }
