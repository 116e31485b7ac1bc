"""One process of a run, which explains, audits and evaluates chunks: all of that in `chunk.worker`."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import AbstractContextManager
from typing import Any

from ig_worker.errors import UsageError
from ig_worker.models.files import ModelFiles, on_this_machine
from ig_worker.run import logs
from ig_worker.run.chunk.audit import audit_chunk
from ig_worker.run.chunk.evaluator import FaithfulnessRecord
from ig_worker.run.chunk.pilot import PilotRecord
from ig_worker.run.chunk.recompute import differences, true_errors
from ig_worker.run.chunk.records import Binding, ChunkRecord
from ig_worker.run.config import ActorSettings, ExplainConfig
from ig_worker.run.dispatch.executor import ActorSpec
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.store.filesystem import RUN_PATIENCE_S, Storage
from ig_worker.run.store.lease import holder
from ig_worker.run.store.run_store import RunStore

log = logging.getLogger(__name__)

SHARED_WITHIN_S = 10.0  # a network file system may show a new file some seconds late


def actors_of_run(config: ExplainConfig, settings: ActorSettings, files: ModelFiles, place: str) -> ActorSpec:
    """What works on the chunks of the run at `place`, whose lease this process holds."""
    return ActorSpec(Actor, (config, settings, files, place, holder(Storage(place))), settings)


class Actor:
    """One process with one model and one engine.

    Args:
        config: of the run.
        settings: what the process has.
        files: of the model, as the driver found them.
        place: of the run, a path or URI.
        driver: who holds the lease of the run; None: whoever does.
    """

    def __init__(
        self, config: ExplainConfig, settings: ActorSettings, files: ModelFiles, place: str, driver: str | None
    ) -> None:
        # Nothing that can fail happens here: Ray hands on an error of a creation task as text only.
        self._config, self._settings, self._files = config, settings, files
        self._place, self._driver = place, driver

    def ready(self) -> tuple[str, str]:
        """Load everything, on Ray; returns the name of the device it computes on, and its seat."""
        from ig_worker.run.dispatch.cluster import own_seat

        logs.configure_like_the_driver()
        return self.load(), own_seat()

    def load(self) -> str:
        """Load everything; returns the name of the device it computes on.

        Raises:
            UsageError: this node sees another RUN than the driver, or has no GPU.
            ModelError: the model is not here, or is not the driver's.
        """
        self._store = RunStore(self._place)
        require_shared(self._store.storage, self._driver)
        files = on_this_machine(self._files)
        from ig_worker.models import runtime  # TensorFlow: seconds, which what is not shared need not cost
        from ig_worker.run.chunk.worker import ChunkWorker

        runtime.configure(self._settings.cpus_per_actor)
        if self._settings.gpus_per_actor:
            runtime.require_gpu()
        self._store.storage.patience_s = RUN_PATIENCE_S
        self._worker = ChunkWorker(self._config, files)
        return runtime.device_kind()

    def measure_batch(self, rows: int) -> int:
        """Tokens in one batch of evaluations that suit this process's device, for a run of so many rows."""
        from ig_worker.models import runtime

        return self._worker.measure_batch(runtime.device_kind(), rows)

    def pilot(self, count: int, binding: Binding, rows_each: int = 0) -> PilotRecord:
        """Explain and write the rows of the pilot; returns what the others go by. See `ChunkWorker.explain_pilot`."""
        with logs.about(run=logs.run_name(self._place)):
            return self._worker.explain_pilot(self._store, count, binding, rows_each)

    def explain(
        self, index: int, binding: Binding, guilty: tuple[int, ...] = (), ahead: int | None = None
    ) -> ChunkRecord:
        """Explain a chunk and commit it, without the rows that are found to end their process; read the next one."""
        with self._about(index):
            record = self._worker.explain_chunk(self._store, index, binding, guilty, ahead)
            log.info(
                "explained %d rows, %d quarantined, in %.1f s", record.explained, record.quarantined, record.seconds
            )
            return record

    def probe(self, index: int, start: int, stop: int, binding: Binding) -> None:
        """Explain rows of a chunk and forget the result: what counts is that this process survives."""
        with self._about(index):
            self._worker.probe_rows(self._store, index, start, stop, binding)

    def try_known_good(self, binding: Binding) -> None:
        """Explain a text that every healthy device can explain."""
        self._worker.try_known_good(binding)

    def audit(self, index: int, share: float) -> Any:
        """Records of `schema.AUDIT`, of a share of a chunk's rows."""
        with self._about(index):
            return audit_chunk(self._worker, self._store, index, share)

    def measure_faithfulness(self, index: int, config: EvaluateConfig) -> FaithfulnessRecord:
        """Write the curves of a share of a chunk's rows."""
        with self._about(index):
            return self._worker.faithfulness(config).measure_chunk(self._store, index)

    def recompute(self, index: int, binding: Binding) -> list[float]:
        """How far each row of a chunk is from what is stored, relative L1, when it is explained again."""
        with self._about(index):
            return differences(self._worker, self._store, index, binding)

    def true_errors(self, index: int, apart: frozenset[str]) -> list[tuple[float, float]]:
        """(true error, error estimate) of each row of a chunk but some; see `recompute.true_errors`."""
        with self._about(index):
            return true_errors(self._worker, self._store, index, apart)

    def _about(self, index: int) -> AbstractContextManager[None]:
        return logs.about(run=logs.run_name(self._place), chunk=index)


def require_shared(storage: Storage, driver: str | None) -> None:
    """Raise UsageError where this node sees another RUN than the driver: its lease is not there."""
    end = time.monotonic() + SHARED_WITHIN_S
    while driver is not None and holder(storage) != driver:
        if time.monotonic() > end:
            raise UsageError(
                f"--run {storage} on node {socket.gethostname()} is not the run of this driver",
                expected="a place that all nodes share",
                remedy="put it on a network file system that each node mounts there, or on an object store (s3://…)",
            )
        time.sleep(0.5)
