"""Explaining a share of a run's chunks again, to see whether the same comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ig_worker.errors import UsageError
from ig_worker.run.chunk.records import Binding
from ig_worker.run.config import ActorSettings
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.executor import IN_PROCESS, ActorSpec, Crew, Executor
from ig_worker.run.dispatch.explain_actor import Actor
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.runner import Step, work_through
from ig_worker.run.steps.binding import binding_of
from ig_worker.run.steps.preflight import settings_of
from ig_worker.run.steps.promise import Kept
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
    kept: Kept | None = None  # how its rows keep to what a pilot promises; None where there was none

    @property
    def agrees(self) -> bool:
        return self.largest <= self.allowed and not (self.kept and self.kept.broken)

    def lines(self) -> list[str]:
        """For a terminal."""
        compared = f"largest relative L1 difference {self.largest:.2e}, allowed {self.allowed:g}"
        return [f"recomputed {self.rows} rows: {compared}", *([self.kept.line()] if self.kept else [])]


def recompute(
    store: RunStore,
    share: float,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda done, chunks: None,
    executor: Executor = IN_PROCESS,
) -> Recomputed:
    """Explain a share of the chunks again, at least one, with the settings in run.json.

    Whole chunks, since `adaptive` learns from one row of a chunk for the next. Where a pilot was, the errors of their
    rows that were not in it are held against what it promises.

    Args:
        store: a run with results.
        share: of the chunks, above 0 and at most 1.
        model: where the model is now; None is where it was.
        progress: called with (chunks done, chunks to do) after each.
        executor: who explains them, by default this process.

    Raises:
        UsageError: there are no results, or the model is another one.
    """
    manifest = store.manifest.existing()
    commits = store.results.indexes()
    if not commits:
        raise UsageError(f"{store.place} has no results to recompute", remedy="run jobs.explain first")
    config, files = settings_of(manifest, model)
    binding = binding_of(manifest["identity"])
    chosen = commits[:: max(1, math.floor(1 / share))]
    settings = ActorSettings(cpus_per_actor=config.cpus_per_actor)
    actors = ActorSpec(Actor, (config, settings, files, store.uri, None), settings)
    step = Step(lambda index: ("recompute", index, binding), "chunk {task:05d} could not be explained again")
    rows, largest = 0, 0.0
    with executor.crew(actors, Deadline(None)) as crew:
        for done, event in enumerate(work_through(crew, Ledger(chosen), step, tick=lambda: None), 1):
            rows, largest = rows + len(event.record), max([largest, *event.record])
            progress(done, len(chosen))
        kept = _kept(store, crew, chosen, binding, config.tolerance)
    tolerance = config.tolerance if "tolerance" in manifest["identity"] else 0.0
    return Recomputed(rows, largest, allowed_difference(tolerance, config.precision), kept)


def _kept(store: RunStore, crew: Crew, chosen: Sequence[int], binding: Binding, tolerance: float) -> Kept | None:
    """How the rows of some chunks keep to what the pilot promises; None where there was none."""
    if binding.calibration is None or not binding.calibration.rows:
        return None
    pilot = store.pilot.read(binding.pilot) if binding.pilot else None
    apart = frozenset(pilot.column("id").to_pylist() if pilot else ())
    step = Step(lambda index: ("true_errors", index, apart), "the errors of chunk {task:05d} could not be found")
    pairs: list[tuple[float, float]] = []
    for event in work_through(crew, Ledger(chosen), step, tick=lambda: None):
        pairs += event.record
    return Kept.of(pairs, tolerance, binding.calibration.certified)


def allowed_difference(tolerance: float, precision: str) -> float:
    """How far two devices may be apart, relative L1: by what either was allowed to be off, and by their rounding.

    Args:
        tolerance: of an adaptive run; 0 at fixed rules.
        precision: of the run.
    """
    return max(2 * tolerance, AGREEMENT[precision])
