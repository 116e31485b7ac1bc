"""One process of a run: what a Ray actor does, all of it in `worker`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from ig_worker.models.files import ModelFiles
from ig_worker.run.config import EvaluateConfig, ExplainConfig
from ig_worker.run.storage import PATIENCE_S
from ig_worker.run.store import RunStore


class Actor:
    """One process with one model and one engine."""

    def __init__(self, config: ExplainConfig, files: ModelFiles, place: str) -> None:
        # Nothing that can fail happens here: Ray hands on an error of a creation task as text only.
        self._config, self._files, self._place = config, files, place

    def ready(self) -> tuple[str, str]:
        """Load everything; returns the name of the device it computes on, and its place: the node and the GPU."""
        from ig_worker.models import runtime
        from ig_worker.run.worker import ChunkWorker

        runtime.configure(self._config.cpus_per_actor, self._config.precision)
        if self._config.gpus_per_actor:
            runtime.require_gpu()
        self._store = RunStore(self._place)
        self._store.storage.patience_s = PATIENCE_S
        self._worker = ChunkWorker(self._config, self._files)
        gpus = ray.get_gpu_ids()
        place = ray.get_runtime_context().get_node_id() + (f":gpu{','.join(map(str, gpus))}" if gpus else "")
        return runtime.device_kind(), place

    def measure_batch(self) -> int:
        from ig_worker.models import runtime

        return self._worker.measure_batch(runtime.device_kind())

    def explain(self, index: int, fingerprint: str, batch_tokens: int, guilty: tuple[int, ...] = ()) -> Any:
        return self._worker.explain_chunk(self._store, index, fingerprint, batch_tokens, guilty)

    def probe(self, index: int, start: int, stop: int, batch_tokens: int) -> None:
        self._worker.probe_rows(self._store, index, start, stop, batch_tokens)

    def try_known_good(self, batch_tokens: int) -> None:
        self._worker.try_known_good(batch_tokens)

    def audit(self, index: int, share: float) -> Any:
        return self._worker.audit_chunk(self._store, index, share)

    def evaluate(self, index: int, config: EvaluateConfig) -> Any:
        return self._worker.evaluator(config).evaluate_chunk(self._store, index)


def spawner(config: ExplainConfig, files: ModelFiles, place: str) -> Callable[[], Any]:
    """A function that starts one actor of a run."""
    options = {"num_cpus": config.cpus_per_actor, "num_gpus": config.gpus_per_actor or 0}
    remote = ray.remote(max_restarts=0, max_task_retries=0, **options)(Actor)
    return lambda: remote.remote(config, files, place)
