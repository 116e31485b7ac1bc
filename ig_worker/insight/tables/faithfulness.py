"""How faithful a run's attributions are, over its evaluated rows, beside a random ranking and two simple ones.

`explain.perturb` says what the metrics are, `run.chunk.evaluator` what the rankings are. A row's numbers come from
one network and one text, so rows are independent: an interval is Student's t over rows, mean ± t₀.₉₇₅ s/√rows. The
comparison with the random ranking is paired, over the rows that have both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from ig_worker import schema
from ig_worker.explain.perturb import Curves, Float64, Grid
from ig_worker.run.chunk.evaluator import ATTRIBUTED, RANDOM, RANKINGS, iter_curves
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.store.run_store import RunStore

TABLE = "faithfulness"
CONFIDENCE = 0.95
FAITHFULNESS = pa.schema(
    [
        ("method", pa.string()),  # one of `evaluator.RANKINGS`
        ("metric", pa.string()),  # one of those in explain.perturb
        ("fraction", pa.float64()),  # of the ordinary tokens; null for aopc and auc, which cover them all
        ("rows", pa.int64()),  # that have this ranking
        ("mean", pa.float64()),
        ("low", pa.float64()),  # 95% confidence interval of the mean; null for a single row
        ("high", pa.float64()),
        ("over_random", pa.float64()),  # mean of the differences from the random ranking of the same rows; null for it
        ("over_random_low", pa.float64()),
        ("over_random_high", pa.float64()),
    ]
)
HEADLINES = {  # metric -> column of the printed table, and whether more is better
    "comprehensiveness_aopc": ("comprehensiveness", True),
    "sufficiency_aopc": ("sufficiency", False),
    "deletion_auc": ("deletion AUC", False),
    "insertion_auc": ("insertion AUC", True),
}
_FIRST, _OTHERS = 28, 18  # characters of the printed table's columns


def write_faithfulness(store: RunStore, config: EvaluateConfig) -> pa.Table:
    """Write RUN/aggregates/faithfulness.parquet, a table of `FAITHFULNESS`, from the curves of each row."""
    table = faithfulness(iter_curves(store, config), config.grid())
    fingerprint, settings = str(store.manifest.existing().get("fingerprint") or ""), json.dumps(config.identity())
    metadata = schema.with_metadata(table.schema, fingerprint=fingerprint, evaluation=settings).metadata
    table = table.replace_schema_metadata(metadata)
    store.aggregates.write(TABLE, table)
    return table


def faithfulness(evaluations: Iterable[pa.Table], grid: Grid) -> pa.Table:
    """A table of `FAITHFULNESS` from tables of `schema.EVALUATION`, in the order of `RANKINGS` and of `grid.names`.

    A ranking on which the network gave something that is no number is left out.
    """
    found: dict[str, dict[str, Float64]] = {ranking: {} for ranking in RANKINGS}  # by ranking and id
    for table in evaluations:
        for row in table.to_pylist():
            curves = (np.array(row[name], np.float64) for name in ("deletion", "insertion"))
            numbers = grid.measure(Curves(np.array(row["counts"], np.int64), *curves))
            if np.isfinite(numbers).all():
                found[row["method"]][row["id"]] = numbers
    records = [record for ranking in RANKINGS for record in _records(ranking, found[ranking], found[RANDOM], grid)]
    return pa.Table.from_pylist(records, schema=FAITHFULNESS)


def _records(ranking: str, own: dict[str, Float64], random: dict[str, Float64], grid: Grid) -> Iterable[dict[str, Any]]:
    if not own:
        return
    means = mean_interval(np.stack(list(own.values())))
    paired = [numbers - random[id] for id, numbers in own.items() if ranking != RANDOM and id in random]
    over = mean_interval(np.stack(paired)) if paired else None
    for i, (metric, fraction) in enumerate(grid.names):
        record = {"method": ranking, "metric": metric, "fraction": fraction, "rows": len(own)}
        record |= _named(("mean", "low", "high"), means, i)
        if over is not None:
            record |= _named(("over_random", "over_random_low", "over_random_high"), over, i)
        yield record


def _named(names: tuple[str, ...], arrays: tuple[Float64, ...], i: int) -> dict[str, float | None]:
    values = (float(array[i]) for array in arrays)
    return {name: value if np.isfinite(value) else None for name, value in zip(names, values, strict=True)}


def mean_interval(values: Float64) -> tuple[Float64, Float64, Float64]:
    """Mean over the first axis, [rows, numbers], and the bounds of its 95% interval by Student's t; nan for one row."""
    rows, mean = len(values), values.mean(axis=0)
    if rows < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, rows - 1) * values.std(axis=0, ddof=1) / np.sqrt(rows)
    return mean, mean - half, mean + half


def faithfulness_lines(table: pa.Table) -> list[str]:
    """The run's own attributions in three lines or four, for the summary of a night."""
    cells = _cells(table)
    if (ATTRIBUTED, "comprehensiveness_aopc") not in cells:
        return ["faithful     unknown, no row fell into the share that is evaluated"]
    texts = []
    for metric, (title, _) in HEADLINES.items():
        own, random = cells[ATTRIBUTED, metric], cells.get((RANDOM, metric))
        against = "" if random is None else f" (random {random['mean']:.3f})"
        texts.append(f"{title} {_mean(own)}{against}")
    rows = cells[ATTRIBUTED, "comprehensiveness_aopc"]["rows"]
    lines = [f"faithful     {', '.join(texts[:2])}", f"             {', '.join(texts[2:])}, {rows:,} rows"]
    lost = [title for metric, (title, more) in HEADLINES.items() if not beats(cells[ATTRIBUTED, metric], more)]
    return (
        [*lines, f"             not shown to be better than a random ranking by {', '.join(lost)}"] if lost else lines
    )


def beats(cell: dict[str, Any], more: bool) -> bool:
    """Whether the interval of the difference from a random ranking lies on the right side of 0 as a whole."""
    low, high = cell["over_random_low"], cell["over_random_high"]
    return low is not None and (low > 0 if more else high < 0)


def table_lines(table: pa.Table) -> list[str]:
    """Every ranking in a row, for the terminal: the four headlines, then each fraction."""
    cells = _cells(table)
    rankings = [ranking for ranking in RANKINGS if (ranking, "deletion_auc") in cells]
    if not rankings:
        return []
    better = [" and ".join(t for t, more in HEADLINES.values() if more is wanted) for wanted in (True, False)]
    lines = [
        f"more is better of {better[0]}, less of {better[1]};",
        "comprehensiveness and sufficiency are first the means over all fractions (AOPC); ± is a 95% interval",
        "",
    ]
    titles = [title for title, _ in HEADLINES.values()]
    lines += _block(
        "method (rows)", titles, rankings, [[cells[ranking, metric] for metric in HEADLINES] for ranking in rankings]
    )
    for metric in ("comprehensiveness", "sufficiency"):
        fractions = [key[2] for key in cells if key[:2] == (rankings[0], metric)]
        rows = [[cells[ranking, metric, fraction] for fraction in fractions] for ranking in rankings]
        lines += ["", *_block(f"{metric} at", [f"{fraction:g}" for fraction in fractions], rankings, rows)]
    return lines


def _block(corner: str, titles: list[str], rankings: list[str], rows: list[list[dict[str, Any]]]) -> list[str]:
    lines = [f"{corner:<{_FIRST}}" + "".join(f"{title:>{_OTHERS}}" for title in titles)]
    for ranking, row in zip(rankings, rows, strict=True):
        head = f"{ranking} ({row[0]['rows']:,})"
        lines.append(f"{head:<{_FIRST}}" + "".join(f"{_mean(cell):>{_OTHERS}}" for cell in row))
    return lines


def _cells(table: pa.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by (ranking, metric, fraction), without the fraction where there is none."""
    return {
        tuple(part for part in (row["method"], row["metric"], row["fraction"]) if part is not None): row
        for row in table.to_pylist()
    }


def _mean(cell: dict[str, Any]) -> str:
    if cell["high"] is None:
        return f"{cell['mean']:.3f}"
    return f"{cell['mean']:.3f} ± {cell['high'] - cell['mean']:.3f}"
