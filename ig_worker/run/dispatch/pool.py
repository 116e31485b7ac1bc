"""A pool of Ray actors that works through tasks: the thin, effectful side of `ledger`.

The driver owns retries (actors get none of Ray's own), starts on the first actor that is ready, replaces dead ones and
releases idle ones at the end. Only small records travel through it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayError, RayTaskError

from ig_worker.errors import IgWorkerError, RunStoppedError
from ig_worker.run.dispatch.attempt_log import about_task, task_name
from ig_worker.run.dispatch.executor import Event, Order, hinted
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Outcome

log = logging.getLogger(__name__)

_WAIT_S = 1.0
_LOOK_S = 0.25  # so often it is looked for what is late: with a thousand actors not whenever a chunk ends
MAX_FAILED_STARTS = 3
_START_PAUSE_S = 15.0  # after a start that failed while other actors work
START_LIMIT_S = 900.0  # an actor that is not ready by then is started anew: it may hang, or its node never came
WAIT_LIMIT_S = 2700.0  # with no actor at all: then the cluster has no room for one
_SHOWN = 400  # characters of an error


class Pool:
    """Actors for the time of a run.

    Args:
        spawn: starts one actor and returns its handle.
        most: how many there may be; fewer are started where fewer tasks are left.
        least: with fewer for `WAIT_LIMIT_S`, where there is work for so many, the run stops; it starts on the first.
        timeout_s: an attempt that takes longer is ended with its actor; None learns it from the others' pace.
    """

    def __init__(self, spawn: Callable[[], Any], most: int, timeout_s: float | None = None, least: int = 1) -> None:
        self._spawn = spawn
        self._most, self._least = most, least
        self._timeout_s = timeout_s
        self._starting: dict[Any, tuple[Any, float]] = {}  # reference of ready() -> actor, time of the start
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Hashable, float]] = {}  # reference -> actor, task, time of the start
        self._seats: dict[Any, str] = {}  # of the actors
        self._failed_starts = 0
        self._no_start_before = 0.0
        self._last_enough = time.monotonic()  # when there were last as many actors as there have to be
        self._proved = False  # whether any task has been done
        self._looked = self._shared = 0.0  # when it was last looked for what is late, and for work

    @property
    def actors(self) -> int:
        return len(self._starting) + self.ready

    @property
    def ready(self) -> int:
        return len(self._idle) + len(self._busy)

    def share(self, value: Any) -> Any:
        """`value` in Ray's object store, as an argument of many orders."""
        return ray.put(value)

    def work(self, ledger: Ledger, order: Callable[[Any], Order], tick: Callable[[], None]) -> Iterator[Event]:
        """Work through the ledger's tasks; yields an event for every attempt that ended.

        Args:
            ledger: the tasks.
            order: the method of an actor that does a task, and its arguments.
            tick: called about once a second.
        """
        while ledger.open:
            self._adjust(ledger)
            self._assign(ledger, order)
            waited = [*self._busy, *self._starting]
            if waited:
                done, _ = ray.wait(waited, num_returns=1, timeout=_WAIT_S)
                if done and len(waited) > 1:  # and whatever else has ended: each call costs time for each reference
                    done, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
            else:  # what waits has to wait a little longer
                done = []
                time.sleep(_WAIT_S / 4)
            for reference in done:
                if reference in self._starting:
                    self._started(reference)
                else:
                    event = self._finished(reference, ledger)
                    if ledger.open:  # before the caller looks at the event: the actor need not wait for that
                        self._assign(ledger, order)
                    yield event
            yield from self._late(ledger)
            tick()
        for actor, _, _ in self._busy.values():  # second copies of what is done, and what is not worth trying any more
            self._end(actor)
        self._busy = {}

    def _end(self, actor: Any, ledger: Ledger | None = None) -> None:
        """End an actor, for whom a ledger that goes on keeps nothing back."""
        ray.kill(actor)
        self._seats.pop(actor, None)
        if ledger is not None:
            ledger.release(actor)

    def _assign(self, ledger: Ledger, order: Callable[[Any], Order]) -> None:
        """Give tasks to idle actors."""
        if not self._idle or (not ledger.waiting and time.monotonic() - self._shared < _LOOK_S):
            return
        self._shared = time.monotonic()
        seats = set(self._seats.values())
        left = []
        for actor in self._idle:
            now, seat = time.monotonic(), self._seats.get(actor, "")
            task = ledger.take(now, seat, seats, actor)
            if task is None:
                left.append(actor)
            else:
                method, *arguments = hinted(order(task), ledger.ahead(task, now, seat, seats, actor))
                self._busy[getattr(actor, method).remote(*arguments)] = (actor, task, now)
        self._idle = left

    def close(self) -> None:
        """End all actors."""
        others = [entry[0] for entry in [*self._starting.values(), *self._busy.values()]]
        for actor in [*others, *self._idle]:
            self._end(actor)
        self._starting, self._idle, self._busy = {}, [], {}

    def _adjust(self, ledger: Ledger) -> None:
        """Start actors up to what the open tasks can use; release idle ones that nothing is left for.

        An actor in a seat that is left out stays there: it keeps it occupied, and the next one starts elsewhere.
        """
        benched = [actor for actor in self._idle if self._seats.get(actor, "") in ledger.sick] if ledger.sick else []
        if time.monotonic() < self._no_start_before:
            return
        # For each task that runs, one idle actor may stay: to try it a second time should it turn out slow.
        wanted = min(self._most, len(ledger.waiting) + 2 * len(ledger.running))
        started = min(self._most, len(ledger.waiting) + len(ledger.running))
        while self.actors - len(benched) < started:
            actor = self._spawn()
            self._starting[actor.ready.remote()] = (actor, time.monotonic())
        if self.ready - len(benched) <= wanted:
            return
        # Those go first on whose seats something that waits has failed already.
        failed = ledger.failed_seats()
        idle = [actor for actor in self._idle if actor not in benched]
        idle.sort(key=lambda actor: self._seats.get(actor, "") in failed)
        while self.ready - len(benched) > wanted and idle:
            actor = idle.pop()
            self._idle.remove(actor)
            self._end(actor, ledger)

    def _started(self, reference: Any) -> None:
        actor, _ = self._starting.pop(reference)
        try:
            device, self._seats[actor] = ray.get(reference)
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

    def _end_late_starts(self, ledger: Ledger) -> None:
        """Start anew what is not ready after `START_LIMIT_S`.

        Raises:
            RunStoppedError: fewer actors than there have to be were there for `WAIT_LIMIT_S`.
        """
        now = time.monotonic()
        least = min(self._least, len(ledger.waiting) + len(ledger.running))
        if self.ready >= least or not self._starting:
            self._last_enough = now
        if now - self._last_enough > WAIT_LIMIT_S:
            found = f"only {self.ready} of at least {least} actors were" if self.ready else "no actor was"
            raise RunStoppedError(
                f"{found} ready within {WAIT_LIMIT_S / 60:.0f} minutes",
                remedy="see that the cluster has nodes with what --cpus-per-actor and --gpus-per-actor ask for",
            )
        for reference, (actor, since) in list(self._starting.items()):
            if now - since > START_LIMIT_S:
                del self._starting[reference]
                ray.kill(actor)
                log.warning("an actor was not ready within %.0f s; another is started", START_LIMIT_S)

    def _finished(self, reference: Any, ledger: Ledger) -> Event:
        actor, task, started = self._busy.pop(reference)
        seat = self._seats.get(actor, "")
        try:
            record = ray.get(reference)
        except RayError as error:
            outcome = outcome_of(error, seat)
            if outcome is Outcome.ERROR:  # the worker raised; its process lives on
                self._idle.append(actor)
            else:
                self._end(actor, ledger)
            return self._report(ledger, seat, task, started, outcome, str(own_error(error) or _line(error)))
        self._proved = True
        self._idle.append(actor)
        return self._report(ledger, seat, task, started, Outcome.DONE, "", record)

    def _late(self, ledger: Ledger) -> Iterator[Event]:
        """End what takes too long, now and then."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            yield from self._overdue(ledger, now)
            self._end_late_starts(ledger)

    def _overdue(self, ledger: Ledger, now: float) -> Iterator[Event]:
        limit = self._timeout_s or ledger.limit
        late = [reference for reference, (_, _, started) in self._busy.items() if now - started > limit]
        if not late:
            return
        # The driver itself may have been away for a while: what is done by now is not late.
        done, _ = ray.wait(late, num_returns=len(late), timeout=0)
        for reference in late:
            if reference not in done:
                actor, task, started = self._busy.pop(reference)
                seat = self._seats.get(actor, "")
                self._end(actor, ledger)
                yield self._report(ledger, seat, task, started, Outcome.TIMEOUT, f"took longer than {limit:.4g} s")

    def _report(
        self,
        ledger: Ledger,
        seat: str,
        task: Hashable,
        started: float,
        outcome: Outcome,
        error: str,
        record: Any = None,
    ) -> Event:
        now, sick = time.monotonic(), len(ledger.sick)
        action = ledger.report(task, outcome, now, seat, error)
        if outcome is not Outcome.DONE:
            log.warning("%s: %s (%s), %s", task_name(task), outcome.value, error, action.value, extra=about_task(task))
        if len(ledger.sick) > sick:
            log.warning("node %s is left out: it failed several chunks while others work", seat)
        return Event(task, outcome, action, seat, now - started, record, error)


def outcome_of(error: RayError, seat: str) -> Outcome:
    """How an attempt ended that Ray reports as `error`, on a node or on a GPU of it."""
    if isinstance(error, RayTaskError):
        return Outcome.ERROR
    if isinstance(error, ActorUnavailableError | NodeDiedError):
        return Outcome.NODE_LOST
    if isinstance(error, RayActorError) and ("node has died" in str(error) or not _alive(seat.partition(":")[0])):
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
