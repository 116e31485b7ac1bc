"""One process that applies a function to chunks: what a Ray actor does for `apply`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from ig_worker.errors import RunDamagedError
from ig_worker.run.storage import PATIENCE_S
from ig_worker.run.store import RunStore


class Applier:
    """One process that applies a function to chunks of a run; it needs no model."""

    def __init__(self, place: str, function: Callable[..., Any], more: tuple[Any, ...]) -> None:
        self._place, self._function, self._more = place, function, more

    def ready(self) -> tuple[str, str]:
        self._store = RunStore(self._place)
        self._store.storage.patience_s = PATIENCE_S
        return "cpu", ray.get_runtime_context().get_node_id()

    def apply(self, task: Any) -> Any:
        try:
            return self._function(self._store, task, *self._more)
        except RunDamagedError as error:  # which no second try mends
            return error


def applier(place: str, function: Callable[..., Any], more: tuple[Any, ...]) -> Callable[[], Any]:
    """A function that starts one `Applier`."""
    remote = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1)(Applier)
    return lambda: remote.remote(place, function, more)
