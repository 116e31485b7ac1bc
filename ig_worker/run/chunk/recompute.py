"""How far a chunk that is explained again is from what is stored."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ig_worker.data.faults import RowFault
from ig_worker.explain.explanation import relative_l1
from ig_worker.run.chunk.audit import key_of, refined
from ig_worker.run.chunk.records import Binding
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:
    from ig_worker.run.chunk.worker import ChunkWorker


def true_errors(worker: ChunkWorker, store: RunStore, index: int, apart: Collection[str]) -> list[tuple[float, float]]:
    """(relative L1 error against the refined reference, error estimate) of the stored rows of one chunk.

    Args:
        worker: of the run.
        store: the run.
        index: of the chunk.
        apart: ids of rows that do not count, such as those of the pilot.
    """
    columns = ["id", "target", "contrast", "attributions", "error_estimate"]
    rows = [row for row in store.results.read(index, columns).to_pylist() if row["id"] not in apart]
    stored = {key_of(row): row for row in rows}
    references = refined(worker, store, index, {row["id"] for row in rows})
    return [
        (relative_l1(stored[key]["attributions"], reference.attributions), stored[key]["error_estimate"] or 0.0)
        for key, reference in references.items()
    ]


def differences(worker: ChunkWorker, store: RunStore, index: int, binding: Binding) -> list[float]:
    """Relative L1 differences of the rows of one chunk; infinite where a row has none, or other targets.

    Rows of the pilot, too, are explained by the engine of all others.
    """
    table, faults = store.chunks.read(index)
    # A row that ended its process once would end this one.
    faults |= dict.fromkeys(store.results.read_commit(index).quarantined, RowFault("quarantined", ""))
    explained, _, _ = worker.explain_table(table, faults, binding.anew)
    stored = store.results.read(index, ["id", "target", "contrast", "attributions"]).to_pylist()
    fresh = {(row.id, one.target, one.contrast): one.attributions for row, found in explained for one in found}
    return [
        relative_l1(fresh[key_of(row)], np.asarray(row["attributions"], np.float32))
        if key_of(row) in fresh
        else math.inf
        for row in stored
    ]
