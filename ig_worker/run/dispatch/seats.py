"""What is known of seats: pure. A seat is where a process runs: a node, or a GPU of one.

A seat on which processes end for three chunks in a row while others work is sick: it is left out, and what happened
there is not believed.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

from ig_worker.run.dispatch.policy import FATAL, Outcome
from ig_worker.run.dispatch.row_search import Control, Probe

SICK = 3  # different chunks that a seat fails, one after the other


@dataclass
class _Failing:
    """Of a seat on which processes have ended since it last did anything."""

    tasks: set[Hashable] = field(default_factory=set)  # that ended them
    outdone: bool = False  # another seat has done something since the first of them


class Seats:
    """All seats of a crew."""

    def __init__(self) -> None:
        self.sick: set[str] = set()
        self._able: set[str] = set()  # they have done something since a process last ended there
        self._failing: dict[str, _Failing] = {}

    def able(self, seat: str) -> bool:
        """Whether it has done something since a process last ended there."""
        return seat in self._able

    def left_out(self, seat: str, seats: Collection[str]) -> bool:
        """Whether it gets no work, since one of `seats` is better."""
        return seat in self.sick and any(other not in self.sick for other in seats)

    def elsewhere(self, seats: Collection[str], failed: Collection[str]) -> bool:
        """Whether one of `seats` can be tried that is not among those where something failed."""
        return any(seat not in failed and seat not in self.sick for seat in seats)

    def learn(self, task: Hashable, outcome: Outcome, seat: str) -> bool:
        """Enter how an attempt ended; returns whether its seat is sick from now on.

        What a worker can tell, such as of a storage, says nothing of its seat.
        """
        if outcome is Outcome.DONE:
            self._able.add(seat)
            self._failing.pop(seat, None)
            for other in self._failing.values():
                other.outdone = True
        if outcome not in FATAL or seat in self.sick:
            return False
        self._able.discard(seat)
        failing = self._failing.setdefault(seat, _Failing())
        failing.tasks.add(_fault(task, len(failing.tasks)))
        if not seat or len(failing.tasks) < SICK or not failing.outdone:
            return False
        self.sick.add(seat)
        return True


def _fault(task: Hashable, number: int) -> Hashable:
    """What counts as one fault of a seat: a chunk, whichever rows of it; the known-good text every time."""
    if isinstance(task, Control):
        return task, number
    return task.chunk if isinstance(task, Probe) else task
