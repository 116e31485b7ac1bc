"""What was predicted for which label, and whether the network is as often right as it is sure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import Measure, PartialTables, Totals, column, summed

BINS = 15  # of the reliability curve

CLASSES = pa.schema(
    [
        ("label", pa.int32()),
        ("prediction", pa.int32()),
        ("count", pa.int64()),
        ("share_of_label", pa.float64()),
        ("mean_confidence", pa.float64()),
        ("accuracy", pa.float64()),
    ]
)
CALIBRATION = pa.schema(
    [
        ("bin", pa.int32()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("rows", pa.int64()),
        ("confidence", pa.float64()),
        ("accuracy", pa.float64()),
        ("ece", pa.float64()),
    ]
)


def classes_partial(flat: Flat) -> PartialTables:
    """Counts and summed confidences by (label, prediction)."""
    texts = flat.texts
    rows = pa.table(
        {
            "label": texts.table.column("label"),
            "prediction": texts.table.column("prediction"),
            "count": np.ones(texts.table.num_rows, np.int64),
            "confidence": texts.confidence,
        }
    )
    return (summed([rows], ["label", "prediction"]),)


def classes_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """The confusion table, one row per (label, prediction) that occurs, sorted; rows without a label last.

    Columns:
        label: null for rows without one. prediction: predicted class.
        count: rows. share_of_label: part of the rows of this label.
        mean_confidence: mean probability of the predicted class.
        accuracy: correct rows / labelled rows of the whole run, the same in every row; null where none is labelled.
    """
    table = tables[0].sort_by([("label", "ascending"), ("prediction", "ascending")])
    count = column(table, "count")
    labels, predictions = table.column("label").to_pylist(), table.column("prediction").to_pylist()
    of_label: dict[int | None, float] = {}
    for label, rows in zip(labels, count, strict=True):
        of_label[label] = of_label.get(label, 0.0) + rows
    labelled = sum(rows for label, rows in of_label.items() if label is not None)
    correct = sum(n for n, label, prediction in zip(count, labels, predictions, strict=True) if label == prediction)
    columns = {
        **{name: table.column(name) for name in ("label", "prediction", "count")},
        "share_of_label": count / np.array([of_label[label] for label in labels]),
        "mean_confidence": column(table, "confidence") / count,
        "accuracy": [correct / labelled if labelled else None] * len(labels),
    }
    return pa.table({name: columns[name] for name in CLASSES.names}, schema=CLASSES)


def calibration_partial(flat: Flat) -> PartialTables:
    """Sums over the labelled rows, by the bin of their confidence."""
    texts = flat.texts
    labelled = texts.outcome != 2
    sure = texts.confidence[labelled]
    table = pa.table(
        {
            "bin": np.clip((sure * BINS).astype(np.int32), 0, BINS - 1),
            "rows": np.ones(len(sure), np.int64),
            "confidence": sure,
            "right": (texts.outcome[labelled] == 0).astype(np.int64),
        }
    )
    return (summed([table], ["bin"]),)


def calibration_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """The reliability curve: one row for each of 15 bins of equal width over the confidence, occupied or not.

    Columns:
        bin: 0 to 14. low, high: its bounds.
        rows: labelled rows in it. confidence: their mean probability of the predicted class; null without rows.
        accuracy: the part of them that is right; null without rows.
        ece: expected calibration error of the whole run, the same in every row; null where no row has a label
            (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
    """
    sums = {name: np.zeros(BINS) for name in ("rows", "confidence", "right")}
    place = tables[0].column("bin").to_numpy()
    for name, found in sums.items():
        found[place] = column(tables[0], name)
    rows = sums["rows"]
    ece = float(np.abs(sums["confidence"] - sums["right"]).sum() / rows.sum()) if rows.sum() else None
    columns = {
        "bin": np.arange(BINS, dtype=np.int32),
        "low": np.arange(BINS) / BINS,
        "high": np.arange(1, BINS + 1) / BINS,
        "rows": rows.astype(np.int64),
        "confidence": [s / n if n else None for s, n in zip(sums["confidence"], rows, strict=True)],
        "accuracy": [s / n if n else None for s, n in zip(sums["right"], rows, strict=True)],
        "ece": [ece] * BINS,
    }
    return pa.table(columns, schema=CALIBRATION)


MEASURES = {
    "classes": Measure((("label", "prediction"),), classes_partial, classes_finish, CLASSES),
    "calibration": Measure((("bin",),), calibration_partial, calibration_finish, CALIBRATION),
}
