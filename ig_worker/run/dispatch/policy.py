"""What follows an attempt at a task: one pure function, and the times that go with it.

Faults are told apart by whose they are. A lost node is nobody's strike; three strikes and a chunk is given up, or,
where what failed was the process and not the work, its rows are looked at one by one first.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

MAX_STRIKES = 3
MAX_LOST = 10  # attempts lost to their seat; no fault of the chunk, but not for ever
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
PACE = 10.0  # a chunk may take so many times the median
LEAST_LIMIT_S = 300.0  # programs are traced and compiled on an actor's first chunk
UNKNOWN_LIMIT_S = 4 * 3600.0  # where the pace is not known
KNOWN = 3  # chunks from which it is
SLOW = 2.0  # times the median: worth a second copy on an actor that has nothing else to do
LEAST_SLOW_S = 10.0  # below, there is little to gain
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


class State(Enum):
    """Of a task."""

    OPEN = "open"  # it waits, or runs
    SEARCHED = "searched"  # the rows that end their process are looked for in it
    OVER = "over"  # done or given up, while a second copy of it may still run


# What an attempt at a whole task leads to. An action that is not listed is not taken: the attempt is ignored.
TRANSITIONS = {
    State.OPEN: {
        Action.FINISH: State.OVER,
        Action.RETRY: State.OPEN,
        Action.BISECT: State.SEARCHED,
        Action.GIVE_UP: State.OVER,
    },
    State.SEARCHED: {Action.FINISH: State.OVER},  # by a second copy, which may have been luckier
    State.OVER: {},
}
# What a search leads to: the chunk is tried again without the guilty rows, or nothing can be learned.
SEARCH_ENDS = {Action.RETRY: State.OPEN, Action.GIVE_UP: State.OVER}


@dataclass
class History:
    """What has happened to one task so far."""

    strikes: list[tuple[Outcome, str]] = field(default_factory=list)  # each with its seat
    lost: int = 0
    searched: bool = False  # its rows have been probed
    last_error: str = ""

    @property
    def seats(self) -> set[str]:
        """On which it failed."""
        return {seat for _, seat in self.strikes}


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


class Pace:
    """How long tasks take, learned from those that are done.

    Args:
        alike: whether they take about equally long; where they do not, nothing is learned.
    """

    def __init__(self, *, alike: bool) -> None:
        self._alike = alike
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, seconds: float) -> None:
        """Enter a task that is done."""
        if self._alike:
            self._seconds.append(seconds)

    @property
    def limit(self) -> float:
        """Seconds that an attempt may take."""
        learned = pace_limit(self._seconds)
        return UNKNOWN_LIMIT_S if learned is None else learned

    @property
    def slow(self) -> float:
        """Seconds from which a second copy pays; infinite while that is not known."""
        if len(self._seconds) < KNOWN:
            return math.inf
        return max(LEAST_SLOW_S, SLOW * statistics.median(self._seconds))
