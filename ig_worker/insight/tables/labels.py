"""Texts that may have several labels: how well each label is told, whether its probability can be trusted, and all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ig_worker.insight.tables.classes import BINS
from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import Measure, PartialTables, Totals, column, summed

_COUNTS = ("rows", "support", "predicted", "correct", "right")

TABLE = pa.schema(
    [
        ("label", pa.int32()),
        ("rows", pa.int64()),
        ("support", pa.int64()),
        ("predicted", pa.int64()),
        ("correct", pa.int64()),
        ("precision", pa.float64()),
        ("recall", pa.float64()),
        ("f1", pa.float64()),
        ("accuracy", pa.float64()),
        ("mean_probability", pa.float64()),
        ("ece", pa.float64()),
    ]
)
CALIBRATION = pa.schema(
    [
        ("label", pa.int32()),
        ("bin", pa.int32()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("rows", pa.int64()),
        ("probability", pa.float64()),
        ("frequency", pa.float64()),
    ]
)
SCORES = pa.schema(
    [
        ("rows", pa.int64()),
        ("labelled", pa.int64()),
        ("subset_accuracy", pa.float64()),
        ("label_accuracy", pa.float64()),
        *((f"micro_{name}", pa.float64()) for name in ("precision", "recall", "f1")),
        ("macro_f1", pa.float64()),
        ("mean_labels", pa.float64()),
        ("mean_predicted", pa.float64()),
        ("ece", pa.float64()),
    ]
)


def labels_partial(flat: Flat) -> PartialTables:
    """Sums by label, and by label and bin of its probability."""
    return _by_label(flat.texts), _by_bin(flat.texts)


def _by_label(texts: Flat) -> pa.Table:
    known = texts.known[:, None]
    counts = {
        "rows": np.broadcast_to(known, texts.predicted.shape),
        "support": texts.applies & known,
        "predicted": texts.predicted & known,
        "correct": texts.applies & texts.predicted & known,
        "right": (texts.applies == texts.predicted) & known,
    }
    return pa.table(
        {
            "label": np.arange(texts.predicted.shape[1], dtype=np.int32),
            **{name: counts[name].sum(axis=0).astype(np.int64) for name in _COUNTS},
            "texts": np.full(texts.predicted.shape[1], texts.table.num_rows, np.int64),
            "probability": texts.probability.sum(axis=0, dtype=np.float64),
        }
    )


def _by_bin(texts: Flat) -> pa.Table:
    sure, applies = texts.probability[texts.known], texts.applies[texts.known]
    table = pa.table(
        {
            "label": np.broadcast_to(np.arange(sure.shape[1], dtype=np.int32), sure.shape).ravel(),
            "bin": np.clip((sure.ravel() * BINS).astype(np.int32), 0, BINS - 1),
            "rows": np.ones(sure.size, np.int64),
            "probability": sure.ravel().astype(np.float64),
            "applies": applies.ravel().astype(np.int64),
        }
    )
    return summed([table], ["label", "bin"])


def labels_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row for each label of the model, by its number.

    Columns:
        label: its number. rows: texts whose labels are known; the other counts are of these.
        support: texts that have it. predicted: texts for which it is predicted. correct: texts that are both.
        precision: correct / predicted. recall: correct / support. f1: their harmonic mean. Null without a denominator.
        accuracy: part of the texts for which it is predicted if and only if they have it; null where none is known.
        mean_probability: over all texts.
        ece: expected calibration error of its probability, over the bins of `label_calibration`; null where no text's
            labels are known.
    """
    table = tables[0].sort_by("label")
    rows, support, predicted, correct, right = (column(table, name) for name in _COUNTS)
    gaps = np.zeros(len(rows))
    np.add.at(
        gaps,
        tables[1].column("label").to_numpy(),
        np.abs(column(tables[1], "probability") - column(tables[1], "applies")),
    )
    columns = {
        **{name: table.column(name) for name in ("label", "rows", "support", "predicted", "correct")},
        "precision": _ratio(correct, predicted),
        "recall": _ratio(correct, support),
        "f1": _ratio(2 * correct, support + predicted),
        "accuracy": _ratio(right, rows),
        "mean_probability": _ratio(column(table, "probability"), column(table, "texts")),
        "ece": _ratio(gaps, rows),
    }
    return pa.table({name: columns[name] for name in TABLE.names}, schema=TABLE)


def _ratio(part: np.ndarray, whole: np.ndarray) -> pa.Array:
    """part / whole, null where there is no whole."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pa.array(np.where(whole > 0, part / whole, np.nan), pa.float64(), from_pandas=True)


def calibration_partial(flat: Flat) -> PartialTables:
    """Sums by label and bin of its probability."""
    return (_by_bin(flat.texts),)


def calibration_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """The reliability curve of each label: one row for each of 15 bins of its probability that has texts, sorted.

    Columns:
        label: its number. bin: 0 to 14. low, high: its bounds.
        rows: texts in it whose labels are known. probability: their mean probability of the label.
        frequency: the part of them that have it.
    """
    table = tables[0].sort_by([("label", "ascending"), ("bin", "ascending")])
    rows, place = column(table, "rows"), column(table, "bin")
    columns = {
        **{name: table.column(name) for name in ("label", "bin", "rows")},
        "low": place / BINS,
        "high": (place + 1) / BINS,
        "probability": column(table, "probability") / rows,
        "frequency": column(table, "applies") / rows,
    }
    return pa.table({name: columns[name] for name in CALIBRATION.names}, schema=CALIBRATION)


def scores_partial(flat: Flat) -> PartialTables:
    """The sums of `labels_partial`, and those over texts."""
    texts = flat.texts
    sums = {
        "exact": (texts.verdict == 0).sum(),
        "labelled": texts.known.sum(),
        "labels": texts.applies[texts.known].sum(),
        "told": texts.predicted.sum(),
        "rows": texts.table.num_rows,
    }
    one = pa.table({"all": [0], **{name: np.array([value], np.int64) for name, value in sums.items()}})
    return *labels_partial(flat), one


def scores_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row of the run as a whole.

    Columns:
        rows: texts. labelled: those whose labels are known, which all but mean_predicted is of.
        subset_accuracy: part of them that get exactly the labels that they have.
        label_accuracy: mean over labels of the part that is right.
        micro_precision, micro_recall, micro_f1: of all pairs of a text and a label.
        macro_f1: mean of the labels' f1, where there is one.
        mean_labels: a text has. mean_predicted: are predicted for a text.
        ece: mean over labels of their expected calibration error.
    """
    by_label = labels_finish(tables[:2], totals)
    whole = {name: float(tables[2].column(name).to_numpy().sum()) for name in tables[2].column_names}
    support, predicted, correct = (column(by_label, name).sum() for name in ("support", "predicted", "correct"))

    def mean(name: str) -> float | None:
        numbers = by_label.column(name).drop_null().to_numpy()
        return float(numbers.mean()) if len(numbers) else None

    row = {
        "rows": int(whole["rows"]),
        "labelled": int(whole["labelled"]),
        "subset_accuracy": _share(whole["exact"], whole["labelled"]),
        "label_accuracy": mean("accuracy"),
        "micro_precision": _share(correct, predicted),
        "micro_recall": _share(correct, support),
        "micro_f1": _share(2 * correct, support + predicted),
        "macro_f1": mean("f1"),
        "mean_labels": _share(whole["labels"], whole["labelled"]),
        "mean_predicted": _share(whole["told"], whole["rows"]),
        "ece": mean("ece"),
    }
    return pa.Table.from_pylist([row], schema=SCORES)


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


_KEYS = ("label",), ("label", "bin")
MEASURES = {
    "labels": Measure(_KEYS, labels_partial, labels_finish, TABLE),
    "label_calibration": Measure((("label", "bin"),), calibration_partial, calibration_finish, CALIBRATION),
    "label_scores": Measure((*_KEYS, ("all",)), scores_partial, scores_finish, SCORES),
}
