"""Where attribution lies: by the place in the text, on special and unknown tokens, and beyond what truncation kept."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import Measure, PartialTables, Totals, column, shares, summed

PLACES = 20  # bins of the position profile
KINDS = ("ordinary", "special", "unknown")
TAIL = 0.9  # where the last tenth of a text begins

POSITIONS = pa.schema(
    [
        ("target", pa.int32()),
        ("bin", pa.int32()),
        ("tokens", pa.int64()),
        ("share", pa.float64()),
        ("mean", pa.float64()),
        ("mean_abs", pa.float64()),
    ]
)
SHARES = pa.schema([("kind", pa.string()), ("target", pa.int32()), ("tokens", pa.int64()), ("share", pa.float64())])
TRUNCATION = pa.schema(
    [
        ("truncated", pa.bool_()),
        ("rows", pa.int64()),
        ("labelled", pa.int64()),
        ("accuracy", pa.float64()),
        ("mean_confidence", pa.float64()),
        ("mean_length", pa.float64()),
        ("last_decile_share", pa.float64()),
    ]
)


def positions_partial(flat: Flat) -> PartialTables:
    """Sums by target and bin, and the total of each target."""
    target, value = flat.integers("target"), flat.attribution
    here = value[flat.ordinary]
    places = pa.table(
        {
            "target": target[flat.row[flat.ordinary]].astype(np.int32),
            "bin": np.floor(flat.place * PLACES).astype(np.int32),
            "tokens": np.ones(len(here), np.int64),
            "sum": here,
            "sum_abs": np.abs(here),
        }
    )
    return summed([places], ["target", "bin"]), _totals(flat)


def _totals(flat: Flat) -> pa.Table:
    target = flat.integers("target")[flat.row].astype(np.int32)
    return summed([pa.table({"target": target, "sum_abs": np.abs(flat.attribution)})], ["target"])


def positions_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per target and bin that occurs, sorted.

    Columns:
        target: explained class.
        bin: 0 to 19: where the token stands among the ordinary ones of its text, in twentieths.
        tokens: how many. mean, mean_abs: of their attributions.
        share: part of the total absolute attribution of rows with this target, special tokens included.
    """
    table, whole = tables[0].sort_by([("target", "ascending"), ("bin", "ascending")]), tables[1]
    tokens = column(table, "tokens")
    columns = {
        **{name: table.column(name) for name in ("target", "bin", "tokens")},
        "share": shares(column(table, "sum_abs"), _of_target(table, whole)),
        "mean": column(table, "sum") / tokens,
        "mean_abs": column(table, "sum_abs") / tokens,
    }
    return pa.table({name: columns[name] for name in POSITIONS.names}, schema=POSITIONS)


def _of_target(table: pa.Table, whole: pa.Table) -> np.ndarray:
    """The total of each row's target."""
    known = dict(zip(whole.column("target").to_pylist(), whole.column("sum_abs").to_pylist(), strict=True))
    return np.array([known[target] for target in table.column("target").to_pylist()], np.float64)


def shares_partial(flat: Flat) -> PartialTables:
    """Sums by kind and target; an unknown word is unknown, whether it counts as a word or as a special token."""
    kind = np.where(flat.unknown, 2, np.where(flat.word_id < 0, 1, 0)).astype(np.int8)
    table = pa.table(
        {
            "kind": kind,
            "target": flat.integers("target")[flat.row].astype(np.int32),
            "tokens": np.ones(len(kind), np.int64),
            "sum_abs": np.abs(flat.attribution),
        }
    )
    return (summed([table], ["kind", "target"]),)


def shares_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per kind and target that occur, sorted.

    Columns:
        kind: ``ordinary``, ``special`` ([CLS], [SEP], padding) or ``unknown`` ([UNK]). target: explained class.
        tokens: how many. share: part of the total absolute attribution of rows with this target, 0 to 1.
    """
    table = tables[0].sort_by([("kind", "ascending"), ("target", "ascending")])
    whole = summed([table.select(["target", "sum_abs"])], ["target"])
    columns = {
        "kind": pa.array(KINDS).take(table.column("kind")),
        "target": table.column("target"),
        "tokens": table.column("tokens"),
        "share": shares(column(table, "sum_abs"), _of_target(table, whole)),
    }
    return pa.table(columns, schema=SHARES)


def truncation_partial(flat: Flat) -> PartialTables:
    """Sums over the rows that were truncated, and over the others."""
    flat = flat.texts
    row, size = flat.row[flat.ordinary], np.abs(flat.attribution[flat.ordinary])
    late, rows = flat.place >= TAIL, flat.table.num_rows
    table = pa.table(
        {
            "truncated": flat.table.column("truncated"),
            "rows": np.ones(rows, np.int64),
            "labelled": (flat.verdict != 2).astype(np.int64),
            "right": (flat.verdict == 0).astype(np.int64),
            "confidence": flat.confidence,
            "length": flat.length.astype(np.int64),
            "size": np.bincount(row, weights=size, minlength=rows).astype(np.float64),
            "late": np.bincount(row[late], weights=size[late], minlength=rows).astype(np.float64),
        }
    )
    return (summed([table], ["truncated"]),)


def truncation_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """What cutting texts off at `max_length` goes with: one row for those that were cut and one for the others.

    Columns:
        truncated: whether the text was longer than `max_length`. rows, labelled: how many rows.
        accuracy: right rows / labelled ones; null where none is labelled. Of several labels, all have to be right.
        mean_confidence: mean probability of the predicted class; null where texts have no one class.
        mean_length: ordinary tokens that were kept.
        last_decile_share: part of the ordinary tokens' absolute attribution that lies in the last tenth of the text.
            Where it is large in truncated rows, what was cut off would have mattered.
    """
    table = tables[0].sort_by("truncated")
    rows, labelled = column(table, "rows"), table.column("labelled").to_pylist()
    right = table.column("right").to_pylist()
    columns = {
        **{name: table.column(name) for name in ("truncated", "rows", "labelled")},
        "accuracy": [r / n if n else None for r, n in zip(right, labelled, strict=True)],
        "mean_confidence": pa.array(column(table, "confidence") / rows, from_pandas=True),
        "mean_length": column(table, "length") / rows,
        "last_decile_share": shares(column(table, "late"), column(table, "size")),
    }
    return pa.table({name: columns[name] for name in TRUNCATION.names}, schema=TRUNCATION)


MEASURES = {
    "positions": Measure((("target", "bin"), ("target",)), positions_partial, positions_finish, POSITIONS),
    "shares": Measure((("kind", "target"),), shares_partial, shares_finish, SHARES),
    "truncation": Measure((("truncated",),), truncation_partial, truncation_finish, TRUNCATION),
}
