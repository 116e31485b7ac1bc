"""Progress for people: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ig_worker.run import logs

_LINE_EVERY_S = 10.0
_LINE_EVERY_SHARE = 0.02  # of the time so far: a night of hours is some hundred lines


class Meter(Protocol):
    """Shows how far a long work is."""

    def update(self, done: int, note: str = "", total: int | None = None) -> None: ...


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        self._progress.update(self._task, completed=done, note=note, total=total)  # rich leaves None as it is


class Lines:
    """For logs: no control characters, and few lines.

    Args:
        title: what is done, and of what.
        total: pieces of work; None where unknown.
        done: of them, before this start.
        clock: seconds.
    """

    def __init__(
        self, title: str, total: int | None, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._total, self._clock = title, total, clock
        self._started = self._shown = clock()
        self._before = done
        self._first: tuple[float, int] | None = None  # when there was something new, and how much was done by then

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        self._total = total or self._total
        now = self._clock()
        if self._first is None and done > self._before:  # what comes before it is the start of the actors
            self._first = now, done
        pause = max(_LINE_EVERY_S, _LINE_EVERY_SHARE * (now - self._started))
        if now - self._shown < pause and done != self._total:
            return
        self._shown = now
        logs.tell(self._line(done, now, note))

    def _line(self, done: int, now: float, note: str) -> str:
        of_total = f"/{self._total} ({done / self._total:.0%})" if self._total else ""
        count = f" {done}{of_total}" if done or self._total else ""  # what only waits counts nothing
        parts = [f"{self._title}{count} after {_duration(now - self._started)}"]
        since, first = self._first or (now, done)
        if done > first and now > since:
            rate = (done - first) / (now - since)
            parts.append(f"{rate:.3g} a second")
            if self._total and done < self._total:
                parts.append(f"{_duration((self._total - done) / rate)} left")
        return ", ".join([*parts, note] if note else parts)


def _duration(seconds: float) -> str:
    """``42 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def meter(title: str, total: int | None, done: int = 0) -> Iterator[Meter]:
    """A meter for `total` pieces of work (None where unknown), of which some are done already, written to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal or logs.as_json():
        yield Lines(title, total, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, progress.add_task(title, total=total, completed=done, note=""))
