"""How far a chunk that is explained again is from what is stored."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ig_worker.data.faults import RowFault
from ig_worker.explain.explanation import relative_l1
from ig_worker.run.chunk.audit import refined
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
    columns = ["id", "target", "attributions", "error_estimate"]
    stored = {row["id"]: row for row in store.results.read(index, columns).to_pylist() if row["id"] not in apart}
    return [
        (relative_l1(stored[id]["attributions"], reference.attributions), stored[id]["error_estimate"] or 0.0)
        for id, reference in refined(worker, store, index, stored).items()
    ]


def differences(worker: ChunkWorker, store: RunStore, index: int, binding: Binding) -> list[float]:
    """Relative L1 differences of the rows of one chunk; infinite where a row has none, or another prediction.

    Rows of the pilot, too, are explained by the engine of all others.
    """
    table, faults = store.chunks.read(index)
    # A row that ended its process once would end this one.
    faults |= dict.fromkeys(store.results.read_commit(index).quarantined, RowFault("quarantined", ""))
    explained, _, _ = worker.explain_table(table, faults, binding.anew)
    stored = store.results.read(index, ["id", "target", "attributions"]).to_pylist()
    fresh = {row.id: result for row, result in explained}
    return [
        relative_l1(fresh[row["id"]].attributions, np.asarray(row["attributions"], np.float32))
        if row["id"] in fresh and fresh[row["id"]].target == row["target"]
        else math.inf
        for row in stored
    ]
