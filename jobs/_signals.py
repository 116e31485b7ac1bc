"""Ctrl-C, SIGTERM and the deadline: the first ends a job cleanly, and within a limit; a second one ends it at once.

Python runs its signal handlers between two steps of the main thread, which may wait for long inside of Ray or of an
object store. So a thread watches the signals and the clock, too, and ends the process where the main thread does not.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ig_worker.errors import EXIT_STOPPED
from ig_worker.run import logs
from ig_worker.run.deadline import AGAIN, Deadline, Overdue

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 8.0  # for the clean-up
TOGETHER_S = 1.0  # one stop may come as two signals: coreutils' timeout sends one to the process, one to its group
OVERTIME_S = 2.0  # after a deadline, for what looks at it by itself
_LONGEST_WAIT_S = 3600.0  # select refuses what is beyond a century or two
_current: Stopper | None = None


@contextmanager
def guard(deadline: Deadline) -> Iterator[None]:
    """Interrupt the block by `Overdue` soon after the deadline, and end the process where that does not help.

    Does nothing within another program, whose signals are its own.
    """
    if _current is None or deadline.left == math.inf:
        yield
        return
    _current.watch(deadline)
    try:
        yield
    finally:
        _current.watch(None)


class Stopper:
    """Turns the first signal into a KeyboardInterrupt. To be made once, in a process that runs one job."""

    def __init__(self) -> None:
        global _current
        self.told = False  # whether a person has been told how the job ended
        self._begun = False
        self._deadline: Deadline | None = None
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, self._interrupt)
        signal.signal(signal.SIGALRM, self._overdue)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True).start()
        _current = self

    def watch(self, deadline: Deadline | None) -> None:
        """Hold the main thread to a deadline from now on, or to none any more."""
        self._deadline = deadline
        os.write(self._writer, b"\0")  # wakes the thread up

    def _interrupt(self, number: int, frame: object) -> None:
        if not self._begun:  # another would cut the clean-up off in the middle
            self._begun = True
            raise KeyboardInterrupt

    def _overdue(self, number: int, frame: object) -> None:
        if self._deadline is not None and not self._deadline.told and not self._begun:
            self._deadline.told = True
            raise Overdue

    def _watch(self, reader: int) -> None:
        while True:
            deadline = self._deadline
            left = None if deadline is None else min(max(0.0, deadline.left + OVERTIME_S), _LONGEST_WAIT_S)
            if _next_signal(reader, left) is not None:
                self._end(reader, "interrupted", None)
            elif deadline is not None and deadline is self._deadline and deadline.left <= -OVERTIME_S:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
                self._end(reader, deadline.error().what, deadline)

    def _end(self, reader: int, why: str, deadline: Deadline | None) -> None:
        """End the process, unless it ends by itself, or what was overdue is over."""
        begun = time.monotonic()
        while (left := begun + GRACE_S - time.monotonic()) > 0:
            number = _next_signal(reader, left)
            if number is not None and time.monotonic() - begun > TOGETHER_S:
                os._exit(128 + number)  # as a shell says that a signal ended a process
            if deadline is not None and deadline is not self._deadline:
                return
        if not self.told:
            logs.tell(
                f"{why}, and not all had ended {GRACE_S:.0f} s later; what is done is kept; {AGAIN}", logging.ERROR
            )
        os._exit(EXIT_STOPPED)


def _next_signal(reader: int, timeout_s: float | None) -> int | None:
    """The next of `SIGNALS`; None where there is none for so long, or where it is something else that wakes it up."""
    if not select.select([reader], [], [], timeout_s)[0]:
        return None
    (number,) = os.read(reader, 1)
    return number if number in SIGNALS else None
