"""A pool of Ray actors that works through tasks: the thin, effectful side of `dispatch`.

The driver owns retries (actors get none of Ray's own), starts on the first actor that is ready, replaces dead ones and
releases idle ones at the end. Only small records travel through it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from ig_worker.errors import IgWorkerError, RunStoppedError, UsageError
from ig_worker.models.files import ModelFiles
from ig_worker.run.config import ExplainConfig, actor_range
from ig_worker.run.dispatch import Action, Ledger, Outcome
from ig_worker.run.store import RunStore

log = logging.getLogger(__name__)

_OBJECT_STORE_BYTES = 200_000_000  # nothing but small records passes through it
_WAIT_S = 1.0
_MAX_FAILED_STARTS = 3
_ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Event:
    """What the pool tells its caller: a finished task with its record, or an attempt that failed."""

    task: Hashable
    outcome: Outcome
    action: Action
    record: Any = None
    error: str = ""


class Actor:
    """One process with one model and one engine."""

    def __init__(self, config: ExplainConfig, files: ModelFiles, fingerprint: str, place: str) -> None:
        # Nothing that can fail happens here: Ray hands on an error of a creation task as text only.
        self._config, self._files, self._fingerprint, self._place = config, files, fingerprint, place

    def ready(self) -> str:
        """Load everything; returns the name of the device it computes on."""
        from ig_worker.models import runtime
        from ig_worker.run.worker import ChunkWorker

        runtime.configure(self._config.cpus_per_actor)
        if self._config.gpus_per_actor > 0:
            runtime.require_gpu()
        self._store = RunStore(self._place)
        self._worker = ChunkWorker(self._config, self._files, self._fingerprint)
        return runtime.device_kind()

    def explain(self, index: int) -> Any:
        return self._worker.explain_chunk(self._store, index)

    def audit(self, index: int, share: float) -> Any:
        return self._worker.audit_chunk(self._store, index, share)


@contextmanager
def cluster(config: ExplainConfig) -> Iterator[tuple[int, int]]:
    """A Ray connection: the cluster of `--address` or RAY_ADDRESS, or a local one for the time of the run.

    Yields the fewest and the most actors to use there.

    Raises:
        UsageError: no cluster at that address.
    """
    local = config.address is None and "RAY_ADDRESS" not in os.environ
    options: dict[str, Any] = {"runtime_env": {"env_vars": _ENVIRONMENT}, "log_to_driver": False}
    if local:
        _, most = actor_range(config.actors, default=1)
        # More actors than cores is the user's choice to make; Ray would wait for cores that never come.
        cpus = max(os.cpu_count() or 1, most * config.cpus_per_actor)
        options |= {"num_cpus": cpus, "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address="local" if local else config.address, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster at {config.address or os.environ.get('RAY_ADDRESS', 'this machine')} ({_line(error)})",
            remedy="start one, or leave out --address and RAY_ADDRESS for a local one",
        ) from error
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():  # Ray puts its own in place, which end the driver without a word
            signal.signal(number, handler)
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        yield actor_range(config.actors, default=max(1, cores // config.cpus_per_actor))
    finally:
        ray.shutdown()


class Pool:
    """Actors for the time of a run.

    Args:
        spawn: starts one actor and returns its handle.
        low, high: fewest and most actors.
        timeout_s: an attempt that takes longer is ended with its actor; None for no limit.
    """

    def __init__(self, spawn: Callable[[], Any], low: int, high: int, timeout_s: float | None = None) -> None:
        self._spawn = spawn
        self._high = max(low, high)
        self._timeout_s = timeout_s
        self._starting: dict[Any, Any] = {}  # reference of ready() -> actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Hashable, float]] = {}  # reference -> actor, task, time of the start
        self._failed_starts = 0

    @property
    def actors(self) -> int:
        return len(self._starting) + len(self._idle) + len(self._busy)

    @property
    def ready(self) -> int:
        return len(self._idle) + len(self._busy)

    def work(self, ledger: Ledger, call: Callable[[Any, Any], Any], idle: Callable[[], None]) -> Iterator[Event]:
        """Work through the ledger's tasks; yields an event for every attempt that ended.

        Args:
            ledger: the tasks.
            call: starts a task on an actor: ``call(actor, task)`` returns Ray's reference.
            idle: called about once a second, for a progress display.
        """
        while ledger.open:
            self._adjust(len(ledger.waiting) + len(ledger.running))
            while self._idle and ledger.waiting:
                actor, task = self._idle.pop(), ledger.take()
                self._busy[call(actor, task)] = (actor, task, time.monotonic())
            pending = [*self._busy, *self._starting]
            done, _ = ray.wait(pending, num_returns=1, timeout=_WAIT_S)
            for reference in done:
                if reference in self._starting:
                    self._started(reference)
                else:
                    yield self._finished(reference, ledger)
            yield from self._overdue(ledger)
            idle()

    def close(self) -> None:
        """End all actors."""
        for actor in [*self._starting.values(), *self._idle, *(actor for actor, _, _ in self._busy.values())]:
            ray.kill(actor)
        self._starting, self._idle, self._busy = {}, [], {}

    def _adjust(self, open_tasks: int) -> None:
        """Start actors up to what the open tasks can use; release idle ones that nothing is left for."""
        wanted = min(self._high, open_tasks)
        while self.actors < wanted:
            actor = self._spawn()
            self._starting[actor.ready.remote()] = actor
        while self.actors > wanted and self._idle:
            ray.kill(self._idle.pop())

    def _started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            log.info("actor ready on %s", ray.get(reference))
        except RayTaskError as error:
            raise _own_error(error) from error
        except RayActorError as error:
            self._failed_starts += 1
            log.warning("an actor died while it started (%d of %d)", self._failed_starts, _MAX_FAILED_STARTS)
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise RunStoppedError(
                    f"{_MAX_FAILED_STARTS} actors in a row died while they started ({_line(error)})",
                    remedy="see whether the nodes have memory for the model, then run the same command again",
                ) from error
        else:
            self._failed_starts = 0
            self._idle.append(actor)

    def _finished(self, reference: Any, ledger: Ledger) -> Event:
        actor, task, _ = self._busy.pop(reference)
        record, outcome, message = None, Outcome.DONE, ""
        try:
            record = ray.get(reference)
            self._idle.append(actor)
        except RayTaskError as error:  # the worker raised; its process lives on
            self._idle.append(actor)
            outcome, message = Outcome.ERROR, str(_own_error(error))
        except (ActorUnavailableError, NodeDiedError) as error:
            outcome, message = Outcome.NODE_LOST, _line(error)
            ray.kill(actor)
        except (ActorDiedError, RayActorError, WorkerCrashedError) as error:
            outcome, message = Outcome.ACTOR_DIED, _line(error)
            if "node" in message.lower() and "died" in message.lower():
                outcome = Outcome.NODE_LOST
        return Event(task, outcome, ledger.report(task, outcome, message), record, message)

    def _overdue(self, ledger: Ledger) -> Iterator[Event]:
        if self._timeout_s is None:
            return
        now = time.monotonic()
        for reference, (actor, task, started) in list(self._busy.items()):
            if now - started > self._timeout_s:
                del self._busy[reference]
                ray.kill(actor)
                message = f"took longer than --chunk-timeout {self._timeout_s:g} s"
                yield Event(task, Outcome.TIMEOUT, ledger.report(task, Outcome.TIMEOUT, message), None, message)


def spawner(config: ExplainConfig, files: ModelFiles, fingerprint: str, place: str) -> Callable[[], Any]:
    """A function that starts one actor of a run."""
    options = {"num_cpus": config.cpus_per_actor, "num_gpus": config.gpus_per_actor}
    remote = ray.remote(max_restarts=0, max_task_retries=0, **options)(Actor)
    return lambda: remote.remote(config, files, fingerprint, place)


def _own_error(error: Exception) -> Exception:
    """The error that a worker raised, if it is one of ours; otherwise one line about it."""
    cause = getattr(error, "cause", None)
    while isinstance(cause, RayTaskError):
        cause = cause.cause
    if isinstance(cause, IgWorkerError):
        return cause
    found = error if cause is None else cause
    return RunStoppedError(f"{type(found).__name__}: {_line(found)}")


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0]
