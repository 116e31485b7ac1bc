"""How much of the attribution lies on each of the two texts of a row, where rows are pairs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measure import Measure, PartialTables, Totals, column, shares, summed

SEGMENTS = ("special", "first", "second")  # by number + 1
TABLE = pa.schema(
    [
        ("segment", pa.string()),
        ("target", pa.int32()),
        ("tokens", pa.int64()),
        ("sum", pa.float64()),
        ("share", pa.float64()),
    ]
)
_KEY = ("segment", "target")


def segments_partial(flat: Flat) -> PartialTables:
    """Sums by segment and target; nothing where rows have one text."""
    taken = slice(None) if flat.pairs else slice(0)
    value = flat.attribution[taken]
    table = pa.table(
        {
            "segment": flat.segment[taken].astype(np.int8),
            "target": flat.integers("target")[flat.row][taken].astype(np.int32),
            "tokens": np.ones(len(value), np.int64),
            "sum": value,
            "sum_abs": np.abs(value),
        }
    )
    return (summed([table], list(_KEY)),)


def segments_finish(tables: PartialTables, totals: Totals) -> pa.Table:
    """One row per segment and explained class that occur, sorted; none where rows have one text.

    Columns:
        segment: ``first`` or ``second`` text, or ``special``, the tokens around and between them.
        target: explained class. tokens: how many. sum: of their attributions.
        share: part of the total absolute attribution of rows with this target, 0 to 1.
    """
    table = tables[0].sort_by([("target", "ascending"), ("segment", "ascending")])
    target, size = table.column("target").to_numpy(), column(table, "sum_abs")
    whole = np.array([size[target == one].sum() for one in target], np.float64)
    columns = {
        "segment": pa.array(SEGMENTS).take(pa.array(table.column("segment").to_numpy() + 1)),
        **{name: table.column(name) for name in ("target", "tokens", "sum")},
        "share": shares(size, whole),
    }
    return pa.table(columns, schema=TABLE)


MEASURES = {"segments": Measure((_KEY,), segments_partial, segments_finish, TABLE)}
