"""How a run ends, well or otherwise: what is checked, and what is written into run.json and summary.json."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace

import pyarrow as pa

from ig_worker.errors import (
    EXIT_DAMAGED,
    EXIT_OK,
    EXIT_QUARANTINED,
    EXIT_STOPPED,
    IgWorkerError,
    RunStoppedError,
    StorageError,
)
from ig_worker.explain.precision import FLOAT32, concrete
from ig_worker.run.deadline import AGAIN, Overdue
from ig_worker.run.steps.audit import read_audit, worst_beyond
from ig_worker.run.steps.explain_state import ActiveRun
from ig_worker.run.steps.preflight import check_commits, missing_chunks
from ig_worker.run.steps.prepare import COMPLETE
from ig_worker.run.steps.promise import promise
from ig_worker.run.steps.result import RunResult
from ig_worker.run.store.results import Commit

log = logging.getLogger(__name__)

_LAST_PATIENCE_S = 3.0  # of a run that is about to end, and has been told to soon


def conclude(run: ActiveRun) -> RunResult:
    """Check that every chunk is there, and write the end of the run into run.json and summary.json.

    Raises:
        RunStoppedError: results are gone, or another driver has taken the run over.
        RunDamagedError: a result is not of this run.
    """
    run.lease.confirm()
    commits = run.store.results.commits()
    check_commits(run.store, commits, run.fingerprint, run.prepared, run.config.chunk_rows)
    missing = missing_chunks(run.prepared.chunks, commits)
    if missing:
        raise RunStoppedError(
            f"{len(missing)} results are gone since they were written, such as that of chunk {missing[0]:05d}",
            remedy="see that nothing else changes the run, then run the same command again",
        )
    audits = read_audit(run.store, run.fingerprint, run.config.audit) if run.config.audit > 0 else None
    result = _result(run, commits, audits)
    counts = {
        **run.counts,
        "explained": result.explained,
        "quarantined": result.quarantined,
        "chunks_done": len(commits),
    }
    beyond = result.audit_beyond
    audited = {} if audits is None else {"audit": {"rows": audits.num_rows, "beyond": beyond and asdict(beyond)}}
    run.store.manifest.write({**run.manifest, "state": COMPLETE, "counts": counts, **audited})
    reason = result.fault or (f"{result.quarantined} rows are quarantined" if result.quarantined else "")
    last = run.store.summary.read()
    # A start that found everything done says nothing of the speed.
    rate = result.rate if result.computed else last.get("reviews_per_second", 0.0)
    run.store.summary.write({**asdict(result), "reason": reason, "reviews_per_second": rate})
    return result


def _result(run: ActiveRun, commits: Mapping[int, Commit], audits: pa.Table | None) -> RunResult:
    quarantined = sum(len(commit.quarantined) for commit in commits.values())
    beyond = (
        None
        if audits is None
        else worst_beyond(audits, replace(run.config, precision=concrete(run.identity.get("precision", FLOAT32))))
    )
    fault = beyond.line(run.store.storage.describe("aggregates/audit.parquet")) if beyond else ""
    return RunResult(
        exit_code=EXIT_DAMAGED if fault else EXIT_QUARANTINED if quarantined else EXIT_OK,
        state=COMPLETE,
        rows=run.prepared.rows,
        explained=sum(commit.rows for commit in commits.values()),
        quarantined=quarantined,
        chunks=run.prepared.chunks,
        computed=len(run.todo),
        wall_seconds=time.monotonic() - run.started,
        totals=run.totals,
        audited=None if audits is None else audits.num_rows,
        largest_audit_difference=_largest(audits, "relative_l1"),
        largest_refined_difference=_largest(audits, "refined_relative_l1"),
        audit_beyond=beyond,
        fault=fault,
        promise=promise(run.manifest),
        suspicious=run.manifest.get("suspicious", []),
    )


def _largest(audits: pa.Table | None, column: str) -> float | None:
    values = [] if audits is None else audits.column(column).drop_null().to_pylist()
    return max(values, default=None)


@contextmanager
def ends_recorded(run: ActiveRun) -> Iterator[None]:
    """Write down why the run stopped, should it; never in the way of the error itself.

    Raises:
        RunStoppedError: instead of an interruption, and instead of a storage that fails once there are results.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as why:  # Ray's own handler of signals, while it starts, raises the latter
        stopped = RunStoppedError(f"interrupted; {run.progress}", remedy=AGAIN)
        if isinstance(why, Overdue):
            stopped = run.deadline.error(run.progress)
        _record_stop(run, stopped)
        raise stopped from None
    except StorageError as error:
        if not run.counts["chunks_done"]:  # then nothing was started
            _record_stop(run, error)
            raise
        again = "run the same command again; what is done is kept"
        stopped = RunStoppedError(error.what, expected=error.expected, remedy=f"{error.remedy}; {again}")
        _record_stop(run, stopped)
        raise stopped from error
    except Exception as error:
        _record_stop(run, error)
        raise


def _record_stop(run: ActiveRun, error: Exception) -> None:
    if run.recorded:
        return
    run.recorded = True
    code = error.exit_code if isinstance(error, IgWorkerError) else EXIT_STOPPED
    run.store.storage.patience_s = _LAST_PATIENCE_S
    try:
        run.lease.confirm()
        counts = run.counts
        run.store.manifest.write({**run.manifest, "state": "stopped", "counts": counts})
        run.store.summary.write({**counts, "state": "stopped", "exit_code": code, "reason": str(error)})
    except IgWorkerError as second:
        if not run.lease.lost:  # the files are the other driver's now
            log.info("the end of the run could not be recorded: %s", second)  # the error itself says as much
