"""What is committed of a chunk, explained once more by other engines."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import numpy as np

from ig_worker.explain.explanation import Explanation, relative_l1
from ig_worker.explain.methods import ADAPTIVE
from ig_worker.explain.problems import explain_rows
from ig_worker.run.chunk.engines import AUDIT_METHOD, AUDIT_STEPS, Purpose
from ig_worker.run.chunk.sampling import audit_positions
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:
    from ig_worker.run.chunk.worker import ChunkWorker


def audit_chunk(worker: ChunkWorker, store: RunStore, index: int, share: float) -> list[dict[str, Any]]:
    """Recompute a share of a chunk's explained rows by both engines at `gausslegendre` 50 and compare them.

    What an adaptive run wrote is also compared with the refined reference.

    Returns:
        Records of `schema.AUDIT`; the rows are chosen by their ids.
    """
    rows = worker.reader.committed(store, index)
    chosen = set(audit_positions([row.id for row in rows], share))
    wanted = [row for position, row in enumerate(rows) if position in chosen]
    problems = [row.problems for row in wanted]
    ours = explain_rows(worker.engines.of(Purpose.AUDIT), problems)
    theirs = explain_rows(worker.engines.of(Purpose.ALIBI), problems)
    records = [_record(index, row.id, a, b) for row, a, b in zip(wanted, ours, theirs, strict=True)]
    if worker.config.method == ADAPTIVE and wanted:
        written = store.results.read(index).select(["id", "attributions", "error_estimate"]).to_pylist()
        by_id = {row["id"]: row for row in written}
        found = explain_rows(worker.engines.of(Purpose.REFINED), problems)
        for record, reference in zip(records, found, strict=True):
            row = by_id[record["id"]]
            record["refined_relative_l1"] = relative_l1(row["attributions"], reference.attributions)
            record["error_estimate"] = row["error_estimate"]
    return records


def refined(worker: ChunkWorker, store: RunStore, index: int, ids: Container[str]) -> dict[str, Explanation]:
    """The explained rows of a chunk that have these ids, by the refined reference."""
    rows = [row for row in worker.reader.committed(store, index) if row.id in ids]
    found = explain_rows(worker.engines.of(Purpose.REFINED), [row.problems for row in rows])
    return {row.id: result for row, result in zip(rows, found, strict=True)}


def _record(index: int, id: str, ours: Explanation, theirs: Explanation) -> dict[str, Any]:
    return {
        "id": id,
        "chunk": index,
        "relative_l1": relative_l1(ours.attributions, theirs.attributions),
        "max_abs_difference": float(np.abs(ours.attributions - theirs.attributions).max()),
        "delta_difference": ours.delta - theirs.delta,
        "method": AUDIT_METHOD,
        "n_steps": AUDIT_STEPS,
    }
