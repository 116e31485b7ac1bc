"""What is committed of a chunk, explained once more by other engines."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ig_worker.explain.explanation import Explanation, relative_l1
from ig_worker.explain.methods import ADAPTIVE
from ig_worker.run.chunk.engines import AUDIT_METHOD, AUDIT_STEPS, Purpose
from ig_worker.run.chunk.rows import Row
from ig_worker.run.chunk.sampling import audit_positions
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:
    from ig_worker.run.chunk.worker import ChunkWorker

Key = tuple[str, int, int | None]  # id, target, contrast


def audit_chunk(worker: ChunkWorker, store: RunStore, index: int, share: float) -> list[dict[str, Any]]:
    """Recompute a share of a chunk's explained rows by both engines at `gausslegendre` 50 and compare them.

    What an adaptive run wrote is also compared with the refined reference.

    Returns:
        Records of `schema.AUDIT`; the rows are chosen by their ids.
    """
    rows = worker.reader.committed(store, index)
    chosen = set(audit_positions([row.id for row in rows], share))
    wanted = [row for position, row in enumerate(rows) if position in chosen]
    ours = _each(wanted, worker.rows(Purpose.AUDIT).explain(wanted))
    theirs = _each(wanted, worker.rows(Purpose.ALIBI).explain(wanted))
    records = [_record(index, key, a, theirs[key]) for key, a in ours.items()]
    if worker.config.method == ADAPTIVE and wanted:
        columns = ["id", "target", "contrast", "attributions", "error_estimate"]
        written = {key_of(row): row for row in store.results.read(index, columns).to_pylist()}
        found = _each(wanted, worker.rows(Purpose.REFINED).explain(wanted))
        for record, (key, reference) in zip(records, found.items(), strict=True):
            row = written[key]
            record["refined_relative_l1"] = relative_l1(row["attributions"], reference.attributions)
            record["error_estimate"] = row["error_estimate"]
    return records


def refined(worker: ChunkWorker, store: RunStore, index: int, ids: Container[str]) -> dict[Key, Explanation]:
    """The explained rows of a chunk that have these ids, by the refined reference."""
    rows = [row for row in worker.reader.committed(store, index) if row.id in ids]
    return _each(rows, worker.rows(Purpose.REFINED).explain(rows))


def key_of(row: Mapping[str, Any]) -> Key:
    """What a row of `schema.attributions` is known by."""
    return row["id"], row["target"], row["contrast"]


def _each(rows: Sequence[Row], found: Sequence[Sequence[Explanation]]) -> dict[Key, Explanation]:
    """Explanations by their keys, in the order of the rows."""
    return {
        (row.id, result.target, result.contrast): result
        for row, results in zip(rows, found, strict=True)
        for result in results
    }


def _record(index: int, key: Key, ours: Explanation, theirs: Explanation) -> dict[str, Any]:
    return {
        "id": key[0],
        "chunk": index,
        "target": key[1],
        "contrast": key[2],
        "relative_l1": relative_l1(ours.attributions, theirs.attributions),
        "max_abs_difference": float(np.abs(ours.attributions - theirs.attributions).max()),
        "delta_difference": ours.delta - theirs.delta,
        "method": AUDIT_METHOD,
        "n_steps": AUDIT_STEPS,
    }
