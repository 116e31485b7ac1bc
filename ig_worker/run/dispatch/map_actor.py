"""One process that applies functions to chunks: what a Ray actor does for `map_chunks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from ig_worker.errors import RunDamagedError
from ig_worker.run.dispatch.cluster import actor_options
from ig_worker.run.store.filesystem import PATIENCE_S
from ig_worker.run.store.run_store import RunStore


class Applier:
    """One process that applies functions to chunks of a run; it needs no model."""

    def __init__(self, place: str) -> None:
        self._place = place

    def ready(self) -> tuple[str, str]:
        self._store = RunStore(self._place)
        self._store.storage.patience_s = PATIENCE_S
        return "cpu", ray.get_runtime_context().get_node_id()

    def apply(self, function: Callable[..., Any], task: Any, *more: Any) -> Any:
        try:
            return function(self._store, task, *more)
        except RunDamagedError as error:  # which no second try mends
            return error


def applier(place: str) -> Callable[[], Any]:
    """A function that starts one `Applier`."""
    remote = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1, **actor_options())(Applier)
    return lambda: remote.remote(place)
