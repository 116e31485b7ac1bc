"""How exact the numbers are and what they cost, and histograms of a few properties of the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import Measure, PartialTables, Totals
from ig_worker.schema import CLASSES

TOTAL = "all"  # status of the row of `convergence` that covers every row
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
_LIGHT = ("status", "delta", "evaluations", "error_estimate", "truncated")
_SMALLEST, _PER_DECADE = 1e-9, 4  # of the histograms on a logarithmic scale
_WIDTHS = {"evaluations": 1.0, "length": 16.0, "confidence": 0.05}  # of the bins of the others

CONVERGENCE = pa.schema(
    [
        ("status", pa.string()),
        ("rows", pa.int64()),
        ("share", pa.float64()),
        *((f"abs_delta_{name}", pa.float64()) for name in QUANTILES),
        ("evaluations_mean", pa.float64()),
        ("error_estimate_p50", pa.float64()),
        ("truncated_share", pa.float64()),
    ]
)
HISTOGRAMS = pa.schema(
    [
        ("measure", pa.string()),
        ("bin", pa.int32()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("rows", pa.int64()),
    ]
)


def convergence_partial(flat: Flat) -> PartialTables:
    """The few numbers of each row, about 16 bytes, because quantiles of parts do not give those of the whole."""
    light = flat.texts.table.select(list(_LIGHT))
    return (light.set_column(0, "status", light.column("status").dictionary_encode()),)


def convergence_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per status, sorted, then the row `all` that covers every row of the run: leave it out of sums.

    Columns:
        status: as in schema.ATTRIBUTIONS, or ``all``. rows, share: rows, and their part of the run.
        abs_delta_p50, _p90, _p99, _max: quantiles of |delta|, interpolated linearly.
        evaluations_mean: per row.
        error_estimate_p50: median estimated relative L1 error; null where no row has an estimate.
        truncated_share: part of the rows whose text was longer than max_length.
    """
    whole = tables[0]
    status = whole.column("status").cast(pa.string())
    names = sorted(status.unique().to_pylist())
    parts = [whole.filter(pc.equal(status, name)) for name in names]
    rows = [_convergence_row(name, part, whole.num_rows) for name, part in zip(names, parts, strict=True)]
    if whole.num_rows:
        rows.append(_convergence_row(TOTAL, whole, whole.num_rows))
    return pa.Table.from_pylist(rows, schema=CONVERGENCE)


def _convergence_row(status: str, part: pa.Table, total: int) -> dict[str, object]:
    delta = np.abs(part.column("delta").to_numpy().astype(np.float64))
    estimates = part.column("error_estimate").drop_null().to_numpy().astype(np.float64)
    return {
        "status": status,
        "rows": part.num_rows,
        "share": part.num_rows / total,
        **{f"abs_delta_{name}": float(np.quantile(delta, q)) for name, q in QUANTILES.items()},
        "evaluations_mean": float(np.mean(part.column("evaluations").to_numpy().astype(np.float64))),
        "error_estimate_p50": float(np.median(estimates)) if len(estimates) else None,
        "truncated_share": float(np.mean(part.column("truncated").to_numpy().astype(np.float64))),
    }


def histograms_partial(flat: Flat) -> PartialTables:
    """Rows by measure and bin."""
    flat = flat.texts
    estimates = flat.table.column("error_estimate").drop_null().to_numpy().astype(np.float64)
    found = {
        "abs_delta": _decades(np.abs(flat.numbers("delta"))),
        "error_estimate": _decades(estimates),
        "evaluations": _even(flat.numbers("evaluations"), "evaluations"),
        "length": _even(flat.length, "length"),
    }
    if flat.outputs == CLASSES:  # a confidence of 1 belongs to the last bin
        found["confidence"] = np.minimum(_even(flat.confidence, "confidence"), round(1 / _WIDTHS["confidence"]) - 1)
    parts = []
    for measure, bins in found.items():
        place, rows = np.unique(bins, return_counts=True)
        names = pa.array([measure] * len(place), pa.string())
        parts.append(pa.table({"measure": names, "bin": place.astype(np.int32), "rows": rows.astype(np.int64)}))
    return (pa.concat_tables(parts),)


def _decades(values: np.ndarray) -> np.ndarray:
    """0 below `_SMALLEST`, then four bins a decade."""
    with np.errstate(divide="ignore"):
        place = np.floor(np.log10(values / _SMALLEST) * _PER_DECADE) + 1
    return np.where(values < _SMALLEST, 0, place)


def _even(values: np.ndarray, measure: str) -> np.ndarray:
    return np.floor(values / _WIDTHS[measure] + 1e-9)


def histograms_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per measure and bin, from the first to the last one that is occupied, in order.

    Columns:
        measure: ``abs_delta``, ``error_estimate`` (of rows that have one): logarithmic, four bins a decade from 1e-9,
            what is below in bin 0; ``evaluations`` (bins of 1), ``length`` (ordinary tokens, bins of 16),
            ``confidence`` (probability of the predicted class, bins of 0.05; only of classes).
        bin: its number. low, high: its bounds, the upper one excluded.
        rows: how many rows are in it.
    """
    found: dict[str, dict[int, int]] = {}
    for row in tables[0].to_pylist():
        found.setdefault(row["measure"], {})[row["bin"]] = row["rows"]
    rows = [
        {"measure": measure, "bin": i, "low": _low(measure, i), "high": _low(measure, i + 1), "rows": bins.get(i, 0)}
        for measure, bins in sorted(found.items())
        for i in range(min(bins), max(bins) + 1)
    ]
    return pa.Table.from_pylist(rows, schema=HISTOGRAMS)


def _low(measure: str, number: int) -> float:
    if measure in _WIDTHS:
        return round(number * _WIDTHS[measure], 9)
    return float(10 ** ((number - 1) / _PER_DECADE) * _SMALLEST) if number else 0.0


MEASURES = {
    "histograms": Measure((("measure", "bin"),), histograms_partial, histograms_finish, HISTOGRAMS),
    "convergence": Measure(((),), convergence_partial, convergence_finish, CONVERGENCE),
}
