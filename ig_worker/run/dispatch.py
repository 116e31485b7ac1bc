"""What to do next with the chunks of a run: decisions only, without Ray and without a clock. The pool carries them out.

Faults are told apart by whose they are. A lost node is nobody's strike; three strikes and a chunk is given up. Where
what failed was the process, and the number of rows is known, the row to blame is first looked for by halving. A node
whose processes die for three chunks in a row while others work is left out, and what happened on it is not believed.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ig_worker.run.search import Probe, Search, probes

MAX_STRIKES = 3
MAX_HOPELESS = 3  # chunks given up in a row: then the fault is not theirs
MAX_LOST = 10  # attempts lost to their node; no fault of the chunk, but not for ever
SICK = 3  # different chunks that a node fails, one after the other
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
PACE = 10.0  # a chunk may take so many times the median
LEAST_LIMIT_S = 300.0  # programs are traced and compiled on an actor's first chunk
SLOW = 2.0  # times the median: worth a second copy on an actor that has nothing else to do
LEAST_SLOW_S = 10.0  # below, there is little to gain
KNOWN = 3  # chunks from which the pace is known
UNKNOWN_LIMIT_S = 4 * 3600.0  # where it is not
_REMEMBERED = 200  # durations


class Outcome(Enum):
    """How an attempt ended."""

    DONE = "done"
    ERROR = "error"  # the worker raised
    ACTOR_DIED = "actor died"  # its process ended while its node lives
    TIMEOUT = "timeout"  # it took too long and was killed
    NODE_LOST = "node lost"  # its node went, or could not be reached


STRIKES = frozenset({Outcome.ERROR, Outcome.ACTOR_DIED, Outcome.TIMEOUT})
FATAL = frozenset({Outcome.ACTOR_DIED, Outcome.TIMEOUT})  # what a row can do to its process and no worker can tell


class Action(Enum):
    """What follows an attempt."""

    FINISH = "finish"
    RETRY = "retry"
    BISECT = "look for the row"
    GIVE_UP = "give up"
    IGNORE = "ignore"  # of a second copy, whose task has ended otherwise


@dataclass
class History:
    """What has happened to one task so far."""

    strikes: list[tuple[Outcome, str]] = field(default_factory=list)  # each with its node
    lost: int = 0
    searched: bool = False  # its rows have been probed
    last_error: str = ""

    @property
    def nodes(self) -> set[str]:
        """On which it failed."""
        return {node for _, node in self.strikes}


def next_action(outcome: Outcome, history: History) -> Action:
    """What to do with a chunk after an attempt that is already counted in `history`."""
    if outcome is Outcome.DONE:
        return Action.FINISH
    if history.lost >= MAX_LOST:
        return Action.GIVE_UP
    if len(history.strikes) < MAX_STRIKES:
        return Action.RETRY
    fatal = any(kind in FATAL for kind, _ in history.strikes)
    return Action.BISECT if fatal and not history.searched else Action.GIVE_UP


def delay(history: History) -> float:
    """Seconds before the next try: 1, 2, 4 and so on up to half a minute."""
    tries = len(history.strikes) + history.lost
    return min(FIRST_DELAY_S * 2.0 ** max(0, tries - 1), LONGEST_DELAY_S)


def pace_limit(seconds: Sequence[float]) -> float | None:
    """How long a chunk may take, learned from how long others took; None while that is not known."""
    if len(seconds) < KNOWN:
        return None
    return max(LEAST_LIMIT_S, PACE * statistics.median(seconds))


@dataclass(frozen=True)
class _Copy:
    """A running attempt."""

    node: str
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
        self.waiting: deque[Hashable] = deque(tasks)
        self.running: dict[Hashable, list[_Copy]] = {}
        self.history: dict[Hashable, History] = {}
        self.given_up: dict[Hashable, str] = {}
        self.guilty: dict[Hashable, tuple[int, ...]] = {}  # rows of a chunk that end their process
        self.done = 0
        self.given_up_in_a_row = 0
        self.sick: set[str] = set()  # nodes
        self._rows = rows
        self._alike = alike
        self._ready: dict[Hashable, float] = {}  # not to be tried before
        self._searches: dict[Hashable, Search] = {}
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)
        self._failing: dict[str, set[Hashable]] = {}  # chunks that ended their process on a node since it last did one
        self._better: dict[str, bool] = {}  # whether another node has done a chunk since the first of them
        self._over: set[Hashable] = set()  # done or given up while a second copy is still running

    @property
    def open(self) -> bool:
        """Whether anything is left to do, and worth trying."""
        unfinished = self.waiting or any(task not in self._over for task in self.running)
        return bool(unfinished) and self.given_up_in_a_row < MAX_HOPELESS

    @property
    def limit(self) -> float:
        """Seconds that an attempt may take, as learned so far."""
        learned = pace_limit(self._seconds) if self._alike else None
        return UNKNOWN_LIMIT_S if learned is None else learned

    def take(self, now: float, node: str = "", nodes: Collection[str] = ()) -> Hashable | None:
        """The next task for an actor, now running; None where there is none for it.

        Args:
            now: the time.
            node: of the actor.
            nodes: of all actors. A task is not tried where it failed while there is one where it did not.
        """
        if node in self.sick and any(other not in self.sick for other in nodes):
            return None
        for task in self.waiting:
            failed = self._nodes_of(task)
            elsewhere = node in failed and any(other not in failed | self.sick for other in nodes)
            if self._ready.get(task, now) <= now and not elsewhere:
                self.waiting.remove(task)
                self._ready.pop(task, None)
                break
        else:
            task = None if self.waiting else self._straggler(now, node)
        if task is not None:
            self.running.setdefault(task, []).append(_Copy(node, now))
        return task

    def _straggler(self, now: float, node: str) -> Hashable | None:
        """A chunk that runs for long, and only once: an actor with nothing else to do may try it, too."""
        if len(self._seconds) < KNOWN or not self._alike:
            return None
        slow = max(LEAST_SLOW_S, SLOW * statistics.median(self._seconds))
        late = [
            (now - copies[0].started, task)
            for task, copies in self.running.items()
            if len(copies) == 1
            and task not in self._over
            and not isinstance(task, Probe)
            and task not in self._searches
        ]
        late = [(elapsed, task) for elapsed, task in late if elapsed > slow and node not in self._nodes_of(task)]
        return max(late, key=lambda pair: pair[0])[1] if late else None

    def failed_nodes(self) -> set[str]:
        """Nodes on which something that waits has failed."""
        return {node for task in self.history for node in self._nodes_of(task) if task not in self.running}

    def _nodes_of(self, task: Hashable) -> set[str]:
        return self.history.get(task, History()).nodes

    def report(self, task: Hashable, outcome: Outcome, now: float = 0.0, node: str = "", error: str = "") -> Action:
        """Enter how an attempt ended; returns what was decided."""
        seconds = self._leave(task, now, node)
        if task in self._over:
            if task not in self.running:
                self._over.discard(task)
            return Action.IGNORE
        self._learn(task, outcome, node)
        history = self.history.setdefault(task, History())
        if outcome in STRIKES and node not in self.sick:
            history.strikes.append((outcome, node))
        # What fails on a node that is left out counts as lost: it has a limit all the same.
        history.lost += outcome is Outcome.NODE_LOST or (outcome in STRIKES and node in self.sick)
        history.last_error = error or outcome.value
        if isinstance(task, Probe):
            return self._probed(task, outcome, history, node, now)
        if task in self._searches and outcome is not Outcome.DONE:  # the second copy; its rows are being looked at
            return Action.IGNORE
        action = next_action(outcome, history)
        if action is Action.BISECT and self._rows is None:
            action = Action.GIVE_UP
        if action is Action.FINISH:
            self._seconds.append(seconds)
            self.done += 1
            self.given_up_in_a_row = 0
        elif action is Action.RETRY:
            self._again(task, history, now)
        elif action is Action.BISECT:
            self._search(task)
        else:
            self.given_up[task] = history.last_error
            self.given_up_in_a_row += 1
        if action in (Action.FINISH, Action.GIVE_UP):
            self._end(task)
        return action

    def _end(self, task: Hashable) -> None:
        """Keep nothing of what is over."""
        self.history.pop(task, None)
        if task in self.running:
            self._over.add(task)
        self._searches.pop(task, None)
        if any(other == task or probes(other, task) for other in self.waiting):
            self.waiting = deque(other for other in self.waiting if other != task and not probes(other, task))
        self._over.update(other for other in self.running if probes(other, task))

    def _leave(self, task: Hashable, now: float, node: str) -> float:
        """Take one copy of a task off the running ones; returns its seconds."""
        copies = self.running.get(task, [])
        mine = next((copy for copy in copies if copy.node == node), copies[0] if copies else _Copy(node, now))
        if mine in copies:
            copies.remove(mine)
        if not copies:
            self.running.pop(task, None)
        return now - mine.started

    def _learn(self, task: Hashable, outcome: Outcome, node: str) -> None:
        """What an attempt says of its node."""
        chunk = task.chunk if isinstance(task, Probe) else task
        if outcome is Outcome.DONE:
            self._failing.pop(node, None)
            self._better.update(dict.fromkeys(self._failing, True))
        elif (
            outcome in FATAL and node not in self.sick
        ):  # what a worker can tell, such as of a storage, is not its node's
            if node not in self._failing:
                self._failing[node], self._better[node] = set(), False
            self._failing[node].add(chunk)
            if node and len(self._failing[node]) >= SICK and self._better[node]:
                self._exclude(node)

    def _exclude(self, node: str) -> None:
        """Leave a node out, and forget what it said of chunks."""
        self.sick.add(node)
        for history in self.history.values():
            history.strikes = [strike for strike in history.strikes if strike[1] != node]

    def _again(self, task: Hashable, history: History, now: float) -> None:
        if task in self.running or task in self.waiting:  # its other copy may still make it
            return
        self._ready[task] = now + delay(history)
        self.waiting.append(task)

    def _search(self, task: Hashable) -> None:
        assert self._rows is not None
        whole = Probe(task, 0, self._rows(task))
        first = list(whole.halves()) if whole.stop > 1 else [whole]
        self._searches[task] = Search(len(first), self._nodes_of(task))
        self.waiting.extendleft(reversed(first))

    def _probed(self, probe: Probe, outcome: Outcome, history: History, node: str, now: float) -> Action:
        search = self._searches.get(probe.chunk)
        if search is None:  # a second copy of the chunk has made it meanwhile
            self.history.pop(probe, None)
            return Action.IGNORE
        if outcome is Outcome.NODE_LOST and history.lost < MAX_LOST:
            self._again(probe, history, now)
            return Action.RETRY
        self.history.pop(probe, None)
        # What a worker can raise about a row, it also quarantines by itself: only a dead process is a finding.
        fatal = outcome in FATAL
        self.waiting.extendleft(reversed(search.report(probe, fatal, node)))
        if search.left == 0:
            self._searched(probe.chunk, search)
        return Action.BISECT if fatal else Action.FINISH

    def _searched(self, task: Hashable, search: Search) -> None:
        """Try the chunk again without the guilty rows, or give it up."""
        del self._searches[task]
        history = self.history[task]
        history.searched = True
        if search.guilty and not search.believed:
            self.given_up[task] = f"{history.last_error}, for every row and on one node only"
            self.given_up_in_a_row += 1
            self._end(task)
            return
        self.guilty[task] = tuple(sorted(search.guilty))
        history.strikes = history.strikes[:1] if search.guilty else history.strikes[: MAX_STRIKES - 1]
        self.waiting.appendleft(task)
