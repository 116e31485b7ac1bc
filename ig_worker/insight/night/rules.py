"""What a night decides, without looking at anything: names, which run it is, what is kept."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

GOOD = (0, 3)  # exit codes of a night that went well; 3: with some rows in quarantine


@dataclass(frozen=True, order=True)
class RunName:
    """``LINE-2026-11-24``; the second of one day is ``LINE-2026-11-24-2``. In the order of time."""

    day: datetime.date
    number: int = 1
    line: str = ""

    def __str__(self) -> str:
        return f"{self.line}-{self.day.isoformat()}" + (f"-{self.number}" if self.number > 1 else "")

    @classmethod
    def parse(cls, text: str, line: str) -> RunName | None:
        """The name of a run of this model line; None for anything else."""
        found = re.fullmatch(rf"{re.escape(line)}-(\d{{4}}-\d\d-\d\d)(?:-([2-9]|[1-9]\d+))?", text)
        if not found:
            return None
        try:
            return cls(datetime.date.fromisoformat(found[1]), int(found[2] or 1), line)
        except ValueError:
            return None


@dataclass(frozen=True)
class Earlier:
    """A run of the line that is there."""

    name: RunName
    complete: bool
    exit_code: int | None  # of its night; None where it has not come to its end


def choose(line: str, today: datetime.date, runs: Iterable[Earlier], *, resume: bool) -> RunName:
    """Which run tonight's is.

    The newest one where it is unfinished and nights resume, or where it is today's; otherwise a new one of today.
    """
    newest = max(runs, key=lambda run: run.name, default=None)
    if newest is None or newest.name.day > today:  # a clock was wrong once: what it made is in nobody's way
        return RunName(today, 1, line)
    if not newest.complete:
        return newest.name if resume else following(newest.name, today)
    return newest.name if newest.name.day == today else RunName(today, 1, line)


def following(name: RunName, today: datetime.date) -> RunName:
    """A name of today that is after `name`."""
    return RunName(today, name.number + 1 if name.day == today else 1, name.line)


def compared_with(name: RunName, runs: Iterable[Earlier]) -> RunName | None:
    """The newest complete run before `name`."""
    return max((run.name for run in runs if run.complete and run.name < name), default=None)


def to_remove(runs: Collection[Earlier], keep: int, also: Collection[RunName] = ()) -> list[RunName]:
    """Runs that are no longer kept: all but the newest `keep`, the last good one, and those in `also`."""
    ordered = sorted((run for run in runs), key=lambda run: run.name)
    good = [run.name for run in ordered if run.complete and run.exit_code in GOOD][-1:]
    kept = {run.name for run in ordered[-keep:]} | set(good) | set(also)
    return [run.name for run in ordered if run.name not in kept]
