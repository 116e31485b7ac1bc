"""The real driver loop on actors that only sleep: how fast it gives out chunks, and what that costs it.

The actors need no CPU, so that many fit on one machine, and nothing of theirs is measured but their idle time. What
gives out the chunks is `explain._explain` itself: pool, ledger, attempts, progress, lease and budget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import ray

from ig_worker.models.files import ModelFiles
from ig_worker.run.chunk.records import Binding, ChunkRecord
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.executor import ON_RAY
from ig_worker.run.dispatch.pool import Pool
from ig_worker.run.identity import run_identity
from ig_worker.run.steps import explain
from ig_worker.run.steps.explain_state import ActiveRun
from ig_worker.run.steps.prepare import Prepared
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from tests.benchmarks.process import peak_memory

SEATS = 64  # stand-ins in one process, where there are more of them than this machine has room for processes
_ROWS = 256  # of a chunk, as `--chunk-rows` has it by default


class _Sleeper:
    """Processes that answer like `explain_actor.Actor`; `batch_tokens` says for how many milliseconds a chunk takes."""

    def ready(self) -> tuple[str, str]:
        return "stand-in", str(ray.get_runtime_context().get_node_id())

    async def explain(self, index: int, binding: Binding, guilty: tuple[int, ...] = (), *_: Any) -> Any:
        if binding.batch_tokens:
            await asyncio.sleep(binding.batch_tokens / 1e3)
        return ChunkRecord(index, _ROWS, _ROWS, 0, _ROWS, _ROWS, 9.5 * _ROWS, _ROWS, 1.0, 1.0, 1 << 30)


class _Seat:
    """One of several stand-ins in a process; the driver sees actors that differ."""

    def __init__(self, handle: Any) -> None:
        self.ready, self.explain = handle.ready, handle.explain


class Driver:
    """A driver's process with a Ray of its own; to be made in a `process.Child`."""

    def __init__(self, threads: int, processes: int) -> None:
        ray.init(
            address="local", num_cpus=threads, include_dashboard=False, log_to_driver=False, object_store_memory=10**8
        )
        remote = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0, max_concurrency=SEATS)(_Sleeper)
        self._handles = [remote.remote() for _ in range(processes)]
        ray.get([handle.ready.remote() for handle in self._handles])

    def run(self, actors: int, chunks: int, seconds: float) -> dict[str, float]:
        """Let so many actors work through so many chunks.

        Args:
            actors: above the number of processes, up to `SEATS` of them share one.
            chunks: in the run.
            seconds: that each chunk takes.

        Returns:
            Seconds from the first dispatch to the last result, CPU seconds and peak memory (bytes) of this process,
            and how busy the actors were: the ideal time over the real one.
        """
        seats = (_Seat(self._handles[i % len(self._handles)]) for i in range(actors))
        with (
            TemporaryDirectory() as place,
            _run(place, chunks, round(seconds * 1e3)) as run,
            mock.patch.object(ray, "kill"),  # what one run releases, the next one takes
        ):
            begun, before = time.monotonic(), time.process_time()
            explain._explain(run, Pool(lambda: next(seats), actors), ON_RAY)
            wall, cpu = time.monotonic() - begun, time.process_time() - before
            run.bind(run.batch_tokens)
            manifest = len(run.store.storage.read("run.json") or b"")
        assert run.totals.chunks == chunks
        ideal = -(-chunks // actors) * seconds
        return {
            "actors": actors,
            "chunks": chunks,
            "seconds": seconds,
            "wall_s": wall,
            "cpu_s": cpu,
            "chunks_per_s": chunks / wall,
            "efficiency": ideal / wall,
            "peak_memory": peak_memory(),
            "manifest_bytes": manifest,
        }

    def close(self) -> None:
        ray.shutdown()


@contextmanager
def _run(place: str, chunks: int, milliseconds: int) -> Iterator[ActiveRun]:
    """A run as the driver has it once it is prepared and bound, all of it still to do."""
    store = RunStore(place)
    config = ExplainConfig(chunk_rows=_ROWS)
    prepared = Prepared("stand-in", "data", chunks * _ROWS, chunks, 0)
    identity = run_identity(config, "data", "weights", "tokenizer") | {"batch_tokens": milliseconds}
    files = ModelFiles.__new__(ModelFiles)  # nothing asks for the model
    with Lease(Storage(place)).held() as lease:
        yield ActiveRun(store, config, files, prepared, identity, {}, list(range(chunks)), lease, Deadline(None))
