"""What to do next with the chunks of a run: decisions only, no Ray. The pool carries them out."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

MAX_STRIKES = 3
MAX_HOPELESS = 3  # chunks given up in a row: then the fault is not theirs
MAX_LOST = 10  # attempts lost to their node; no fault of the chunk, but not for ever


class Outcome(Enum):
    """How an attempt at a chunk ended."""

    DONE = "done"
    ERROR = "error"  # the worker raised
    ACTOR_DIED = "actor died"  # its process ended while its node lives
    TIMEOUT = "timeout"  # it took too long and was killed
    NODE_LOST = "node lost"  # its node went, or could not be reached


STRIKES = frozenset({Outcome.ERROR, Outcome.ACTOR_DIED, Outcome.TIMEOUT})


class Action(Enum):
    """What follows an attempt."""

    FINISH = "finish"
    RETRY = "retry"
    GIVE_UP = "give up"


@dataclass
class History:
    """What has happened to one chunk so far."""

    strikes: int = 0
    lost: int = 0
    last_error: str = ""


def next_action(outcome: Outcome, history: History) -> Action:
    """What to do with a chunk after an attempt that is already counted in `history`."""
    if outcome is Outcome.DONE:
        return Action.FINISH
    if history.strikes >= MAX_STRIKES or history.lost >= MAX_LOST:
        return Action.GIVE_UP
    return Action.RETRY


@dataclass
class Ledger:
    """Which tasks wait, run, are done or were given up. A task is anything hashable, such as a chunk's number."""

    waiting: deque[Hashable] = field(default_factory=deque)
    running: set[Hashable] = field(default_factory=set)
    history: dict[Hashable, History] = field(default_factory=dict)
    given_up: dict[Hashable, str] = field(default_factory=dict)
    done: int = 0
    given_up_in_a_row: int = 0

    @classmethod
    def of(cls, tasks: Iterable[Hashable]) -> Ledger:
        return cls(waiting=deque(tasks))

    @property
    def open(self) -> bool:
        """Whether anything is left to do, and worth trying."""
        return bool(self.waiting or self.running) and self.given_up_in_a_row < MAX_HOPELESS

    def take(self) -> Hashable | None:
        """The next task, now running; None where none waits."""
        if not self.waiting:
            return None
        task = self.waiting.popleft()
        self.running.add(task)
        return task

    def report(self, task: Hashable, outcome: Outcome, error: str = "") -> Action:
        """Enter how an attempt ended; returns what was decided."""
        self.running.discard(task)
        history = self.history.setdefault(task, History())
        history.strikes += outcome in STRIKES
        history.lost += outcome is Outcome.NODE_LOST
        history.last_error = error or outcome.value
        action = next_action(outcome, history)
        if action is Action.FINISH:
            self.done += 1
            self.given_up_in_a_row = 0
            self.history.pop(task, None)  # memory for what went wrong only
        elif action is Action.RETRY:
            self.waiting.append(task)
        else:
            self.given_up[task] = history.last_error
            self.given_up_in_a_row += 1
        return action


def missing_chunks(chunks: int, committed: Iterable[int]) -> list[int]:
    """Chunks that have no committed result, in order: what a run, new or resumed, has to do."""
    done = set(committed)
    return [index for index in range(chunks) if index not in done]


def audit_positions(ids: Sequence[str], share: float) -> list[int]:
    """Positions of the rows to audit: by a hash of the id, so that the choice does not depend on chunking or time."""
    limit = int(share * 2**64)
    digests = (hashlib.sha256(id.encode()).digest() for id in ids)
    return [position for position, digest in enumerate(digests) if int.from_bytes(digest[:8], "big") < limit]
