"""What to do next with the chunks of a run: decisions only, without Ray and without a clock. The pool carries them out.

What has failed on one seat is tried on another next. What follows an attempt is in `policy`, what is known of seats in
`seats`, the search for the rows that end their process in `row_search`, and who is told of a task ahead in `hints`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from ig_worker.run.dispatch.hints import Hints
from ig_worker.run.dispatch.policy import (
    MAX_LOST,
    MAX_STRIKES,
    SEARCH_ENDS,
    STRIKES,
    TRANSITIONS,
    Action,
    History,
    Outcome,
    Pace,
    State,
    delay,
    next_action,
)
from ig_worker.run.dispatch.row_search import Control, Part, Probe, Searches, after_part
from ig_worker.run.dispatch.seats import Seats

MAX_HOPELESS = 3  # chunks given up in a row: then the fault is not theirs
_AT_ONCE = float("-inf")


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
        hints: whether workers are told what they will probably be given next; see `ahead`.
    """

    def __init__(
        self,
        tasks: Iterable[Hashable],
        rows: Callable[[Any], int] | None = None,
        *,
        alike: bool = True,
        hints: bool = False,
    ) -> None:
        # In order, each with the time before which it is not tried; taken out anywhere at once.
        self.waiting: OrderedDict[Hashable, float] = OrderedDict.fromkeys(tasks, _AT_ONCE)
        self.running: dict[Hashable, list[_Copy]] = {}
        self.history: dict[Hashable, History] = {}
        self.given_up: dict[Hashable, str] = {}
        self.given_up_in_a_row = 0
        self.done = 0
        self._tasks = len(self.waiting)
        self._states: dict[Hashable, State] = {}  # of tasks that are searched, or over while a copy runs; else open
        self._parts: set[Part] = set()  # of what is running
        self._searches = Searches(rows)
        self._seats = Seats()
        self._pace = Pace(alike=alike)
        self._hinting = hints
        self._hints = Hints()

    @property
    def open(self) -> bool:
        """Whether anything is left to do, and worth trying."""
        unfinished = self.waiting or any(self._state(task) is not State.OVER for task in self.running)
        return bool(unfinished) and self.given_up_in_a_row < MAX_HOPELESS

    @property
    def unfinished(self) -> int:
        """Number of chunks that are neither done nor given up."""
        return self._tasks - self.done - len(self.given_up)

    @property
    def limit(self) -> float:
        """Seconds that an attempt may take, as learned so far."""
        return self._pace.limit

    @property
    def guilty(self) -> dict[Hashable, tuple[int, ...]]:
        """Rows of a chunk that end their process."""
        return self._searches.guilty

    @property
    def sick(self) -> set[str]:
        """Seats that are left out."""
        return self._seats.sick

    def failed_seats(self) -> set[str]:
        """Seats on which something that waits has failed."""
        return {seat for task in self.history for seat in self._seats_of(task) if task not in self.running}

    def _seats_of(self, task: Hashable) -> set[str]:
        return self.history[task].seats if task in self.history else set()

    def _state(self, task: Hashable) -> State:
        return self._states.get(task, State.OPEN)

    def take(self, now: float, seat: str = "", seats: Collection[str] = (), worker: Hashable = None) -> Hashable | None:
        """The next task for an actor, now running; None where there is none for it.

        Args:
            now: the time.
            seat: of the actor.
            seats: of all actors. A task is not tried where it failed while there is one where it did not.
            worker: the actor. It gets what it was told of, and what others were told of only where there is no more.
        """
        if self._seats.left_out(seat, seats):
            return None
        task = self._next(now, seat, seats, self._hints.of(worker))
        if task is None and not self.waiting:
            task = self._straggler(now, seat)
        if task is not None:
            self.running.setdefault(task, []).append(_Copy(seat, now))
            if isinstance(task, Part):
                self._parts.add(task)
        return task

    def _next(self, now: float, seat: str, seats: Collection[str], hinted: Hashable | None) -> Hashable | None:
        """What was hinted, or the first that this seat may try now; in front of rows perhaps the known-good text."""
        task = self._first(now, seat, seats) if hinted is None else hinted
        if isinstance(task, Probe) and not self._seats.able(seat):
            return Control(task.chunk, seat)
        if task is not None:
            del self.waiting[task]
            self._hints.drop(task)
        return task

    def _first(self, now: float, seat: str, seats: Collection[str]) -> Hashable | None:
        """Of what waits, the first that this seat may try now; one that another worker was told of only for want."""
        spare = None
        for task, not_before in self.waiting.items():
            if not_before > now:
                continue
            failed = self._seats_of(task)
            if seat in failed and self._seats.elsewhere(seats, failed):
                continue
            if isinstance(task, Probe) and not self._seats.able(seat) and self._tried_out(seat):
                continue
            if task not in self._hints:
                return task
            spare = task if spare is None else spare
            if len(self._hints) == len(self.waiting):  # there is no other
                break
        return spare

    def _tried_out(self, seat: str) -> bool:
        """Whether the known-good text runs on a seat."""
        return any(isinstance(task, Control) and task.seat == seat for task in self.running)

    def ahead(
        self, task: Hashable, now: float, seat: str = "", seats: Collection[str] = (), worker: Hashable = None
    ) -> Hashable | None:
        """The task that a worker will probably be given after `task`, which it has just taken; None if that is open.

        A task that is made ready beside another one could end the process, and the other one would be blamed. So what
        has failed before is tried by itself, as are rows that are looked for.
        """
        if not self._hinting or task in self.history or isinstance(task, Part) or len(self._hints) == len(self.waiting):
            return None
        following = self._first(now, seat, seats)
        if following is None or following in self.history or isinstance(following, Part) or following in self._hints:
            return None
        self._hints.give(worker, following)
        self.waiting.move_to_end(following)  # so that nobody has to look past it
        return following

    def release(self, worker: Hashable) -> None:
        """A worker is gone: what it was told of is anybody's, and may be what ended it."""
        task = self._hints.release(worker)
        if task is not None:
            self.history.setdefault(task, History())

    def _straggler(self, now: float, seat: str) -> Hashable | None:
        """A chunk that runs for long, and only once: an actor with nothing else to do may try it, too."""
        slow = self._pace.slow
        late = [
            (now - copies[0].started, task)
            for task, copies in self.running.items()
            if now - copies[0].started > slow and len(copies) == 1 and self._worth_a_copy(task, seat)
        ]
        return max(late, key=lambda pair: pair[0])[1] if late else None

    def _worth_a_copy(self, task: Hashable, seat: str) -> bool:
        open_chunk = self._state(task) is State.OPEN and not isinstance(task, Part)
        return open_chunk and seat not in self._seats_of(task)

    def report(self, task: Hashable, outcome: Outcome, now: float = 0.0, seat: str = "", error: str = "") -> Action:
        """Enter how an attempt ended; returns what was decided."""
        seconds = self._leave(task, now, seat)
        if self._seats.learn(task, outcome, seat):
            self._disbelieve(seat)
        state = self._state(task)
        if state is State.OVER:
            if task not in self.running:
                del self._states[task]
            return Action.IGNORE
        history = self._enter(task, outcome, seat, error)
        if isinstance(task, Part):
            return self._tried(task, outcome, history, now, seat)
        action = next_action(outcome, history)
        if action is Action.BISECT and not self._searches.possible:
            action = Action.GIVE_UP
        if action not in TRANSITIONS[state]:
            return Action.IGNORE
        if action is Action.FINISH:
            self._pace.add(seconds)
        self._carry_out(task, action, now)
        self._move(task, TRANSITIONS[state][action])
        return action

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

    def _enter(self, task: Hashable, outcome: Outcome, seat: str, error: str) -> History:
        history = self.history.setdefault(task, History())
        if outcome in STRIKES and seat not in self.sick:
            history.strikes.append((outcome, seat))
        # What fails on a seat that is left out counts as lost: it has a limit all the same.
        history.lost += outcome is Outcome.NODE_LOST or (outcome in STRIKES and seat in self.sick)
        history.last_error = error or outcome.value
        return history

    def _carry_out(self, task: Hashable, action: Action, now: float) -> None:
        """Do what an action says to a task."""
        if action is Action.FINISH:
            self.done += 1
            self.given_up_in_a_row = 0
        elif action is Action.RETRY:
            self._again(task, self.history[task], now)
        elif action is Action.BISECT:
            self._put_first(self._searches.begin(task).begin)
        else:
            self.given_up[task] = self.history[task].last_error
            self.given_up_in_a_row += 1

    def _move(self, task: Hashable, state: State) -> None:
        """Take a task to a state."""
        if state is State.OPEN:
            self._states.pop(task, None)
            return
        self._states[task] = state
        if state is State.OVER:
            self._forget(task)

    def _forget(self, task: Hashable) -> None:
        """Keep nothing of what is over, but that its copies and its parts which still run are of no interest."""
        if task not in self.running:
            del self._states[task]
        self.history.pop(task, None)
        self.waiting.pop(task, None)
        if self._searches.drop(task):  # no search, no parts
            for part in [other for other in self.history if _is_part(other, task)]:
                del self.history[part]
            for part in [other for other in self.waiting if _is_part(other, task)]:
                del self.waiting[part]
        self._states.update((part, State.OVER) for part in self._parts if part.chunk == task)

    def _disbelieve(self, seat: str) -> None:
        """Forget what a seat that is sick said of chunks and of rows."""
        for history in self.history.values():
            history.strikes = [strike for strike in history.strikes if strike[1] != seat]
        for probes in self._searches.take_back(seat):
            self._put_first(reversed(probes))
        for task in self._searches.acquit(seat, self.running):
            self.history[task].searched = False

    def _again(self, task: Hashable, history: History, now: float) -> None:
        if task not in self.running and task not in self.waiting:  # else its other copy may still make it
            self.waiting[task] = now + delay(history)

    def _put_first(self, tasks: Iterable[Hashable]) -> None:
        for task in reversed([*tasks]):
            self.waiting.setdefault(task, _AT_ONCE)
            self.waiting.move_to_end(task, last=False)

    def _tried(self, part: Part, outcome: Outcome, history: History, now: float, seat: str) -> Action:
        """Enter how the attempt at some rows, or at the known-good text, ended."""
        search = self._searches.of(part.chunk)
        if search is None:  # it ended while this seat was still being tried
            del self.history[part]
            return Action.IGNORE
        action = after_part(part, outcome, believed=seat not in self.sick)
        if isinstance(part, Control):
            search.setbacks += outcome is not Outcome.DONE
        elif action is Action.FINISH:
            search.survived(part)
        elif action is Action.BISECT:
            self._put_first(search.died(part, seat))
        else:
            self._again(part, history, now)
        if part not in search.open:
            self.history.pop(part, None)
        failures = sum(kind is Outcome.ERROR for kind, _ in history.strikes)
        if search.hopeless or failures >= MAX_STRIKES or history.lost >= MAX_LOST:
            action = Action.GIVE_UP
            self.history[part.chunk].last_error = f"{history.last_error}, while looking for the row to blame"
            self._carry_out(part.chunk, action, now)
            self._move(part.chunk, SEARCH_ENDS[action])
        elif not search.open:
            self._sifted(part.chunk)
        return action

    def _sifted(self, task: Hashable) -> None:
        """All rows have been tried: try the chunk again, without the guilty ones."""
        guilty = self._searches.conclude(task)
        history = self.history[task]
        history.searched = True
        history.strikes = history.strikes[:1] if guilty else history.strikes[: MAX_STRIKES - 1]
        self._put_first([task])
        self._move(task, SEARCH_ENDS[Action.RETRY])


def _is_part(task: Hashable, chunk: Hashable) -> bool:
    return isinstance(task, Part) and task.chunk == chunk
