"""Explaining a share of a run's chunks again, to see whether the same comes out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ig_worker.errors import UsageError
from ig_worker.models.files import find_model
from ig_worker.run.config import ExplainConfig
from ig_worker.run.store import RunStore

AGREEMENT = 1e-4  # relative L1 between two machines at fixed rules; the tolerance, twice, at adaptive


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
    commits = sorted(store.commits())
    if not commits:
        raise UsageError(f"{store.place} has no results to recompute", remedy="run jobs.explain first")
    known = {setting.name for setting in fields(ExplainConfig)}
    config = ExplainConfig(
        **{k: v for k, v in manifest["config"].items() if k in known} | ({"model": model} if model else {})
    )
    files = find_model(config.model, config.revision)
    known_digests = manifest["identity"]["weights"], manifest["identity"]["tokenizer"]
    if (files.weights_digest, files.tokenizer_digest) != known_digests:
        raise UsageError(
            f"{config.model} is not the model of this run: its weights or its tokenizer differ",
            remedy="give the right one by --model",
        )
    from ig_worker.models import runtime
    from ig_worker.run.worker import ChunkWorker

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
    adaptive = "tolerance" in manifest["identity"]
    return Recomputed(rows, largest, 2 * config.tolerance if adaptive else AGREEMENT)


def _differences(worker: Any, store: RunStore, index: int, batch_tokens: int) -> list[float]:
    """Relative L1 differences of the rows of one chunk; infinite where a row has none, or another prediction."""
    from ig_worker.explain.engine import relative_l1

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
