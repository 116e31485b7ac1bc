"""One run from start to end: prepare, explain what is missing, audit, and say how it went."""

from __future__ import annotations

import logging
import sys
from collections.abc import Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ig_worker.data.sources import Documents, open_documents
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.run import logs
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.attempt_log import Attempts
from ig_worker.run.dispatch.executor import ON_RAY, Crew, Executor, Order
from ig_worker.run.dispatch.explain_actor import actors_of_run
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.local_machine import check_folder
from ig_worker.run.dispatch.row_search import Control, Probe
from ig_worker.run.dispatch.runner import Step, work_through
from ig_worker.run.identity import refuse_differences, run_identity, settings
from ig_worker.run.progress import meter
from ig_worker.run.steps.audit import write_audit
from ig_worker.run.steps.explain_state import ActiveRun
from ig_worker.run.steps.finish import conclude, ends_recorded
from ig_worker.run.steps.pilot import look_for_rows, run_pilot, with_measured
from ig_worker.run.steps.preflight import (
    assumptions,
    check_commits,
    check_model,
    check_ray,
    missing_chunks,
    spec_for,
    with_gpus,
)
from ig_worker.run.steps.prepare import Prepared, is_complete, prepare
from ig_worker.run.steps.preview import CAUTIONS, Preview
from ig_worker.run.steps.result import RunResult
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore


@dataclass(frozen=True)
class _Input:
    """What a run is given, checked."""

    config: ExplainConfig
    files: ModelFiles
    documents: Documents
    preview: Preview | None  # None where the run has results already


def explain_run(
    place: str, config: ExplainConfig, deadline: Deadline | None = None, executor: Executor = ON_RAY
) -> RunResult:
    """Explain every row of a data set into the run at `place`; a second call goes on where the first one stopped.

    Args:
        place: of the run, a path or URI.
        config: of the run.
        deadline: when it has to be over; None is the configuration's, from now on.
        executor: who explains.

    Raises:
        UsageError: wrong settings, bad input, or another driver at work; nothing was started.
        RunStoppedError: stopped before the end; what is committed stays.
        RunDamagedError: a file of the run is not what the run wrote.
    """
    config.check()
    deadline = deadline or Deadline(config.deadline)
    with deadline.enforced(), ExitStack() as stack:
        store = RunStore(place)
        given = _check(config, store, deadline)
        with meter("starting", None) as shown:

            def waiting(text: str) -> None:
                deadline.check()
                shown.update(0, text)

            lease = stack.enter_context(Lease(Storage(store.uri)).held(waiting))
        prepared = _shard(store, given, lease, deadline)
        run = _bind(given, store, prepared, lease, deadline)
        with ends_recorded(run):
            if run.todo or run.audit_due:
                run.check()
                _work(run, executor)
            return conclude(run)


def check_input(config: ExplainConfig) -> Preview:
    """What a run of this configuration is about to do, found without Ray and without writing anything.

    Raises:
        UsageError: wrong settings or bad input, as `explain_run` raises it before it starts.
    """
    from ig_worker.run.steps.preview_trial import preview

    check_folder()
    config.check()
    config = with_gpus(config)
    files, documents = _open(config, Deadline(config.deadline))
    with meter("loading the model", None):
        return preview(config, files, documents, network=True)


def _check(config: ExplainConfig, store: RunStore, deadline: Deadline) -> _Input:
    """Everything that can be checked before anything is written."""
    config = with_gpus(config)
    if not is_complete(store):  # which needs no Ray
        check_ray(config.address, deadline)
    files, documents = _open(config, deadline)
    found = None
    if not store.results.indexes():  # somebody who resumes has seen it
        found = _preview(config, files, documents)
        deadline.check()
    return _Input(config, files, documents, found)


def _open(config: ExplainConfig, deadline: Deadline) -> tuple[ModelFiles, Documents]:
    files = find_model(config.model, config.revision, outputs=config.outputs)
    deadline.check()
    check_model(config, files)
    files.tell_notes()
    with meter("reading the data set", None):
        documents = open_documents(spec_for(config, files), files.shape.labels, files.shape.outputs)
    deadline.check()
    return files, documents


def _preview(config: ExplainConfig, files: ModelFiles, documents: Documents) -> Preview:
    """Say what the run is about to do, so that a wrong assumption is seen before it costs an hour."""
    from ig_worker.run.steps.preview_trial import preview  # TensorFlow: seconds

    with meter("looking at the first rows", None):
        found = preview(config, files, documents, network=False)
    for line in found.lines(texts=sys.stderr.isatty()):  # a night's log is read by more people than its data
        logs.tell(line, logging.WARNING if line.startswith(CAUTIONS) else logging.INFO)
    return found


def _shard(store: RunStore, given: _Input, lease: Lease, deadline: Deadline) -> Prepared:
    with meter("preparing, rows", None) as shown:

        def progress(rows: int, total: int) -> None:
            lease.check()
            deadline.check()
            shown.update(rows, total=total)

        return prepare(store, given.config, progress, given.documents)


def _bind(given: _Input, store: RunStore, prepared: Prepared, lease: Lease, deadline: Deadline) -> ActiveRun:
    """Bind the run to its identity, or refuse to go on with another one's."""
    config, files, documents = given.config, given.files, given.documents
    digests = prepared.digest, files.weights_digest, files.tokenizer_digest
    asked = run_identity(config, *digests, files.shape.outputs)
    manifest, commits = store.manifest.existing(), store.results.commits()
    identity = with_measured(config, asked, manifest, bool(commits))
    if commits:  # until there is a result, the settings may still change
        refuse_differences(store.place, manifest.get("identity", {}), identity)
    manifest |= {
        "config": settings(config),
        "versions": {key.removeprefix("version of "): value for key, value in identity.items() if "version of" in key},
        "state": "running",
        "data": manifest["data"] | {"class_names": list(documents.class_names), "outputs": files.shape.outputs},
        "assumed": assumptions(config, files, documents),
    }
    if given.preview is not None:
        manifest["suspicious"] = given.preview.suspicious
    todo = missing_chunks(prepared.chunks, commits)
    run = ActiveRun(store, config, files, prepared, identity, manifest, todo, lease, deadline)
    check_commits(store, commits, run.fingerprint, prepared, config.chunk_rows)
    if config.retry_quarantined:
        again = [
            index for index, commit in commits.items() if set(commit.quarantined) - store.chunks.read(index)[1].keys()
        ]
        run.todo = sorted([*run.todo, *again])
    done = [commit for index, commit in commits.items() if index not in run.todo]
    run.explained = sum(commit.rows for commit in done)
    run.quarantined = sum(len(commit.quarantined) for commit in done)
    run.check_budget(run.quarantined)
    look_for_rows(run)
    run.bind(run.batch_tokens)
    return run


def _work(run: ActiveRun, executor: Executor) -> None:
    """Explain what is to do, and audit."""
    settings = run.config.actor_settings()
    with (
        executor.crew(actors_of_run(run.config, settings, run.files, run.store.uri), run.deadline) as crew,
        ends_recorded(run),  # before the actors are ended and Ray is, which may hang
    ):
        if run.todo and not run.batch_tokens:
            _measure_batch(run, crew)
        if run.todo and run.pilot_due:
            run_pilot(run, crew)
        _explain(run, crew, executor)
        if run.audit_due:
            _audit(run, crew, executor)


def _measure_batch(run: ActiveRun, crew: Crew) -> None:
    """Let the first actor that is ready choose the evaluation batch, once for the whole life of the run."""
    step = Step(
        order=lambda _: ("measure_batch", run.prepared.rows),
        failed="the evaluation batch could not be measured",
        remedy="mend the cause, or set --batch-tokens",
    )
    with meter("measuring the device", None):
        for event in work_through(crew, Ledger(["batch"]), step, run.check):
            run.bind(event.record)


def _explain(run: ActiveRun, crew: Crew, executor: Executor) -> None:
    ledger = Ledger(run.todo, lambda index: run.prepared.rows_of(index, run.config.chunk_rows), hints=True)
    step = Step(
        order=lambda task: _order(run, ledger, task),
        failed="{count} chunks failed again and again, such as chunk {task:05d}",
        remedy="mend the cause and run the same command again; what is done is kept",
    )
    before = run.prepared.chunks - len(run.todo)
    with (
        meter("explaining, chunks", run.prepared.chunks, before) as shown,
        executor.metrics(run.store.uri, "explain") as metrics,
        Attempts(Storage(run.store.uri), run.lease.driver) as attempts,
    ):

        def tick() -> None:
            run.check()
            if not crew.ready:
                shown.update(before, f"waiting for the first of {crew.actors} actors")

        for event in work_through(crew, ledger, step, tick, metrics, attempts):
            metrics.explained(event.record)
            run.totals.add(event.record)
            shown.update(before + run.totals.chunks, f"{run.totals.rows} rows")
            run.check_budget(run.quarantined + event.record.quarantined)


def _order(run: ActiveRun, ledger: Ledger, task: Hashable) -> Order:
    """What is asked for to do a chunk, or to look for the row of one that ends its process."""
    if isinstance(task, Control):
        return "try_known_good", run.binding
    if isinstance(task, Probe):
        return "probe", task.chunk, task.start, task.stop, run.binding
    return "explain", task, run.binding, ledger.guilty.get(task, ())


def _audit(run: ActiveRun, crew: Crew, executor: Executor) -> None:
    """Recompute a share of the explained rows with alibi; written to RUN/aggregates/audit.parquet."""
    share = run.config.audit
    ledger = Ledger(run.store.results.indexes(), alike=False)  # few of them have many rows of the share
    step = Step(order=lambda index: ("audit", index, share), failed="the audit failed")
    records: list[dict[str, Any]] = []
    with (
        meter("auditing, chunks", len(ledger.waiting)) as shown,
        executor.metrics(run.store.uri, "audit") as metrics,
    ):
        for event in work_through(crew, ledger, step, run.check, metrics):
            records += event.record
            shown.update(ledger.done, f"{len(records)} rows")
    run.lease.confirm()
    write_audit(run.store, run.fingerprint, share, records)
