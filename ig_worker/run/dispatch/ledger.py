"""What to do next with the chunks of a run: decisions only, without Ray and without a clock. The pool carries them out.

A seat is where a process runs: a node, or a GPU of one. What has failed somewhere is tried elsewhere next. A seat
whose processes end for three chunks in a row while others work is left out, and what happened there is not believed.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from ig_worker.run.dispatch.policy import (
    FATAL,
    KNOWN,
    MAX_LOST,
    MAX_STRIKES,
    STRIKES,
    UNKNOWN_LIMIT_S,
    Action,
    History,
    Outcome,
    delay,
    next_action,
    pace_limit,
)
from ig_worker.run.dispatch.row_search import Control, Part, Probe, Search

MAX_HOPELESS = 3  # chunks given up in a row: then the fault is not theirs
SICK = 3  # different chunks that a seat fails, one after the other
SLOW = 2.0  # times the median: worth a second copy on an actor that has nothing else to do
LEAST_SLOW_S = 10.0  # below, there is little to gain
_REMEMBERED = 200  # durations


@dataclass(frozen=True)
class _Copy:
    """A running attempt."""

    seat: str
    started: float


class Ledger:
    """Which tasks wait, run, are done or were given up. Times are seconds by any one clock.

    Args:
        tasks: anything hashable, such as the numbers of chunks.
        rows: number of rows of a task; without it no row is ever looked for.
        alike: whether tasks take about equally long, so that those which do not can be told.
    """

    def __init__(
        self, tasks: Iterable[Hashable], rows: Callable[[Any], int] | None = None, *, alike: bool = True
    ) -> None:
        self.waiting: OrderedDict[Hashable, None] = OrderedDict.fromkeys(tasks)  # in order; taken out anywhere at once
        self._tasks = len(self.waiting)
        self.running: dict[Hashable, list[_Copy]] = {}
        self.history: dict[Hashable, History] = {}
        self.given_up: dict[Hashable, str] = {}
        self.guilty: dict[Hashable, tuple[int, ...]] = {}  # rows of a chunk that end their process
        self.done = 0
        self.given_up_in_a_row = 0
        self.sick: set[str] = set()  # seats
        self._rows = rows
        self._alike = alike
        self._ready: dict[Hashable, float] = {}  # not to be tried before
        self._searches: dict[Hashable, Search] = {}
        self._verdicts: dict[Hashable, set[str]] = {}  # on which seats' word rows of a chunk are guilty
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._able: set[str] = set()  # seats that have done something since a process last ended there
        self._failing: dict[str, set[Hashable]] = {}  # tasks that ended their process on a seat since then
        self._better: dict[str, bool] = {}  # whether another seat has done something since the first of them
        self._over: set[Hashable] = set()  # done or given up while a second copy is still running
        self._parts: set[Part] = set()  # of what is running

    @property
    def open(self) -> bool:
        """Whether anything is left to do, and worth trying."""
        unfinished = self.waiting or any(task not in self._over for task in self.running)
        return bool(unfinished) and self.given_up_in_a_row < MAX_HOPELESS

    @property
    def unfinished(self) -> int:
        """Number of chunks that are neither done nor given up."""
        return self._tasks - self.done - len(self.given_up)

    @property
    def limit(self) -> float:
        """Seconds that an attempt may take, as learned so far."""
        learned = pace_limit(self._seconds) if self._alike else None
        return UNKNOWN_LIMIT_S if learned is None else learned

    def take(self, now: float, seat: str = "", seats: Collection[str] = ()) -> Hashable | None:
        """The next task for an actor, now running; None where there is none for it.

        Args:
            now: the time.
            seat: of the actor.
            seats: of all actors. A task is not tried where it failed while there is one where it did not.
        """
        if seat in self.sick and any(other not in self.sick for other in seats):
            return None
        task = self._next(now, seat, seats)
        if task is None and not self.waiting:
            task = self._straggler(now, seat)
        if task is not None:
            self.running.setdefault(task, []).append(_Copy(seat, now))
            if isinstance(task, Part):
                self._parts.add(task)
        return task

    def _next(self, now: float, seat: str, seats: Collection[str]) -> Hashable | None:
        """Of what waits, the first that this seat may try now; in front of rows perhaps the known-good text."""
        for task in self.waiting:
            if self._ready.get(task, now) > now:
                continue
            failed = self._seats_of(task)
            if seat in failed and any(other not in failed and other not in self.sick for other in seats):
                continue
            if isinstance(task, Probe) and seat not in self._able:
                control = Control(task.chunk, seat)
                if any(isinstance(other, Control) and other.seat == seat for other in self.running):
                    continue
                return control
            del self.waiting[task]
            self._ready.pop(task, None)
            return task
        return None

    def _straggler(self, now: float, seat: str) -> Hashable | None:
        """A chunk that runs for long, and only once: an actor with nothing else to do may try it, too."""
        if len(self._seconds) < KNOWN or not self._alike:
            return None
        slow = max(LEAST_SLOW_S, SLOW * statistics.median(self._seconds))
        late = [
            (now - copies[0].started, task)
            for task, copies in self.running.items()
            if now - copies[0].started > slow and len(copies) == 1 and self._worth_a_copy(task, seat)
        ]
        return max(late, key=lambda pair: pair[0])[1] if late else None

    def _worth_a_copy(self, task: Hashable, seat: str) -> bool:
        known = task in self._over or task in self._searches or isinstance(task, Part)
        return not known and seat not in self._seats_of(task)

    def failed_seats(self) -> set[str]:
        """Seats on which something that waits has failed."""
        return {seat for task in self.history for seat in self._seats_of(task) if task not in self.running}

    def _seats_of(self, task: Hashable) -> set[str]:
        return self.history[task].seats if task in self.history else set()

    def report(self, task: Hashable, outcome: Outcome, now: float = 0.0, seat: str = "", error: str = "") -> Action:
        """Enter how an attempt ended; returns what was decided."""
        seconds = self._leave(task, now, seat)
        self._learn(task, outcome, seat)
        if task in self._over:
            if task not in self.running:
                self._over.discard(task)
            return Action.IGNORE
        history = self.history.setdefault(task, History())
        if outcome in STRIKES and seat not in self.sick:
            history.strikes.append((outcome, seat))
        # What fails on a seat that is left out counts as lost: it has a limit all the same.
        history.lost += outcome is Outcome.NODE_LOST or (outcome in STRIKES and seat in self.sick)
        history.last_error = error or outcome.value
        if isinstance(task, Part):
            return self._tried(task, outcome, history, now, seat)
        if task in self._searches and outcome is not Outcome.DONE:  # the second copy; its rows are being looked at
            return Action.IGNORE
        action = next_action(outcome, history)
        if action is Action.BISECT and self._rows is None:
            action = Action.GIVE_UP
        if action is Action.FINISH:
            self._seconds.append(seconds)
            self.done += 1
            self.given_up_in_a_row = 0
            self._end(task)
        elif action is Action.RETRY:
            self._again(task, history, now)
        elif action is Action.BISECT:
            self._search(task)
        else:
            self._give_up(task, history.last_error)
        return action

    def _give_up(self, task: Hashable, error: str) -> None:
        self.given_up[task] = error
        self.given_up_in_a_row += 1
        self._end(task)

    def _end(self, task: Hashable) -> None:
        """Keep nothing of what is over."""
        self.history.pop(task, None)
        self._verdicts.pop(task, None)
        if task in self.running:
            self._over.add(task)
        if self._searches.pop(task, None) is not None:
            for part in [other for other in self.history if _part_of(other, task)]:
                self.history.pop(part)
            for part in [other for other in self.waiting if _part_of(other, task)]:  # no search, no parts
                del self.waiting[part]
        self.waiting.pop(task, None)
        self._over.update(part for part in self._parts if part.chunk == task)

    def _leave(self, task: Hashable, now: float, seat: str) -> float:
        """Take one copy of a task off the running ones; returns its seconds."""
        copies = self.running.get(task, [])
        mine = next((copy for copy in copies if copy.seat == seat), copies[0] if copies else _Copy(seat, now))
        if mine in copies:
            copies.remove(mine)
        if not copies:
            self.running.pop(task, None)
            self._parts.discard(task)
        return now - mine.started

    def _learn(self, task: Hashable, outcome: Outcome, seat: str) -> None:
        """What an attempt says of its seat. What a worker can tell, such as of a storage, says nothing."""
        if outcome is Outcome.DONE:
            self._able.add(seat)
            self._failing.pop(seat, None)
            self._better.update(dict.fromkeys(self._failing, True))
        elif outcome in FATAL and seat not in self.sick:
            self._able.discard(seat)
            if seat not in self._failing:
                self._failing[seat], self._better[seat] = set(), False
            failing = self._failing[seat]
            if isinstance(task, Control):  # speaks for itself, every time
                failing.add((task, len(failing)))
            else:
                failing.add(task.chunk if isinstance(task, Probe) else task)
            if seat and len(failing) >= SICK and self._better[seat]:
                self._exclude(seat)

    def _exclude(self, seat: str) -> None:
        """Leave a seat out, and forget what it said of chunks and of rows."""
        self.sick.add(seat)
        for history in self.history.values():
            history.strikes = [strike for strike in history.strikes if strike[1] != seat]
        for search in self._searches.values():
            self._put_first(reversed(search.take_back(seat)))
        for task, seats in list(self._verdicts.items()):
            if seat in seats and task not in self.running:
                del self._verdicts[task], self.guilty[task]
                self.history[task].searched = False

    def _again(self, task: Hashable, history: History, now: float) -> None:
        if task in self.running or task in self.waiting:  # its other copy may still make it
            return
        self._ready[task] = now + delay(history)
        self.waiting[task] = None

    def _put_first(self, tasks: Iterable[Hashable]) -> None:
        for task in reversed([*tasks]):
            self.waiting[task] = None
            self.waiting.move_to_end(task, last=False)

    def _search(self, task: Hashable) -> None:
        assert self._rows is not None
        search = self._searches[task] = Search(Probe(task, 0, self._rows(task)))
        self._put_first(search.begin)

    def _tried(self, part: Part, outcome: Outcome, history: History, now: float, seat: str) -> Action:
        """Enter how the attempt at some rows, or at the known-good text, ended."""
        search = self._searches.get(part.chunk)
        if search is None:  # it ended while this seat was still being tried
            del self.history[part]
            return Action.IGNORE
        counted = seat not in self.sick and outcome is not Outcome.NODE_LOST
        if isinstance(part, Control):
            del self.history[part]
            search.setbacks += outcome is not Outcome.DONE
            action = Action.FINISH if outcome is Outcome.DONE else Action.RETRY
        elif outcome is Outcome.DONE:
            search.survived(part)
            action = Action.FINISH
        elif outcome in FATAL and counted:
            self._put_first(search.died(part, seat))
            action = Action.BISECT
        else:  # a worker that raises has found nothing: what it can say of a row, it quarantines by itself
            self._again(part, history, now)
            action = Action.RETRY
        failures = sum(kind is Outcome.ERROR for kind, _ in history.strikes)
        if search.hopeless or failures >= MAX_STRIKES or history.lost >= MAX_LOST:
            self._give_up(part.chunk, f"{history.last_error}, while looking for the row to blame")
            return Action.GIVE_UP
        if part not in search.open:
            self.history.pop(part, None)
        if not search.open:
            self._searched(part.chunk, search)
        return action

    def _searched(self, task: Hashable, search: Search) -> None:
        """Try the chunk again, without the guilty rows."""
        del self._searches[task]
        history = self.history[task]
        history.searched = True
        history.strikes = history.strikes[:1] if search.guilty else history.strikes[: MAX_STRIKES - 1]
        if search.guilty:
            self.guilty[task] = search.guilty
            self._verdicts[task] = search.seats
        self._put_first([task])


def _part_of(task: Hashable, chunk: Hashable) -> bool:
    return isinstance(task, Part) and task.chunk == chunk
