"""The evaluation of a run from start to end: what is missing of it is computed by the same actors as explain runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from ig_worker.errors import RunStoppedError, UsageError
from ig_worker.models.files import ModelFiles
from ig_worker.run.chunk.evaluator import EvaluationRecord, read_evaluation
from ig_worker.run.config import EvaluateConfig, ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Action
from ig_worker.run.progress import meter
from ig_worker.run.steps.preflight import settings_of, with_gpus
from ig_worker.run.store.filesystem import PATIENCE_S, Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import Commit, RunStore


@dataclass
class Evaluated:
    """How much was done."""

    chunks: int  # with results
    computed: int = 0  # chunks, by this start
    rows: int = 0  # evaluated, by this start
    forwards: int = 0  # texts that went through the network, by this start
    seconds: float = 0.0

    def add(self, record: EvaluationRecord) -> None:
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


def evaluate_run(place: str, config: EvaluateConfig, deadline: Deadline | None = None) -> Evaluated:
    """Evaluate the attributions of the run at `place`, into RUN/evaluation; a second call does what is missing.

    What was found with other settings is replaced.

    Args:
        place: of the run, a path or URI.
        config: of the evaluation.
        deadline: when it has to be over; None is the configuration's, from now on.

    Raises:
        UsageError: wrong settings, no results, another model, or another driver at work; nothing was started.
        RunStoppedError: stopped before the end; what is written stays.
    """
    config.check()
    deadline = deadline or Deadline(config.deadline)
    with deadline.enforced():
        return _evaluate(RunStore(place), config, deadline)


def _evaluate(store: RunStore, config: EvaluateConfig, deadline: Deadline) -> Evaluated:
    started = time.monotonic()
    store.manifest()  # before a lease is left in what is no run
    with meter("evaluating, chunks", None) as shown, ExitStack() as stack:

        def waiting(text: str) -> None:
            deadline.check()
            shown.update(0, text)

        lease = stack.enter_context(Lease(Storage(store.uri)).held(waiting))
        explain, files, commits = _actors_and_results(store, config)
        store.storage.patience_s = PATIENCE_S
        todo = [i for i, commit in sorted(commits.items()) if read_evaluation(store, commit, config) is None]
        done = Evaluated(len(commits))

        def add(record: EvaluationRecord) -> None:
            done.add(record)
            shown.update(len(commits) - len(todo) + done.computed, f"{done.rows} rows", total=len(commits))

        def tick() -> None:
            lease.check()
            deadline.check()

        if todo:
            tick()
            _run_pool(explain, files, store, todo, config, add, tick, deadline)
        lease.confirm()
    done.seconds = time.monotonic() - started
    return done


def _actors_and_results(store: RunStore, config: EvaluateConfig) -> tuple[ExplainConfig, ModelFiles, dict[int, Commit]]:
    """The configuration and the model of the actors, and the results to evaluate."""
    manifest, commits = store.manifest(), store.commits()
    if not commits:
        raise UsageError(f"{store.place} has no results to evaluate", remedy="run jobs.explain first")
    explain, files = settings_of(manifest, config.model)
    batch_tokens = int(manifest["identity"]["batch_tokens"])
    return with_gpus(replace(config.of_run(explain), batch_tokens=batch_tokens)), files, commits


def _run_pool(
    explain: ExplainConfig,
    files: ModelFiles,
    store: RunStore,
    todo: list[int],
    config: EvaluateConfig,
    add: Callable[[EvaluationRecord], None],
    tick: Callable[[], None],
    deadline: Deadline,
) -> None:
    """Let actors evaluate chunks.

    Args:
        explain: the configuration of the actors.
        files: the run's model.
        store: the run.
        todo: chunks.
        config: what is evaluated, and how.
        add: told of every chunk that is done.
        tick: called about once a second.
        deadline: when it has to be over.
    """
    from ig_worker.run.dispatch.cluster import cluster
    from ig_worker.run.dispatch.explain_actor import spawner  # Ray takes a second to import
    from ig_worker.run.dispatch.metrics import step_metrics
    from ig_worker.run.dispatch.pool import Pool

    ledger = Ledger(todo, alike=False)  # few of them have many rows of the share

    def submit(actor: Any, index: Any) -> Any:
        return actor.evaluate.remote(index, config)

    with cluster(explain, deadline) as (least, most), step_metrics(store.uri, "evaluate") as metrics:
        pool = Pool(spawner(explain, files, store.uri), most, explain.chunk_timeout, least)

        def tell() -> None:
            tick()
            metrics.state(ledger, pool)

        try:
            for event in pool.work(ledger, submit, tell):
                metrics.attempt(event)
                if event.action is Action.FINISH:
                    add(event.record)
        finally:
            pool.close()
    if ledger.given_up:
        raise RunStoppedError(
            f"the evaluation failed: {next(iter(ledger.given_up.values()))}",
            remedy="mend the cause and run the same command again; what is done is kept",
        )
