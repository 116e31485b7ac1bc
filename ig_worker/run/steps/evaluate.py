"""How faithful a run is, from start to end: what is missing is computed by the same actors as explain runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ig_worker.errors import UsageError
from ig_worker.run.chunk.evaluator import FaithfulnessRecord, read_curves
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.executor import ON_RAY, ActorSpec, Crew, Executor, StepMetrics
from ig_worker.run.dispatch.explain_actor import actors_of_run
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.runner import Step, work_through
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.progress import meter
from ig_worker.run.steps.preflight import settings_of, with_gpus
from ig_worker.run.store.filesystem import RUN_PATIENCE_S, Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore


@dataclass
class FaithfulnessTotals:
    """Sums over the chunks whose faithfulness this start has measured."""

    chunks: int  # with results
    computed: int = 0  # chunks, by this start
    rows: int = 0  # evaluated, by this start
    forwards: int = 0  # texts that went through the network, by this start
    seconds: float = 0.0

    def add(self, record: FaithfulnessRecord) -> None:
        self.computed += 1
        self.rows += record.rows
        self.forwards += record.forwards

    def lines(self) -> list[str]:
        """For a terminal."""
        if not self.computed:
            return []
        return [
            f"this start: {self.computed} of {self.chunks} chunks, {self.rows} rows in {self.seconds:.1f} s, "
            f"{self.forwards / max(self.rows, 1):.0f} forward passes a row"
        ]


def measure_faithfulness(
    place: str, config: EvaluateConfig, deadline: Deadline | None = None, executor: Executor = ON_RAY
) -> FaithfulnessTotals:
    """Measure how faithful the attributions of the run at `place` are, into RUN/evaluation.

    A second call does what is missing. What was found with other settings is replaced.

    Args:
        place: of the run, a path or URI.
        config: what is measured, and how.
        deadline: when it has to be over; None is the configuration's, from now on.
        executor: who measures it.

    Raises:
        UsageError: wrong settings, no results, another model, or another driver at work; nothing was started.
        RunStoppedError: stopped before the end; what is written stays.
    """
    config.check()
    deadline = deadline or Deadline(config.deadline)
    with deadline.enforced():
        return _measure(RunStore(place), config, deadline, executor)


def _measure(store: RunStore, config: EvaluateConfig, deadline: Deadline, executor: Executor) -> FaithfulnessTotals:
    started = time.monotonic()
    store.manifest.existing()  # before a lease is left in what is no run
    with meter("evaluating, chunks", None) as shown, ExitStack() as stack:

        def waiting(text: str) -> None:
            deadline.check()
            shown.update(0, text)

        lease = stack.enter_context(Lease(Storage(store.uri)).held(waiting))
        commits = store.results.commits()
        actors = _actors(store, config, len(commits))
        store.storage.patience_s = RUN_PATIENCE_S
        todo = [i for i, commit in sorted(commits.items()) if read_curves(store, commit, config) is None]
        done = FaithfulnessTotals(len(commits))

        def tick() -> None:
            lease.check()
            deadline.check()

        if todo:
            tick()
            with executor.crew(actors, deadline) as crew, executor.metrics(store.uri, "evaluate") as metrics:
                for record in _by_crew(crew, todo, config, tick, metrics):
                    done.add(record)
                    shown.update(len(commits) - len(todo) + done.computed, f"{done.rows} rows", total=len(commits))
        lease.confirm()
    done.seconds = time.monotonic() - started
    return done


def _actors(store: RunStore, config: EvaluateConfig, results: int) -> ActorSpec:
    """What evaluates a run that has results: the actors that explained it, with its configuration."""
    manifest = store.manifest.existing()
    if not results:
        raise UsageError(f"{store.place} has no results to evaluate", remedy="run jobs.explain first")
    explain, files = settings_of(manifest, config.model)
    explain = replace(explain, batch_tokens=int(manifest["identity"]["batch_tokens"]))
    return actors_of_run(explain, with_gpus(config.actor_settings(explain.cpus_per_actor)), files, store.uri)


def _by_crew(
    crew: Crew, todo: list[int], config: EvaluateConfig, tick: Callable[[], None], metrics: StepMetrics
) -> Iterator[FaithfulnessRecord]:
    step = Step(
        order=lambda index: ("measure_faithfulness", index, config),
        failed="the evaluation failed",
        remedy="mend the cause and run the same command again; what is done is kept",
    )
    ledger = Ledger(todo, alike=False)  # few of them have many rows of the share
    return (event.record for event in work_through(crew, ledger, step, tick, metrics))
