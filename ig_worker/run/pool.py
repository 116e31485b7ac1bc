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
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayError, RayTaskError

from ig_worker.errors import IgWorkerError, RunStoppedError, UsageError
from ig_worker.models.files import ModelFiles
from ig_worker.run.config import ExplainConfig, actor_range
from ig_worker.run.dispatch import Action, Ledger, Outcome
from ig_worker.run.storage import PATIENCE_S
from ig_worker.run.store import RunStore

log = logging.getLogger(__name__)

_OBJECT_STORE_BYTES = 200_000_000  # nothing but small records passes through it
_WAIT_S = 1.0
MAX_FAILED_STARTS = 3
_START_PAUSE_S = 15.0  # after a start that failed while other actors work
_SHOWN = 400  # characters of an error
_ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Event:
    """What the pool tells its caller: a finished task with its record, or an attempt that failed."""

    task: Hashable
    outcome: Outcome
    action: Action
    node: str
    seconds: float
    record: Any = None
    error: str = ""


class Actor:
    """One process with one model and one engine."""

    def __init__(self, config: ExplainConfig, files: ModelFiles, place: str) -> None:
        # Nothing that can fail happens here: Ray hands on an error of a creation task as text only.
        self._config, self._files, self._place = config, files, place

    def ready(self) -> tuple[str, str]:
        """Load everything; returns the names of the device it computes on and of its node."""
        from ig_worker.models import runtime
        from ig_worker.run.worker import ChunkWorker

        runtime.configure(self._config.cpus_per_actor, self._config.precision)
        if self._config.gpus_per_actor:
            runtime.require_gpu()
        self._store = RunStore(self._place)
        self._store.storage.patience_s = PATIENCE_S
        self._worker = ChunkWorker(self._config, self._files)
        return runtime.device_kind(), ray.get_runtime_context().get_node_id()

    def measure_batch(self) -> int:
        from ig_worker.models import runtime

        return self._worker.measure_batch(runtime.device_kind())

    def explain(self, index: int, fingerprint: str, batch_tokens: int, guilty: tuple[int, ...] = ()) -> Any:
        return self._worker.explain_chunk(self._store, index, fingerprint, batch_tokens, guilty)

    def probe(self, index: int, start: int, stop: int, batch_tokens: int) -> None:
        self._worker.probe_rows(self._store, index, start, stop, batch_tokens)

    def audit(self, index: int, share: float) -> Any:
        return self._worker.audit_chunk(self._store, index, share)


@contextmanager
def cluster(config: ExplainConfig) -> Iterator[int]:
    """A Ray connection: the cluster of `--address` or RAY_ADDRESS, or a local one for the time of the run.

    Yields the most actors to use there.

    Raises:
        UsageError: no cluster at that address, or a local one on which no actor could ever run.
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
        resources = ray.cluster_resources()
        if local and (config.gpus_per_actor or 0) > resources.get("GPU", 0):
            raise UsageError(
                f"--gpus-per-actor is {config.gpus_per_actor:g} and Ray sees {resources.get('GPU', 0):g} GPUs here",
                remedy="set --gpus-per-actor 0, or give a cluster's --address",
            )
        yield actor_range(config.actors, default=max(1, int(resources.get("CPU", 1)) // config.cpus_per_actor))[1]
    finally:
        ray.shutdown()


class Pool:
    """Actors for the time of a run.

    Args:
        spawn: starts one actor and returns its handle.
        most: how many there may be; fewer are started where fewer tasks are left.
        timeout_s: an attempt that takes longer is ended with its actor; None learns it from the others' pace.
    """

    def __init__(self, spawn: Callable[[], Any], most: int, timeout_s: float | None = None) -> None:
        self._spawn = spawn
        self._most = most
        self._timeout_s = timeout_s
        self._starting: dict[Any, Any] = {}  # reference of ready() -> actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Hashable, float]] = {}  # reference -> actor, task, time of the start
        self._nodes: dict[Any, str] = {}  # actor -> id of its node
        self._failed_starts = 0
        self._no_start_before = 0.0
        self._proved = False  # whether any task has been done

    @property
    def actors(self) -> int:
        return len(self._starting) + self.ready

    @property
    def ready(self) -> int:
        return len(self._idle) + len(self._busy)

    def work(self, ledger: Ledger, call: Callable[[Any, Any], Any], tick: Callable[[], None]) -> Iterator[Event]:
        """Work through the ledger's tasks; yields an event for every attempt that ended.

        Args:
            ledger: the tasks.
            call: starts a task on an actor: ``call(actor, task)`` returns Ray's reference.
            tick: called about once a second.
        """
        while ledger.open:
            self._adjust(ledger)
            self._assign(ledger, call)
            waited = [*self._busy, *self._starting]
            if waited:
                done, _ = ray.wait(waited, num_returns=1, timeout=_WAIT_S)
            else:  # what waits has to wait a little longer
                done = []
                time.sleep(_WAIT_S / 4)
            for reference in done:
                if reference in self._starting:
                    self._started(reference)
                else:
                    yield self._finished(reference, ledger)
            yield from self._overdue(ledger)
            tick()
        for actor, _, _ in self._busy.values():  # second copies of what is done, and what is not worth trying any more
            ray.kill(actor)
        self._busy = {}

    def _assign(self, ledger: Ledger, call: Callable[[Any, Any], Any]) -> None:
        """Give tasks to idle actors."""
        busy = [actor for actor, _, _ in self._busy.values()]
        nodes = {self._nodes.get(actor, "") for actor in [*self._idle, *busy]}
        for actor in list(self._idle):
            now = time.monotonic()
            task = ledger.take(now, self._nodes.get(actor, ""), nodes)
            if task is not None:
                self._idle.remove(actor)
                self._busy[call(actor, task)] = (actor, task, now)

    def close(self) -> None:
        """End all actors."""
        for actor in [*self._starting.values(), *self._idle, *(actor for actor, _, _ in self._busy.values())]:
            ray.kill(actor)
        self._starting, self._idle, self._busy = {}, [], {}

    def _adjust(self, ledger: Ledger) -> None:
        """Start actors up to what the open tasks can use; release idle ones that nothing is left for.

        An actor on a node that is left out stays where it is: it keeps the place, and the next one starts elsewhere.
        """
        benched = [actor for actor in self._idle if self._nodes.get(actor, "") in ledger.sick]
        if time.monotonic() < self._no_start_before:
            return
        # For each task that runs, one idle actor may stay: to try it a second time should it turn out slow.
        wanted = min(self._most, len(ledger.waiting) + 2 * len(ledger.running))
        started = min(self._most, len(ledger.waiting) + len(ledger.running))
        while self.actors - len(benched) < started:
            actor = self._spawn()
            self._starting[actor.ready.remote()] = actor
        # Those go first on whose nodes something that waits has failed already.
        failed = ledger.failed_nodes()
        idle = [actor for actor in self._idle if actor not in benched]
        idle.sort(key=lambda actor: self._nodes.get(actor, "") in failed)
        while self.ready - len(benched) > wanted and idle:
            actor = idle.pop()
            self._idle.remove(actor)
            ray.kill(actor)

    def _started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            device, self._nodes[actor] = ray.get(reference)
        except RayError as error:
            ray.kill(actor)
            own = own_error(error)
            if own is not None and not self._proved:
                raise own from error  # such as a model that cannot be loaded: it will not get better
            self._failed_starts += 1
            log.warning("an actor could not start (%d of %d): %s", self._failed_starts, MAX_FAILED_STARTS, _line(error))
            if self.ready:  # the others work on; a new one is tried after a while
                self._no_start_before = time.monotonic() + _START_PAUSE_S
            elif self._failed_starts >= MAX_FAILED_STARTS:
                raise RunStoppedError(
                    f"{MAX_FAILED_STARTS} actors in a row could not start ({_line(error)})",
                    remedy="see whether the nodes have memory for the model, then run the same command again",
                ) from error
        else:
            log.info("an actor is ready on %s", device)
            self._failed_starts = 0
            self._idle.append(actor)

    def _finished(self, reference: Any, ledger: Ledger) -> Event:
        actor, task, started = self._busy.pop(reference)
        try:
            record = ray.get(reference)
        except RayError as error:
            outcome = outcome_of(error, self._nodes.get(actor, ""))
            if outcome is Outcome.ERROR:  # the worker raised; its process lives on
                self._idle.append(actor)
            else:
                ray.kill(actor)
            return self._report(ledger, actor, task, started, outcome, str(own_error(error) or _line(error)))
        self._proved = True
        self._idle.append(actor)
        return self._report(ledger, actor, task, started, Outcome.DONE, "", record)

    def _overdue(self, ledger: Ledger) -> Iterator[Event]:
        limit = self._timeout_s or ledger.limit
        now = time.monotonic()
        late = [reference for reference, (_, _, started) in self._busy.items() if now - started > limit]
        if not late:
            return
        # The driver itself may have been away for a while: what is done by now is not late.
        done, _ = ray.wait(late, num_returns=len(late), timeout=0)
        for reference in late:
            if reference not in done:
                actor, task, started = self._busy[reference]
                del self._busy[reference]
                ray.kill(actor)
                yield self._report(ledger, actor, task, started, Outcome.TIMEOUT, f"took longer than {limit:.4g} s")

    def _report(
        self,
        ledger: Ledger,
        actor: Any,
        task: Hashable,
        started: float,
        outcome: Outcome,
        error: str,
        record: Any = None,
    ) -> Event:
        now, node = time.monotonic(), self._nodes.get(actor, "")
        sick = set(ledger.sick)
        action = ledger.report(task, outcome, now, node, error)
        if outcome is not Outcome.DONE:
            log.warning("chunk %s: %s (%s), %s", task, outcome.value, error, action.value)
        if ledger.sick - sick:
            log.warning("node %s is left out: it failed several chunks while others work", node)
        return Event(task, outcome, action, node, now - started, record, error)


def spawner(config: ExplainConfig, files: ModelFiles, place: str) -> Callable[[], Any]:
    """A function that starts one actor of a run."""
    options = {"num_cpus": config.cpus_per_actor, "num_gpus": config.gpus_per_actor or 0}
    remote = ray.remote(max_restarts=0, max_task_retries=0, **options)(Actor)
    return lambda: remote.remote(config, files, place)


def outcome_of(error: RayError, node: str) -> Outcome:
    """How an attempt ended that Ray reports as `error`, on the node with the id `node`."""
    if isinstance(error, RayTaskError):
        return Outcome.ERROR
    if isinstance(error, ActorUnavailableError | NodeDiedError):
        return Outcome.NODE_LOST
    if isinstance(error, RayActorError) and ("node has died" in str(error) or not _alive(node)):
        return Outcome.NODE_LOST
    return Outcome.ACTOR_DIED


def _alive(node: str) -> bool:
    return any(entry["NodeID"] == node and entry["Alive"] for entry in ray.nodes())


def own_error(error: RayError) -> IgWorkerError | None:
    """The error of ours that a worker raised; None where it is another's."""
    cause = getattr(error, "cause", None)
    while isinstance(cause, RayTaskError):
        cause = cause.cause
    return cause if isinstance(cause, IgWorkerError) else None


def _line(error: BaseException) -> str:
    """What an error says, as one line of bearable length."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        error = error.cause
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_SHOWN]
    return " ".join(str(error).split())[:_SHOWN] or type(error).__name__
