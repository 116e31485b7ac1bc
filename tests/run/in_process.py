"""Whole runs in this process: the real worker, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ig_worker.models.files import ModelFiles
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps import explain
from ig_worker.run.steps.audit import write_audit
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.steps.explain_state import Run
from ig_worker.run.steps.result import RunResult


def work(run: Run, worker_of: Callable[..., Any] | None = None) -> None:
    """Explain and audit what is to do; stands in for `explain._run_pool`."""
    from ig_worker.run.chunk.worker import ChunkWorker

    run.bind(run.batch_tokens or 2048)
    worker = (worker_of or ChunkWorker)(replace(run.config, gpus_per_actor=0.0), run.files)
    for index in run.todo:
        run.check()
        run.totals.add(worker.explain_chunk(run.store, index, run.mark, run.batch_tokens))
    if run.audit_due:
        audited = (worker.audit_chunk(run.store, index, run.config.audit) for index in run.store.committed())
        write_audit(run.store, run.mark, run.config.audit, [record for records in audited for record in records])


def explain_here(place: Path, config: ExplainConfig, worker_of: Callable[..., Any] | None = None) -> RunResult:
    """Explain into the run at `place`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain, "_run_pool", lambda run: work(run, worker_of))
        return explain_run(str(place), config)


def shared_worker(config: ExplainConfig, files: ModelFiles) -> Any:
    """A worker that all runs of the same settings share in this process: loading a network and tracing take seconds."""
    which = {"dataset": "", "model": "", "chunk_rows": 1, "batch_tokens": 0}
    where = {"actors": "1", "address": None, "gpus_per_actor": 0.0, "deadline": None, "chunk_timeout": None}
    return _worker(replace(config, **which, **where), files)


@cache
def _worker(config: ExplainConfig, files: ModelFiles) -> Any:
    from ig_worker.run.chunk.worker import ChunkWorker

    return ChunkWorker(config, files)
