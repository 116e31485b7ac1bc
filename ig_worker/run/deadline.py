"""The one clock of a job: started with it, and handed through all of its phases.

What works in small steps looks at it between them (`Deadline.check`). What cannot, such as a storage or Ray's own code
that hangs, is interrupted by the job's guard, where there is one: see `jobs/_signals.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ig_worker.errors import RunStoppedError

AGAIN = "run the same command again to resume"


class Overdue(KeyboardInterrupt):
    """The deadline has passed in the midst of something that does not look at it. To be treated as an interruption."""


class Deadline:
    """When a job has to be over.

    Args:
        seconds: after its start; None: it may take for ever.
        clock: seconds, monotonic.
        started: when, by that clock; None: now.
        guard: interrupts the block of `enforced` by `Overdue`, soon after the deadline.
    """

    def __init__(
        self,
        seconds: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
        guard: Callable[[Deadline], AbstractContextManager[object]] = lambda _: nullcontext(),
    ) -> None:
        self._seconds, self._clock, self._guard = seconds, clock, guard
        self._started = clock() if started is None else started
        self.told = False  # whether what is under way has been told to end

    @property
    def left(self) -> float:
        """Seconds until it; below 0 once it has passed, infinite where there is none."""
        return math.inf if self._seconds is None else self._started + self._seconds - self._clock()

    def check(self, done: Callable[[], str] = str) -> None:
        """Raise RunStoppedError once it has passed.

        Args:
            done: what is done by now, in words.
        """
        if self.left <= 0:
            self.told = True
            raise self.error(done())

    def error(self, done: str = "") -> RunStoppedError:
        """What to say once it has passed."""
        what = f"--deadline of {self._seconds:g} s has passed"
        return RunStoppedError(f"{what}; {done}" if done else what, remedy=AGAIN)

    def sooner(self, seconds: float | None) -> Deadline:
        """This one, or one so many seconds after now where that comes first."""
        if seconds is None or seconds >= self.left:
            return self
        return Deadline(seconds, clock=self._clock, guard=self._guard)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Let the guard interrupt the block where it does not look at the clock by itself.

        Raises:
            RunStoppedError: it has been interrupted.
        """
        try:
            with self._guard(self):
                yield
        except Overdue:
            raise self.error() from None
