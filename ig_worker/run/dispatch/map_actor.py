"""One process that applies functions to chunks: who does the work of `map_chunks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ig_worker.errors import RunDamagedError
from ig_worker.run.store.filesystem import RUN_PATIENCE_S
from ig_worker.run.store.run_store import RunStore


class MapActor:
    """One process that applies functions to chunks of the run at `place`; it needs no model."""

    def __init__(self, place: str) -> None:
        self._place = place

    def ready(self) -> tuple[str, str]:
        """Open the run, on Ray, with patience for its storage; returns the device and the seat."""
        from ig_worker.run.dispatch.cluster import own_seat

        device = self.load()
        self._store.storage.patience_s = RUN_PATIENCE_S
        return device, own_seat()

    def load(self) -> str:
        """Open the run; returns the device."""
        self._store = RunStore(self._place)
        return "cpu"

    def apply(self, function: Callable[..., Any], task: Any, *more: Any) -> Any:
        """``function(store, task, *more)``, or the RunDamagedError that it raised."""
        try:
            return function(self._store, task, *more)
        except RunDamagedError as error:  # which no second try mends
            return error
