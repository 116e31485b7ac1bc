"""Explaining a share of a run's chunks again, to see whether the same comes out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ig_worker.errors import UsageError
from ig_worker.run.steps.preflight import settings_of
from ig_worker.run.store.run_store import RunStore

# Relative L1 between one rule's attributions on two kinds of device, by --precision; one kind gives equal bytes.
# float32: what alibi and the fused engine are held to. bfloat16: each device is off the float32 result, by 3e-3 on the
# 99th of 100 reviews (explain/README.md, "Settings"): twice that, and twice again for the last review. TF32 keeps three
# bits more of each factor, so an eighth.
AGREEMENT = {"float32": 1e-4, "tf32": 1.5e-3, "bfloat16": 1.2e-2}


@dataclass(frozen=True)
class Recomputed:
    """How chunks that were explained again compare with what is stored."""

    rows: int
    largest: float  # relative L1
    allowed: float

    @property
    def agrees(self) -> bool:
        return self.largest <= self.allowed


def recompute(
    store: RunStore, share: float, model: str | None = None, progress: Callable[[int, int], None] | None = None
) -> Recomputed:
    """Explain a share of the chunks again, at least one, in this process, with the settings in run.json.

    Whole chunks, since `adaptive` learns from one row of a chunk for the next.

    Args:
        store: a run with results.
        share: of the chunks, above 0 and at most 1.
        model: where the model is now; None is where it was.
        progress: called with (chunks done, chunks to do) after each.

    Raises:
        UsageError: there are no results, or the model is another one.
    """
    manifest = store.manifest()
    commits = store.committed()
    if not commits:
        raise UsageError(f"{store.place} has no results to recompute", remedy="run jobs.explain first")
    config, files = settings_of(manifest, model)
    from ig_worker.models import runtime
    from ig_worker.run.chunk.worker import ChunkWorker

    runtime.configure(config.cpus_per_actor, config.precision)
    worker = ChunkWorker(config, files)
    step = max(1, math.floor(1 / share))
    chosen = commits[::step]
    rows, largest = 0, 0.0
    for done, index in enumerate(chosen, 1):
        differences = _differences(worker, store, index, int(manifest["identity"]["batch_tokens"]))
        rows, largest = rows + len(differences), max([largest, *differences])
        if progress:
            progress(done, len(chosen))
    tolerance = config.tolerance if "tolerance" in manifest["identity"] else 0.0
    return Recomputed(rows, largest, allowed_difference(tolerance, config.precision))


def allowed_difference(tolerance: float, precision: str) -> float:
    """How far two devices may be apart, relative L1: by what either was allowed to be off, and by their rounding.

    Args:
        tolerance: of an adaptive run; 0 at fixed rules.
        precision: of the run.
    """
    return max(2 * tolerance, AGREEMENT[precision])


def _differences(worker: Any, store: RunStore, index: int, batch_tokens: int) -> list[float]:
    """Relative L1 differences of the rows of one chunk; infinite where a row has none, or another prediction."""
    from ig_worker.explain.explanation import relative_l1

    table, faults = store.read_chunk(index)
    # A row that ended its process once would end this one.
    faults |= dict.fromkeys(store.read_commit(index).quarantined, ("quarantined", ""))
    explained, _, _ = worker.explain_table(table, faults, batch_tokens)
    stored = store.read_attributions(index, ["id", "target", "attributions"]).to_pylist()
    fresh = {row.id: result for row, result in explained}
    return [
        relative_l1(fresh[row["id"]].attributions, np.asarray(row["attributions"], np.float32))
        if row["id"] in fresh and fresh[row["id"]].target == row["target"]
        else math.inf
        for row in stored
    ]
