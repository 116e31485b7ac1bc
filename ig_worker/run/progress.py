"""Progress for people: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
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

_LINE_EVERY_S = 10.0


class Meter(Protocol):
    """Shows how far a long work is."""

    def update(self, done: int, note: str = "", total: int | None = None) -> None: ...


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        self._progress.update(self._task, completed=done, note=note, total=total)  # rich leaves None as it is


class _Lines:
    """For logs: no control characters, and few lines."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title, self._total = title, total
        self._started = self._shown = time.monotonic()

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        self._total = total or self._total
        now = time.monotonic()
        if now - self._shown < _LINE_EVERY_S and done != self._total:
            return
        self._shown = now
        of_total = f"/{self._total}" if self._total else ""
        print(
            f"{self._title} {done}{of_total} after {now - self._started:.0f} s {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def meter(title: str, total: int | None) -> Iterator[Meter]:
    """A meter for `total` pieces of work (None where unknown), written to stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title, total)
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
        yield _Bar(progress, progress.add_task(title, total=total, note=""))
