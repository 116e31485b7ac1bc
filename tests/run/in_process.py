"""Whole runs in this process, without Ray: by the real worker, or by a stand-in that needs no network."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from ig_worker.data.faults import RowFault
from ig_worker.models.files import ModelFiles
from ig_worker.run.chunk.records import Binding, ChunkRecord
from ig_worker.run.chunk.tables import quarantine_table
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.dispatch.explain_actor import Actor
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.steps.result import RunResult
from ig_worker.run.store.run_store import RunStore
from tests.run.made_runs import explained


class Here(Actor):
    """The real actor. TensorFlow is at work in this process already, and its threads are set."""

    def load(self) -> str:
        self._store = RunStore(self._place)
        self._worker = self.worker()
        return "cpu"

    def worker(self) -> Any:
        from ig_worker.run.chunk.worker import ChunkWorker

        return ChunkWorker(self._config, self._files)

    def measure_batch(self, rows: int) -> int:
        return 2048


class Shared(Here):
    """With a worker that all runs of the same settings share."""

    def worker(self) -> Any:
        return shared_worker(self._config, self._files)


class StandIn(Here):
    """Commits what an actor would, without any network."""

    def worker(self) -> None:
        pass

    def explain(self, index: int, binding: Binding, guilty: tuple[int, ...] = (), *_: Any) -> ChunkRecord:
        return commit(self._store, index, binding.fingerprint, guilty)


def commit(store: RunStore, index: int, fingerprint: str, guilty: tuple[int, ...] = ()) -> ChunkRecord:
    """Commit a chunk with made-up attributions."""
    table, faults = store.chunks.read(index)
    faults = dict.fromkeys(guilty, RowFault("ends_process", "")) | faults
    ids = [id for i, id in enumerate(table.column("id").to_pylist()) if i not in faults]
    store.results.commit(index, explained(*ids), quarantine_table(index, table, faults), fingerprint)
    return ChunkRecord(index, table.num_rows, len(ids), len(faults), 1, 1, 51.0, len(ids), 1.0, 1.0, 1)


def explain_here(place: Path, config: ExplainConfig, kind: type = Here, **more: Any) -> RunResult:
    """Explain into the run at `place`."""
    return explain_run(str(place), config, executor=InProcess(kind), **more)


def interrupted(method: str, after: int) -> type[Shared]:
    """An actor that is interrupted instead of doing what `method` does once more than `after` times."""
    calls: list[str] = []

    class Interrupted(Shared):
        pass

    def stop(self: Any, *arguments: Any) -> Any:
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(method)
        return getattr(Shared, method)(self, *arguments)

    setattr(Interrupted, method, stop)
    return Interrupted


explain_run_here = partial(explain_run, executor=InProcess(Shared))  # what jobs and nights call, in their tests


def shared_worker(config: ExplainConfig, files: ModelFiles) -> Any:
    """A worker that all runs of the same settings share in this process: loading a network and tracing take seconds."""
    which = {"dataset": "", "model": "", "chunk_rows": 1, "batch_tokens": 0}
    where = {"actors": "1", "address": None, "gpus_per_actor": 0.0, "deadline": None, "chunk_timeout": None}
    return _worker(replace(config, **which, **where), files)


@cache
def _worker(config: ExplainConfig, files: ModelFiles) -> Any:
    from ig_worker.run.chunk.worker import ChunkWorker

    return ChunkWorker(config, files)
