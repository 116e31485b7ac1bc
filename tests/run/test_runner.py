"""The one loop of all steps, with a crew of this process and with one whose tasks fail as scripted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ig_worker.errors import RunStoppedError
from ig_worker.run.config import ActorSettings
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.executor import ActorSpec, Event, InProcess
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Action, Outcome
from ig_worker.run.dispatch.row_search import Control, Probe
from ig_worker.run.dispatch.runner import Step, work_through

DOUBLE = Step(order=lambda task: ("double", task), failed="{count} tasks failed, such as {task:03d}", remedy="mend it")


class Doubler:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def load(self) -> str:
        return "cpu"

    def double(self, task: int) -> int:
        return 2 * task + self._offset


class Scripted:
    """A crew whose attempts end as told."""

    ready = actors = 1

    def __init__(self, *events: Event) -> None:
        self.events = events

    def work(self, ledger: Ledger, order: Any, tick: Any) -> Iterator[Event]:
        yield from self.events

    def share(self, value: Any) -> Any:
        return value


def here(kind: type | None = None) -> Any:
    return InProcess(kind).crew(ActorSpec(Doubler, (1,), ActorSettings()), Deadline(None))


def test_this_process_does_the_tasks_in_their_order_and_looks_up_before_each() -> None:
    looks: list[int] = []
    with here() as crew:
        events = list(work_through(crew, Ledger([3, 1, 2]), DOUBLE, lambda: looks.append(1)))
    assert [(event.task, event.record) for event in events] == [(3, 7), (1, 3), (2, 5)]
    assert len(looks) == 3


def test_in_this_process_an_error_is_the_callers_and_is_not_tried_again() -> None:
    tried: list[int] = []

    class Fails(Doubler):
        def double(self, task: int) -> int:
            tried.append(task)
            raise ValueError("boom")

    with here(Fails) as crew, pytest.raises(ValueError, match="boom"):
        list(work_through(crew, Ledger([1, 2]), DOUBLE, lambda: None))
    assert tried == [1]


def test_parts_of_a_task_and_failed_attempts_are_told_and_not_handed_on() -> None:
    told: list[Any] = []

    class Told:
        def attempt(self, event: Event) -> None:
            told.append(event.task)

    events = [
        Event(1, Outcome.ERROR, Action.RETRY, "n1", 1.0, None, "boom"),
        Event(Probe(1, 0, 2), Outcome.DONE, Action.FINISH, "n1", 1.0),
        Event(Control(1, "n1"), Outcome.DONE, Action.FINISH, "n1", 1.0),
        Event(1, Outcome.DONE, Action.FINISH, "n1", 1.0, "record"),
    ]
    found = work_through(Scripted(*events), Ledger([1]), DOUBLE, lambda: None, Told())  # type: ignore[arg-type]
    assert [event.record for event in found] == ["record"]
    assert told == [event.task for event in events]


def test_what_was_given_up_is_said_after_everything_else() -> None:
    ledger = Ledger([7, 8])
    ledger.given_up |= {7: "boom", 8: "bang"}
    found = work_through(Scripted(Event(9, Outcome.DONE, Action.FINISH, "", 1.0)), ledger, DOUBLE, lambda: None)
    assert next(found).task == 9
    with pytest.raises(RunStoppedError, match=r"^2 tasks failed, such as 007: boom; mend it$"):
        next(found)
