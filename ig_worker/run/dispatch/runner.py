"""The one loop of all steps: let a crew work through tasks, tell of each attempt, and say what was given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ig_worker.errors import RunStoppedError
from ig_worker.run.dispatch.attempt_log import Attempts
from ig_worker.run.dispatch.executor import Crew, Event, Order, StepMetrics
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Action
from ig_worker.run.dispatch.row_search import Part


@dataclass(frozen=True)
class Step:
    """What is done with each task, and what is said where one is given up.

    Args:
        order: what is asked for to do a task.
        failed: what has failed, in which {task} is the first that was given up and {count} how many were.
        remedy: what the user can do.
    """

    order: Callable[[Any], Order]
    failed: str
    remedy: str = ""


def work_through(
    crew: Crew,
    ledger: Ledger,
    step: Step,
    tick: Callable[[], None],
    metrics: StepMetrics | None = None,
    attempts: Attempts | None = None,
) -> Iterator[Event]:
    """Let a crew work through tasks; yields an event for each that is done, and none for parts of one.

    Args:
        crew: those who do it.
        ledger: the tasks.
        step: what is done with each.
        tick: called about once a second, and between tasks; what it raises ends the work.
        metrics: is told of each attempt, and at each tick how far the step is.
        attempts: is told of each attempt.

    Raises:
        RunStoppedError: a task failed again and again; all others have been tried first.
    """

    def look() -> None:
        tick()
        if metrics is not None:
            metrics.state(ledger, crew)

    for event in crew.work(ledger, step.order, look):
        if attempts is not None:
            attempts.add(event)
        if metrics is not None:
            metrics.attempt(event)
        if event.action is Action.FINISH and not isinstance(event.task, Part):
            yield event
    if ledger.given_up:
        task, error = next(iter(ledger.given_up.items()))
        failed = step.failed.format(task=task, count=len(ledger.given_up))
        raise RunStoppedError(f"{failed}: {error}", remedy=step.remedy)
