"""Who does the work of a run: Ray's actors, or this process. A step is given one of them, and works the same with both.

Each of a crew is an object of one class (`ActorSpec`). It loads what it needs once. Then it is asked for one task after
the other, each time by the name of a method and its arguments (`Order`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from ig_worker.run.chunk.records import ChunkRecord
from ig_worker.run.config import ActorSettings
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Action, Outcome

Order = tuple[Any, ...]  # the name of a method, and its arguments


def hinted(order: Order, ahead: Hashable | None) -> Order:
    """An order that says, as its last argument, for which task the next one will probably be; see `Ledger.ahead`."""
    return order if ahead is None else (*order, ahead)


@dataclass(frozen=True)
class ActorSpec:
    """What each of a crew is.

    Args:
        kind: its class. `ready` loads on Ray and returns the device and the seat; `load` does so in this process.
        arguments: of the class; they travel to the actors.
        settings: how many there are, where, and what each has.
    """

    kind: type
    arguments: tuple[Any, ...]
    settings: ActorSettings


@dataclass(frozen=True)
class Event:
    """What a crew tells: a finished task with its record, or an attempt that failed."""

    task: Hashable
    outcome: Outcome
    action: Action
    seat: str
    seconds: float
    record: Any = None
    error: str = ""


class Crew(Protocol):
    """Those who work through tasks."""

    @property
    def actors(self) -> int:
        """How many there are, with those that start."""

    @property
    def ready(self) -> int:
        """How many can work."""

    def work(self, ledger: Ledger, order: Callable[[Any], Order], tick: Callable[[], None]) -> Iterator[Event]:
        """Work through the ledger's tasks; yields an event for every attempt that ended.

        Args:
            ledger: the tasks.
            order: what is asked for to do a task. It is `hinted` where the ledger hints.
            tick: called now and then.
        """

    def share(self, value: Any) -> Any:
        """`value` as an argument of many orders: what is large travels once."""


class StepMetrics(Protocol):
    """Is told of one step of a run while it works; see `metrics.RunMetrics`."""

    def attempt(self, event: Event) -> None: ...

    def explained(self, record: ChunkRecord) -> None: ...

    def state(self, ledger: Ledger, crew: Crew) -> None: ...


class Executor(Protocol):
    """Who does it."""

    def crew(self, spec: ActorSpec, deadline: Deadline) -> AbstractContextManager[Crew]:
        """A crew, for the time of the context.

        Raises:
            UsageError: there can be none, such as on a cluster that is not there.
            RunStoppedError: the deadline has passed.
        """

    def metrics(self, place: str, step: str) -> AbstractContextManager[StepMetrics]:
        """Who is told of a step (explain, audit or evaluate) of the run at `place`, while there is a crew."""


class OnRay:
    """Ray's actors, on this machine or on a cluster: what fails is tried again, elsewhere where there is room."""

    @contextmanager
    def crew(self, spec: ActorSpec, deadline: Deadline) -> Iterator[Crew]:
        from ig_worker.run.dispatch.cluster import cluster, spawner  # Ray takes a second to import
        from ig_worker.run.dispatch.pool import Pool

        with cluster(spec.settings, deadline) as (least, most):
            pool = Pool(spawner(spec), most, spec.settings.chunk_timeout, least)
            try:
                yield pool
            finally:
                pool.close()

    def metrics(self, place: str, step: str) -> AbstractContextManager[StepMetrics]:
        from ig_worker.run.dispatch.metrics import step_metrics

        return step_metrics(place, step)


ON_RAY = OnRay()


class InProcess:
    """This process, one task after the other. What fails is not tried again: its error is the caller's.

    Args:
        kind: a class to use in place of the one in `ActorSpec`, with the same arguments and methods.
    """

    def __init__(self, kind: type | None = None) -> None:
        self._kind = kind

    @contextmanager
    def crew(self, spec: ActorSpec, deadline: Deadline) -> Iterator[Crew]:
        worker = (self._kind or spec.kind)(*spec.arguments)
        worker.load()
        yield _Alone(worker)

    def metrics(self, place: str, step: str) -> AbstractContextManager[StepMetrics]:
        return nullcontext(_Untold())


IN_PROCESS = InProcess()


class _Alone:
    """A crew of one: this process."""

    actors = ready = 1

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def work(self, ledger: Ledger, order: Callable[[Any], Order], tick: Callable[[], None]) -> Iterator[Event]:
        while ledger.open:
            tick()
            started = time.monotonic()
            task = ledger.take(started, worker=self)
            ahead = ledger.ahead(task, started, worker=self)
            method, *arguments = hinted(order(task), ahead)
            record = getattr(self._worker, method)(*arguments)
            now = time.monotonic()
            yield Event(task, Outcome.DONE, ledger.report(task, Outcome.DONE, now), "", now - started, record)

    def share(self, value: Any) -> Any:
        return value


class _Untold:
    """Nobody is told: Ray carries the metrics."""

    def attempt(self, event: Event) -> None:
        pass

    def explained(self, record: ChunkRecord) -> None:
        pass

    def state(self, ledger: Ledger, crew: Crew) -> None:
        pass
