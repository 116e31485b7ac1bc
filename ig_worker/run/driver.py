"""One run from start to end: prepare, explain what is missing, audit, and say how it went."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import (
    EXIT_OK,
    EXIT_QUARANTINED,
    EXIT_STOPPED,
    IgWorkerError,
    RunStoppedError,
)
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.run.attempts import Attempts
from ig_worker.run.checks import check_commits, check_model, with_gpus
from ig_worker.run.choices import missing_chunks, over_budget
from ig_worker.run.config import ExplainConfig, fingerprint, refuse_differences, run_identity, settings
from ig_worker.run.dispatch import Action, Ledger
from ig_worker.run.lease import Lease
from ig_worker.run.prepare import Prepared, prepare
from ig_worker.run.progress import meter
from ig_worker.run.result import RunResult, Totals
from ig_worker.run.search import Probe
from ig_worker.run.storage import Storage
from ig_worker.run.store import RunStore

log = logging.getLogger(__name__)

_LAST_PATIENCE_S = 5.0  # of a run that is about to end
_SHARE = b"ig_worker.audit_share"  # in the metadata of audit.parquet


@dataclass
class _Run:
    """A run that has been prepared and bound to its identity."""

    store: RunStore
    config: ExplainConfig
    files: ModelFiles
    prepared: Prepared
    identity: dict[str, Any]
    manifest: dict[str, Any]
    todo: list[int]  # chunks without a result
    lease: Lease
    quarantined: int = 0  # rows, so far
    started: float = field(default_factory=time.monotonic)
    totals: Totals = field(default_factory=Totals)

    @property
    def mark(self) -> str:
        """The fingerprint."""
        return fingerprint(self.identity)

    @property
    def batch_tokens(self) -> int:
        """Tokens in one batch of evaluations; 0 while it is to be measured."""
        return int(self.identity["batch_tokens"])

    def bind(self, batch_tokens: int) -> None:
        """Fix the evaluation batch, and write the run's identity down."""
        self.identity["batch_tokens"] = batch_tokens
        self.manifest |= {"identity": self.identity, "fingerprint": self.mark}
        self.store.write_manifest(self.manifest)

    @property
    def audit_due(self) -> bool:
        return self.config.audit > 0 and read_audit(self.store, self.mark, self.config.audit) is None

    def check_budget(self, quarantined: int) -> None:
        """Raise RunStoppedError once more rows are quarantined than `--max-quarantined` allows."""
        self.quarantined = quarantined
        if over_budget(quarantined, self.prepared.rows, self.config.max_quarantined):
            raise RunStoppedError(
                f"{quarantined} of {self.prepared.rows} rows are quarantined",
                expected=f"at most {self.config.max_quarantined} (--max-quarantined)",
                remedy="see the reasons in RUN/quarantine; what is done is kept",
            )

    def check(self) -> None:
        """Raise RunStoppedError once `--deadline` has passed, or another driver has taken the run over."""
        self.lease.check()
        limit = self.config.deadline
        if limit is not None and time.monotonic() - self.started > limit:
            raise RunStoppedError(
                f"--deadline of {limit:g} s has passed", remedy="run the same command again to resume"
            )


def explain_run(place: str, config: ExplainConfig) -> RunResult:
    """Explain every row of a data set into the run at `place`; a second call goes on where the first one stopped.

    Raises:
        UsageError: wrong settings, bad input, or another driver at work; nothing was started.
        RunStoppedError: stopped before the end; what is committed stays.
        RunDamagedError: a file of the run is not what the run wrote.
    """
    config, files, store, prepared = _prepare(place, config)
    with ExitStack() as stack:
        with meter("starting", None) as shown:
            lease = stack.enter_context(Lease(Storage(store.uri)).held(lambda text: shown.update(0, text)))
        run = _bind(config, files, store, prepared, lease)
        try:
            if run.todo or run.audit_due:
                _run_pool(run)
            return _conclude(run)
        except KeyboardInterrupt:
            done = run.prepared.chunks - len(run.todo) + run.totals.chunks
            stopped = RunStoppedError(
                f"interrupted; {done} of {run.prepared.chunks} chunks are done and kept",
                remedy="run the same command again to resume",
            )
            _record_stop(run, stopped)
            raise stopped from None
        except Exception as error:
            _record_stop(run, error)
            raise


def _prepare(place: str, config: ExplainConfig) -> tuple[ExplainConfig, ModelFiles, RunStore, Prepared]:
    """Check everything that can be checked before anything is started, and shard the data."""
    config.check()
    config = with_gpus(config)
    files = find_model(config.model, config.revision)
    check_model(config, files)
    store = RunStore(place)
    with meter("preparing, rows", None) as shown:
        prepared = prepare(store, config, lambda rows, total: shown.update(rows, total=total))
    return config, files, store, prepared


def _bind(config: ExplainConfig, files: ModelFiles, store: RunStore, prepared: Prepared, lease: Lease) -> _Run:
    """Bind the run to its identity, or refuse to go on with another one's."""
    identity = run_identity(config, prepared.digest, files.weights_digest, files.tokenizer_digest)
    manifest, commits = store.manifest(), store.commits()
    if commits:  # until there is a result, the settings may still change
        before = manifest.get("identity", {})
        if not config.batch_tokens:  # measured when the run began, and kept
            identity["batch_tokens"] = before.get("batch_tokens", 0)
        refuse_differences(store.place, before, identity)
    manifest |= {
        "config": settings(config),
        "versions": {key.removeprefix("version of "): value for key, value in identity.items() if "version of" in key},
        "state": "running",
    }
    run = _Run(store, config, files, prepared, identity, manifest, missing_chunks(prepared.chunks, commits), lease)
    check_commits(store, commits, run.mark, prepared, config.chunk_rows)
    run.quarantined = sum(len(commit.quarantined) for commit in commits.values())
    run.check_budget(run.quarantined)
    run.bind(run.batch_tokens)
    return run


def _run_pool(run: _Run) -> None:
    from ig_worker.run.pool import Pool, cluster, spawner  # Ray takes a second to import

    with cluster(run.config) as most:
        pool = Pool(spawner(run.config, run.files, run.store.uri), most, run.config.chunk_timeout)
        try:
            if run.todo and not run.batch_tokens:
                _measure_batch(run, pool)
            _explain(run, pool)
            if run.audit_due:
                _audit(run, pool)
        finally:
            pool.close()


def _explain(run: _Run, pool: Any) -> None:
    # Without `rows` no row is blamed for its process yet: one that is innocent must never be (see `search`).
    ledger = Ledger(run.todo)
    attempts = Attempts(Storage(run.store.uri), run.lease.driver)
    before = run.prepared.chunks - len(run.todo)
    with meter("explaining, chunks", run.prepared.chunks) as shown:

        def tick() -> None:
            run.check()
            if not pool.ready:
                shown.update(before, f"waiting for the first of {pool.actors} actors")

        def submit(actor: Any, task: Any) -> Any:
            if isinstance(task, Probe):
                return actor.probe.remote(task.chunk, task.start, task.stop, run.batch_tokens)
            return actor.explain.remote(task, run.mark, run.batch_tokens, ledger.guilty.get(task, ()))

        try:
            for event in pool.work(ledger, submit, tick):
                attempts.add(event)
                if event.action is Action.FINISH and event.record is not None:
                    run.totals.add(event.record)
                    shown.update(before + run.totals.chunks, f"{run.totals.rows} rows")
                    run.check_budget(run.quarantined + event.record.quarantined)
        finally:
            attempts.flush()
    if ledger.given_up:
        index, error = next(iter(ledger.given_up.items()))
        raise RunStoppedError(
            f"{len(ledger.given_up)} chunks failed again and again, such as chunk {index:05d}: {error}",
            remedy="mend the cause and run the same command again; what is done is kept",
        )


def _measure_batch(run: _Run, pool: Any) -> None:
    """Let the first actor that is ready choose the evaluation batch, once for the whole life of the run."""
    ledger = Ledger(["batch"])
    with meter("measuring the device", None):
        for event in pool.work(ledger, lambda actor, _: actor.measure_batch.remote(), run.check):
            if event.action is Action.FINISH:
                run.bind(event.record)
    if ledger.given_up:
        raise RunStoppedError(
            f"the evaluation batch could not be measured: {next(iter(ledger.given_up.values()))}",
            remedy="mend the cause, or set --batch-tokens",
        )


def _audit(run: _Run, pool: Any) -> None:
    """Recompute a share of the explained rows with alibi; written to RUN/aggregates/audit.parquet."""
    share = run.config.audit
    ledger = Ledger(sorted(run.store.commits()), alike=False)  # few of them have many rows of the share
    records: list[dict[str, Any]] = []
    with meter("auditing, chunks", len(ledger.waiting)) as shown:
        for event in pool.work(ledger, lambda actor, index: actor.audit.remote(index, share), run.check):
            if event.action is Action.FINISH:
                records += event.record
                shown.update(ledger.done, f"{len(records)} rows")
    if ledger.given_up:
        raise RunStoppedError(f"the audit failed: {next(iter(ledger.given_up.values()))}")
    records.sort(key=lambda record: (record["chunk"], record["id"]))
    metadata = {**schema.with_metadata(schema.AUDIT, fingerprint=run.mark).metadata, _SHARE: str(share).encode()}
    run.store.write_aggregate("audit", pa.Table.from_pylist(records, schema=schema.AUDIT.with_metadata(metadata)))


def read_audit(store: RunStore, mark: str, share: float) -> pa.Table | None:
    """The audit of this share of this run, or None where it has not been made."""
    table = store.read_aggregate("audit")
    metadata = {} if table is None else table.schema.metadata or {}
    fits = metadata.get(schema.META_FINGERPRINT) == mark.encode() and metadata.get(_SHARE) == str(share).encode()
    return table if fits else None


def _conclude(run: _Run) -> RunResult:
    """Check that every chunk is there, and write the end of the run into run.json and summary.json."""
    commits = run.store.commits()
    check_commits(run.store, commits, run.mark, run.prepared, run.config.chunk_rows)
    missing = missing_chunks(run.prepared.chunks, commits)
    if missing:
        raise RunStoppedError(
            f"{len(missing)} results are gone since they were written, such as that of chunk {missing[0]:05d}",
            remedy="see that nothing else changes the run, then run the same command again",
        )
    counts = _write_state(run, "complete")
    audits = read_audit(run.store, run.mark, run.config.audit) if run.config.audit > 0 else None
    result = RunResult(
        exit_code=EXIT_QUARANTINED if counts["quarantined"] else EXIT_OK,
        state="complete",
        rows=run.prepared.rows,
        explained=counts["explained"],
        quarantined=counts["quarantined"],
        chunks=run.prepared.chunks,
        computed=len(run.todo),
        wall_seconds=time.monotonic() - run.started,
        totals=run.totals,
        audited=None if audits is None else audits.num_rows,
        largest_audit_difference=_largest(audits, "relative_l1"),
        largest_refined_difference=_largest(audits, "refined_relative_l1"),
    )
    reason = f"{result.quarantined} rows are quarantined" if result.quarantined else ""
    last = run.store.read_summary()
    # A start that found everything done says nothing of the speed.
    rate = result.rate if result.computed else last.get("reviews_per_second", 0.0)
    run.store.write_summary({**asdict(result), "reason": reason, "reviews_per_second": rate})
    return result


def _largest(audits: pa.Table | None, column: str) -> float | None:
    values = [] if audits is None else audits.column(column).drop_null().to_pylist()
    return max(values, default=None)


def _record_stop(run: _Run, error: Exception) -> None:
    """Write into run.json and summary.json that and why the run stopped; never in the way of the error itself."""
    code = error.exit_code if isinstance(error, IgWorkerError) else EXIT_STOPPED
    run.store.storage.patience_s = _LAST_PATIENCE_S
    try:
        counts = _write_state(run, "stopped")
        run.store.write_summary({**counts, "state": "stopped", "exit_code": code, "reason": str(error)})
    except IgWorkerError as second:
        log.warning("the end of the run could not be recorded: %s", second)


def _write_state(run: _Run, state: str) -> dict[str, int]:
    commits = run.store.commits().values()
    counts = {
        "rows": run.prepared.rows,
        "explained": sum(commit.rows for commit in commits),
        "quarantined": sum(len(commit.quarantined) for commit in commits),
        "chunks": run.prepared.chunks,
        "chunks_done": len(commits),
    }
    run.store.write_manifest({**run.manifest, "state": state, "counts": counts})
    return counts
