"""What a worker is told that it will probably be given next: pure."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import MAX_STRIKES, Outcome
from ig_worker.run.dispatch.row_search import Control, Part, Probe

NODES = ["a", "b"]


def hinting(tasks: int, rows: int = 4) -> Ledger:
    return Ledger(range(tasks), lambda _: rows, hints=True)


def step(ledger: Ledger, worker: Hashable, now: float = 0.0, seat: str = "a") -> tuple[Hashable, Hashable]:
    """What a worker takes, and what it is told of."""
    task = ledger.take(now, seat, NODES, worker)
    return task, ledger.ahead(task, now, seat, NODES, worker)


def test_a_worker_is_given_what_it_was_told_of() -> None:
    ledger = hinting(4)
    assert step(ledger, "w") == (0, 1)
    ledger.report(0, Outcome.DONE)
    assert step(ledger, "w") == (1, 2)


def test_nobody_is_told_of_or_given_what_another_was_told_of_while_there_is_more() -> None:
    ledger = hinting(7)
    assert [step(ledger, worker) for worker in "uvw"] == [(0, 1), (2, 3), (4, 5)]
    assert step(ledger, "x") == (6, None)


def test_nothing_waits_for_the_worker_that_was_told_of_it() -> None:
    ledger = hinting(2)
    assert step(ledger, "slow") == (0, 1)
    assert step(ledger, "w") == (1, None)
    assert ledger.take(0.0, "a", NODES, "slow") is None


def test_who_has_lost_its_task_to_another_is_given_the_first_that_waits() -> None:
    ledger = hinting(3)
    assert [step(ledger, "slow"), step(ledger, "v"), step(ledger, "w")] == [(0, 1), (2, None), (1, None)]
    ledger.report(2, Outcome.ERROR, 0.0, "a")
    assert ledger.take(9.0, "b", NODES, "slow") == 2


def test_what_a_worker_that_is_gone_was_told_of_is_anybodys_and_is_tried_by_itself() -> None:
    ledger = hinting(3)
    assert step(ledger, "w") == (0, 1)
    ledger.release("w")
    ledger.release("never told of any")
    ledger.report(0, Outcome.ACTOR_DIED, 0.0, "a")
    assert step(ledger, "x") == (2, None), "1 may be what ended the worker"
    assert step(ledger, "y") == (1, None)


def test_what_has_to_be_tried_again_comes_before_what_another_was_told_of() -> None:
    ledger = hinting(3)
    assert [step(ledger, "v"), step(ledger, "w")] == [(0, 1), (2, None)]
    ledger.report(2, Outcome.ERROR, 0.0, "a")
    assert ledger.take(9.0, "b", NODES, "x") == 2


def test_a_task_that_has_failed_is_neither_told_of_nor_tried_beside_another() -> None:
    ledger = hinting(5)
    step(ledger, "w")
    ledger.report(0, Outcome.ERROR, 0.0, "a")
    assert step(ledger, "w", 9.0, "b") == (1, 2)
    assert step(ledger, "x", 9.0, "b") == (3, 4)
    assert step(ledger, "y", 9.0, "b") == (0, None), "the others are told of"
    ledger.report(0, Outcome.ERROR, 9.0, "b")
    ledger.report(3, Outcome.DONE, 9.0, "b")
    assert step(ledger, "x", 99.0, "b") == (4, None), "only what has failed is left for it"


def test_what_has_failed_does_not_wait_until_all_that_are_told_of_are_over() -> None:
    ledger = hinting(100)
    step(ledger, "w")
    ledger.report(0, Outcome.ERROR, 0.0, "a")
    ledger.waiting.move_to_end(0, last=False)
    assert step(ledger, "w", 9.0, "b") == (1, None)
    assert step(ledger, "w", 9.0, "b") == (0, None)
    assert step(ledger, "w", 9.0, "b") == (2, 3)


def test_rows_that_are_looked_for_come_before_what_could_be_told_of_and_are_tried_by_themselves() -> None:
    ledger = hinting(40)
    now = 0.0
    for _ in range(MAX_STRIKES):
        ledger.waiting.move_to_end(0, last=False)
        assert ledger.take(now, "a", ["a"], "w") == 0
        ledger.report(0, Outcome.ACTOR_DIED, now, "a")
        now += 9.0
    assert step(ledger, "w", now) == (Control(0, "a"), None)
    ledger.report(Control(0, "a"), Outcome.DONE, now, "a")
    assert [step(ledger, "w", now) for _ in range(3)] == [(Probe(0, 0, 2), None), (Probe(0, 2, 4), None), (1, 2)]


def test_who_hints_at_nothing_gives_out_the_tasks_in_their_order() -> None:
    ledger = Ledger(range(3))
    assert [step(ledger, worker) for worker in "uvw"] == [(0, None), (1, None), (2, None)]


def play(ledger: Ledger, seats: list[str], rows: int, ends: set[int], ends_alone: set[int]) -> None:
    """Work a ledger off, one worker a seat at a time. Some chunks end their process, some already when they are read.

    The latter do it too where they are made ready beside another.
    """
    now, born = 0.0, 0
    workers = {seat: (seat, 0) for seat in seats}
    while ledger.open:
        now += 1.0
        running = []
        for seat, worker in workers.items():
            task = ledger.take(now, seat, seats, worker)
            if task is not None:
                running.append((seat, task, ledger.ahead(task, now, seat, seats, worker)))
        for seat, task, hinted in running:
            assert hinted not in ledger.history
            assert hinted is None or (task not in ledger.history and not isinstance(task, Part))
            chunk = None if isinstance(task, Control) else task.chunk if isinstance(task, Probe) else task
            first = not isinstance(task, Probe) or task.start == 0
            guilty = 0 in ledger.guilty.get(task, ())
            dead = chunk in ends or hinted in ends or (chunk in ends_alone and first and not guilty)
            if dead:
                ledger.release(workers[seat])
                born += 1
                workers[seat] = (seat, born)
            ledger.report(task, Outcome.ACTOR_DIED if dead else Outcome.DONE, now, seat, "died" if dead else "")
        assert now < 5000


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 9), st.integers(0, 29), st.integers(0, 29))
def test_what_ends_its_process_is_found_whether_it_is_made_ready_or_explained(tasks, seats, rows, read, row) -> None:
    """A chunk that ends the process when it is read is given up; one whose first row does loses that row alone."""
    ledger = hinting(tasks, rows)
    ends, alone = {read} & set(range(tasks)), {row} & set(range(tasks))
    play(ledger, [f"n{i}" for i in range(seats)], rows, ends, alone - ends)
    assert set(ledger.given_up) == ends
    assert {chunk: found for chunk, found in ledger.guilty.items() if chunk not in ends} == dict.fromkeys(
        alone - ends, (0,)
    )
    assert ledger.done == tasks - len(ends)


@pytest.mark.parametrize("hints", [False, True])
def test_a_task_costs_no_more_however_many_wait(hints: bool) -> None:
    """Also where there are so many workers that each task which waits is one that somebody was told of."""
    looked = 0

    class Counted(dict):
        def __contains__(self, task: object) -> bool:
            nonlocal looked
            looked += 1
            return super().__contains__(task)

    ledger = Ledger(range(1500), hints=hints)
    ledger._hints._workers = Counted()
    running = [(worker, step(ledger, worker)[0]) for worker in range(1000)]
    while running:
        worker, task = running.pop(0)
        ledger.report(task, Outcome.DONE, 1.0, "a")
        if (following := step(ledger, worker)[0]) is not None:
            running.append((worker, following))
    assert ledger.done == 1500
    assert looked < 10 * 1500
