"""How well each of several labels is told, and how near numbers are to those of the data."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ig_worker.insight.format import number, percent
from ig_worker.insight.report.section import Classes, View, rounded

MOST_LABELS = 60  # in the table: those that most texts have
MOST_CURVES = 6  # in the chart of calibration


def by_label(table: pa.Table | None, classes: Classes) -> View | None:
    """Precision, recall and so on of each label, those with the most texts first; None of other runs."""
    if table is None:
        return None
    rows = _most_frequent(table)
    known = max((row["rows"] for row in rows), default=0)
    return {
        "known": known,
        "left_out": max(len(rows) - MOST_LABELS, 0),
        "rows": [_row(row, classes) for row in rows[:MOST_LABELS]],
    }


def _most_frequent(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (-row["support"], -row["predicted"], row["label"]))


def _row(row: dict[str, Any], classes: Classes) -> View:
    return {
        "name": classes.name(row["label"]),
        "label": row["label"],
        "support": f"{row['support']:,}",
        "predicted": f"{row['predicted']:,}",
        **{name: percent(row[name]) for name in ("precision", "recall", "accuracy")},
        "f1": number(row["f1"]),
        "probability": percent(row["mean_probability"]),
        "ece": number(row["ece"]),
    }


def calibration(table: pa.Table | None, by: pa.Table | None, classes: Classes) -> list[View] | None:
    """Points of the reliability curves of the labels that most texts have; None where nothing is known of any text."""
    if table is None or by is None or not table.num_rows:
        return None
    shown = [row["label"] for row in _most_frequent(by)[:MOST_CURVES]]
    points = sorted((row for row in table.to_pylist() if row["label"] in shown), key=lambda r: shown.index(r["label"]))
    names = ("low", "high", "probability", "frequency")
    return [
        {
            "name": classes.name(row["label"]),
            "rows": row["rows"],
            **{name: rounded(row[name]) for name in names},
        }
        for row in points
    ]


def grid(table: pa.Table | None) -> list[View] | None:
    """Numbers of the data against the model's: middles of the cells, and the texts in each; None without any."""
    if table is None or not table.num_rows:
        return None
    return [
        {
            "value": rounded((row["value_low"] + row["value_high"]) / 2),
            "prediction": rounded((row["prediction_low"] + row["prediction_high"]) / 2),
            "from": rounded(row["prediction_low"]),
            "to": rounded(row["prediction_high"]),
            "rows": row["rows"],
        }
        for row in table.to_pylist()
    ]
