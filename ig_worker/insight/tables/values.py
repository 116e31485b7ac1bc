"""Where the model gives a number: how the numbers are spread, and how far they are from those of the data."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import stats

from ig_worker.insight.tables.convergence import HISTOGRAMS
from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import Measure, PartialTables, Totals
from ig_worker.schema import VALUE

BINS = 30  # of the histograms, and on each side of the grid

GRID = pa.schema(
    [
        ("value_low", pa.float64()),
        ("value_high", pa.float64()),
        ("prediction_low", pa.float64()),
        ("prediction_high", pa.float64()),
        ("rows", pa.int64()),
    ]
)
SCORES = pa.schema(
    [
        ("rows", pa.int64()),
        ("labelled", pa.int64()),
        ("mean_absolute_error", pa.float64()),
        ("root_mean_square_error", pa.float64()),
        ("mean_error", pa.float64()),
        ("pearson", pa.float64()),
        ("spearman", pa.float64()),
        ("mean_prediction", pa.float64()),
        ("mean_value", pa.float64()),
    ]
)


def values_partial(flat: Flat) -> PartialTables:
    """What the model and the data say of each text, 8 bytes: quantiles of parts do not give those of the whole."""
    texts = flat.texts
    target = texts.integers("target")
    predicted = texts.probability[np.arange(len(target)), target]
    return (pa.table({"prediction": predicted.astype(np.float32), "value": texts.table.column(VALUE)}),)


def _both(tables: PartialTables) -> tuple[np.ndarray, np.ndarray]:
    """(predictions of all texts, numbers of the data, nan where there is none), float64 [texts] each."""
    predicted, value = (tables[0].column(name).to_numpy().astype(np.float64) for name in ("prediction", "value"))
    return predicted, value


def histograms_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per measure and bin of equal width, occupied or not; those of prediction and value have the same bounds.

    Columns:
        measure: ``prediction`` of all texts, ``value`` of those that have one in the data, ``error`` of these: the
            prediction less the value. The last two are left out where no text has a value.
        bin: its number. low, high: its bounds, the upper one of the last bin included. rows: texts in it.
    """
    predicted, value = _both(tables)
    known = ~np.isnan(value)
    edges = _edges(np.concatenate([predicted, value[known]]))
    found = {"prediction": (predicted, edges)}
    if known.any():
        error = predicted[known] - value[known]
        found |= {"value": (value[known], edges), "error": (error, _edges(error))}
    rows = [
        {"measure": measure, "bin": i, "low": float(bounds[i]), "high": float(bounds[i + 1]), "rows": int(count)}
        for measure, (numbers, bounds) in sorted(found.items())
        for i, count in enumerate(np.histogram(numbers, bounds)[0])
    ]
    return pa.Table.from_pylist(rows, schema=HISTOGRAMS)


def _edges(numbers: np.ndarray) -> np.ndarray:
    """Bounds of `BINS` bins that hold all numbers, float64 [BINS + 1]."""
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def grid_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """Texts by what the data and the model say of them: one row for each cell of 30 times 30 that has any, sorted.

    Columns:
        value_low, value_high: bounds of the number in the data. prediction_low, prediction_high: of the model's.
        rows: texts within both.
    """
    predicted, value = _both(tables)
    known = ~np.isnan(value)
    edges = _edges(np.concatenate([predicted[known], value[known]]))
    count, _, _ = np.histogram2d(value[known], predicted[known], [edges, edges])
    across, up = np.nonzero(count)
    columns = [edges[across], edges[across + 1], edges[up], edges[up + 1], count[across, up].astype(np.int64)]
    return pa.table(dict(zip(GRID.names, columns, strict=True)), schema=GRID)


def scores_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row of the run as a whole.

    Columns:
        rows: texts. labelled: those that have a number in the data, which all the others but mean_prediction are of.
        mean_absolute_error, root_mean_square_error: of prediction less number. mean_error: how much too high it is.
        pearson, spearman: correlation of the numbers, and of their ranks; null where either side has one number only.
        mean_prediction, mean_value: of the model's numbers, and of the data's.
    """
    predicted, value = _both(tables)
    known = ~np.isnan(value)
    error = predicted[known] - value[known]
    pearson, spearman = correlations(predicted[known], value[known])
    row = {
        "rows": len(predicted),
        "labelled": int(known.sum()),
        "mean_absolute_error": _mean(np.abs(error)),
        "root_mean_square_error": None if not len(error) else float(np.sqrt(np.mean(error**2))),
        "mean_error": _mean(error),
        "pearson": pearson,
        "spearman": spearman,
        "mean_prediction": _mean(predicted),
        "mean_value": _mean(value[known]),
    }
    return pa.Table.from_pylist([row], schema=SCORES)


def _mean(numbers: np.ndarray) -> float | None:
    return float(numbers.mean()) if len(numbers) else None


def correlations(a: np.ndarray, b: np.ndarray) -> tuple[float | None, float | None]:
    """(Pearson's, Spearman's) of two columns of numbers; None where either has one number only."""
    if len(a) < 2 or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return None, None
    ranks = stats.rankdata(a), stats.rankdata(b)
    return float(np.corrcoef(a, b)[0, 1]), float(np.corrcoef(*ranks)[0, 1])


MEASURES = {
    "values": Measure(((),), values_partial, histograms_finish, HISTOGRAMS),
    "value_grid": Measure(((),), values_partial, grid_finish, GRID),
    "value_scores": Measure(((),), values_partial, scores_finish, SCORES),
}
