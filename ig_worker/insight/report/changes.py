"""What has changed since the run that this one was compared with."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.compare.rows import SURE
from ig_worker.insight.format import number, percent
from ig_worker.insight.report.section import View, rounded

MAX_DRIFTS = 16


def change(table: pa.Table | None) -> View | None:
    """What `jobs.compare` found by row: how many predictions flipped, and how much attribution moved."""
    if table is None or not table.num_rows:
        return None
    flips = pc.sum(table.column("flipped").cast(pa.int64())).as_py() or 0
    moved = table.column("moved").drop_null()
    before = (table.schema.metadata or {}).get(b"ig_worker.before", b"an earlier run").decode(errors="replace")
    return {
        "before": before,
        "rows": f"{table.num_rows:,}",
        "flips": f"{flips:,}",
        "flipped_share": percent(flips / table.num_rows),
        "moved": percent(pc.mean(moved).as_py()) if len(moved) else "–",
        "numbers": _by_how_much(table),
    }


def _by_how_much(table: pa.Table) -> str:
    """The mean change of the model's numbers; empty where it gives classes or labels."""
    if "number" not in table.schema.names:
        return ""
    return number(pc.mean(pc.abs(pc.subtract(table.column("number"), table.column("number_before")))).as_py())


def flipped_ids(table: pa.Table | None) -> frozenset[str]:
    """Ids of the rows whose prediction has changed."""
    return frozenset() if table is None else frozenset(table.filter(table.column("flipped")).column("id").to_pylist())


def drift(table: pa.Table | None) -> list[View] | None:
    """The words whose mean attribution has changed for sure since the earlier run, the strongest change first."""
    if table is None:
        return None
    names = ("mean_before", "mean", "drift")
    return [
        {"word": row["word"], "documents": row["documents"], **{name: rounded(row[name]) for name in names}}
        for row in table.to_pylist()
        if row["q"] is not None and row["q"] < SURE
    ][:MAX_DRIFTS]
