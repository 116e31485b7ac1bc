"""Ctrl-C and SIGTERM: the first ends a job cleanly, and within a limit; a second one ends it at once.

Python runs its signal handlers between two steps of the main thread, which may wait for long inside of Ray or of an
object store. So a thread watches the signals, too, and ends the process where the main thread does not.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time

from ig_worker.errors import EXIT_STOPPED
from ig_worker.run import logs

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 8.0  # for the clean-up
TOGETHER_S = 1.0  # one stop may come as two signals: coreutils' timeout sends one to the process, one to its group


class Stopper:
    """Turns the first signal into a KeyboardInterrupt. To be made once, in a process that runs one job."""

    def __init__(self) -> None:
        self.told = False  # whether a person has been told how the job ended
        self._begun = False
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, self._interrupt)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), name="signals", daemon=True).start()

    def _interrupt(self, number: int, frame: object) -> None:
        if not self._begun:  # another would cut the clean-up off in the middle
            self._begun = True
            raise KeyboardInterrupt

    def _watch(self, reader: int) -> None:
        while _next_signal(reader, None) is None:
            pass
        begun = time.monotonic()
        while (left := begun + GRACE_S - time.monotonic()) > 0:
            number = _next_signal(reader, left)
            if number is not None and time.monotonic() - begun > TOGETHER_S:
                os._exit(128 + number)  # as a shell says that a signal ended a process
        if not self.told:
            logs.tell(
                f"interrupted, and not all had ended {GRACE_S:.0f} s later; "
                "what is done is kept; run the same command again to resume",
                logging.ERROR,
            )
        os._exit(EXIT_STOPPED)


def _next_signal(reader: int, timeout_s: float | None) -> int | None:
    """The next of `SIGNALS`; None where there is none for so long, or where it is another that Python handles."""
    if not select.select([reader], [], [], timeout_s)[0]:
        return None
    (number,) = os.read(reader, 1)
    return number if number in SIGNALS else None
