"""One run from start to end: prepare, explain what is missing, audit, and say how it went."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import EXIT_OK, EXIT_QUARANTINED, RunDamagedError, RunStoppedError
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.run.checks import check_model
from ig_worker.run.config import (
    ExplainConfig,
    fingerprint,
    refuse_differences,
    run_identity,
    settings,
)
from ig_worker.run.dispatch import Action, Ledger, missing_chunks
from ig_worker.run.prepare import Prepared, prepare
from ig_worker.run.progress import Meter, meter
from ig_worker.run.store import Commit, RunStore

_SHARE = b"ig_worker.audit_share"  # in the metadata of audit.parquet


@dataclass
class Totals:
    """Sums over the chunks that this start of the run explained."""

    chunks: int = 0
    rows: int = 0
    correct: int = 0
    labelled: int = 0
    evaluations: float = 0.0
    seconds: float = 0.0
    engine_seconds: float = 0.0
    peak_memory: int = 0

    def add(self, record: Any) -> None:
        """Add a `worker.ChunkRecord`."""
        self.chunks += 1
        self.rows += record.explained
        self.correct += record.correct
        self.labelled += record.labelled
        self.evaluations += record.evaluations
        self.seconds += record.seconds
        self.engine_seconds += record.engine_seconds
        self.peak_memory = max(self.peak_memory, record.peak_memory)


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    exit_code: int
    state: str
    rows: int
    explained: int
    quarantined: int
    chunks: int
    computed: int  # chunks explained by this start; the others were there
    wall_seconds: float
    totals: Totals = field(default_factory=Totals)
    audited: int = 0
    largest_audit_difference: float | None = None  # relative L1

    @property
    def rate(self) -> float:
        """Reviews a second of this start, actors' start-up and audit included."""
        return self.totals.rows / max(self.wall_seconds, 1e-9)

    def lines(self) -> list[str]:
        """The result as lines for a terminal."""
        totals = self.totals
        lines = [f"{self.explained} of {self.rows} rows explained, {self.quarantined} quarantined"]
        if totals.chunks:
            each = totals.evaluations / max(totals.rows, 1)
            lines.append(
                f"this start: {totals.chunks} of {self.chunks} chunks, {totals.rows} rows "
                f"in {self.wall_seconds:.1f} s, {self.rate:.2f} reviews/s, {each:.1f} evaluations a review, "
                f"peak memory {totals.peak_memory / 2**20:.0f} MiB an actor"
            )
        if totals.labelled:
            lines.append(f"accuracy {totals.correct / totals.labelled:.4f} on {totals.labelled} labelled rows")
        if self.audited:
            lines.append(
                f"audit against alibi: {self.audited} rows, largest relative L1 {self.largest_audit_difference:.2e}"
            )
        return lines


def explain_run(place: str, config: ExplainConfig) -> RunResult:
    """Explain every row of a data set into the run at `place`; a second call goes on where the first one stopped.

    Raises:
        UsageError: wrong settings or bad input; nothing was started.
        RunStoppedError: stopped before the end; what is committed stays.
    """
    config.check()
    files = find_model(config.model, config.revision)
    check_model(config, files)
    store = RunStore(place)
    with meter("preparing, rows", None) as shown:
        prepared = prepare(store, config, lambda rows, total: shown.update(rows, total=total))
    identity = run_identity(config, prepared.digest, files.weights_digest, files.tokenizer_digest)
    started = time.monotonic()
    manifest = _open(store, config, identity)
    mark = fingerprint(identity)
    commits = store.commits()
    _check_commits(store, commits, mark, prepared)
    todo = missing_chunks(prepared.chunks, commits)
    totals = Totals()
    if todo or (config.audit > 0 and read_audit(store, mark, config.audit) is None):
        try:
            _run_pool(store, config, files, mark, todo, prepared, totals)
        except KeyboardInterrupt:
            _finish(store, manifest, "stopped", prepared)
            raise RunStoppedError(
                f"interrupted; {len(store.commits())} of {prepared.chunks} chunks are done and kept",
                remedy="run the same command again to resume",
            ) from None
    audits = read_audit(store, mark, config.audit)
    return _conclude(store, manifest, prepared, totals, audits, time.monotonic() - started, len(todo))


def _open(store: RunStore, config: ExplainConfig, identity: dict[str, Any]) -> dict[str, Any]:
    """Enter the run's identity into run.json, or refuse a run that has another one."""
    manifest = store.manifest()
    if "identity" in manifest:
        refuse_differences(store.place, manifest["identity"], identity)
    else:
        store.storage.probe()
    manifest |= {
        "identity": identity,
        "fingerprint": fingerprint(identity),
        "config": settings(config),
        "versions": {key.removeprefix("version of "): value for key, value in identity.items() if "version of" in key},
        "state": "running",
    }
    store.write_manifest(manifest)
    return manifest


def _check_commits(store: RunStore, commits: dict[int, Commit], mark: str, prepared: Prepared) -> None:
    for index, commit in commits.items():
        if commit.fingerprint != mark or not 0 <= index < prepared.chunks:
            raise RunDamagedError(
                f"chunk {index:05d} in {store.place}/attributions belongs to another run",
                remedy="delete that file and run jobs.explain again",
            )


def _run_pool(
    store: RunStore,
    config: ExplainConfig,
    files: ModelFiles,
    mark: str,
    todo: list[int],
    prepared: Prepared,
    totals: Totals,
) -> None:
    from ig_worker.run.pool import Pool, cluster, spawner  # Ray takes a second to import

    with cluster(config) as (low, high):
        pool = Pool(spawner(config, files, mark, store.place), low, high, config.chunk_timeout)
        try:
            _explain(pool, todo, prepared, totals)
            if config.audit > 0 and read_audit(store, mark, config.audit) is None:
                _audit(pool, store, config, mark)
        finally:
            pool.close()


def _explain(pool: Any, todo: list[int], prepared: Prepared, totals: Totals) -> None:
    ledger = Ledger.of(todo)
    done = prepared.chunks - len(todo)
    with meter("explaining, chunks", prepared.chunks) as shown:
        shown.update(done, "starting actors")
        for event in pool.work(ledger, lambda actor, index: actor.explain.remote(index), lambda: None):
            if event.action is Action.FINISH:
                totals.add(event.record)
                shown.update(done + totals.chunks, f"{totals.rows} rows")
            else:
                _tell(shown, done + totals.chunks, event.task, event.error)
    if ledger.given_up:
        index, error = next(iter(ledger.given_up.items()))
        raise RunStoppedError(
            f"{len(ledger.given_up)} chunks failed again and again, such as chunk {index:05d}: {error}",
            remedy="mend the cause and run the same command again; all other chunks are done and kept",
        )


def _tell(shown: Meter, done: int, task: object, error: str) -> None:
    shown.update(done, f"chunk {task} failed ({error[:60]}), trying again")


def _audit(pool: Any, store: RunStore, config: ExplainConfig, mark: str) -> None:
    """Recompute a share of the explained rows with alibi; written to RUN/aggregates/audit.parquet."""
    ledger = Ledger.of(sorted(store.commits()))
    records: list[dict[str, Any]] = []
    with meter("auditing, chunks", len(ledger.waiting)) as shown:
        for event in pool.work(ledger, lambda actor, index: actor.audit.remote(index, config.audit), lambda: None):
            if event.action is Action.FINISH:
                records += event.record
                shown.update(ledger.done, f"{len(records)} rows")
    if ledger.given_up:
        raise RunStoppedError(f"the audit failed: {next(iter(ledger.given_up.values()))}")
    records.sort(key=lambda record: (record["chunk"], record["id"]))
    metadata = {**schema.with_metadata(schema.AUDIT, fingerprint=mark).metadata, _SHARE: str(config.audit).encode()}
    store.write_aggregate("audit", pa.Table.from_pylist(records, schema=schema.AUDIT.with_metadata(metadata)))


def read_audit(store: RunStore, mark: str, share: float) -> pa.Table | None:
    """The audit of this share of this run, or None where it has not been made."""
    table = store.read_aggregate("audit")
    metadata = {} if table is None else table.schema.metadata or {}
    fits = metadata.get(schema.META_FINGERPRINT) == mark.encode() and metadata.get(_SHARE) == str(share).encode()
    return table if fits else None


def _conclude(
    store: RunStore,
    manifest: dict[str, Any],
    prepared: Prepared,
    totals: Totals,
    audits: pa.Table | None,
    wall_seconds: float,
    computed: int,
) -> RunResult:
    counts = _finish(store, manifest, "complete", prepared)
    if counts["explained"] + counts["quarantined"] != prepared.rows:
        raise RunDamagedError(
            f"{store.place} has {counts['explained']} explained and {counts['quarantined']} quarantined rows, "
            f"the data set has {prepared.rows}"
        )
    result = RunResult(
        exit_code=EXIT_QUARANTINED if counts["quarantined"] else EXIT_OK,
        state="complete",
        rows=prepared.rows,
        explained=counts["explained"],
        quarantined=counts["quarantined"],
        chunks=prepared.chunks,
        computed=computed,
        wall_seconds=wall_seconds,
        totals=totals,
        audited=0 if audits is None else audits.num_rows,
        largest_audit_difference=max(audits.column("relative_l1").to_pylist(), default=None) if audits else None,
    )
    store.write_summary({**asdict(result), "reviews_per_second": result.rate})
    return result


def _finish(store: RunStore, manifest: dict[str, Any], state: str, prepared: Prepared) -> dict[str, int]:
    commits = store.commits().values()
    counts = {
        "rows": prepared.rows,
        "explained": sum(commit.rows for commit in commits),
        "quarantined": sum(len(commit.quarantined) for commit in commits),
        "chunks": prepared.chunks,
        "chunks_done": len(commits),
    }
    store.write_manifest({**manifest, "state": state, "counts": counts})
    return counts
