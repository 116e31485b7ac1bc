"""Dispatch decisions: pure, so neither Ray nor TensorFlow is needed."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from ig_worker.run.dispatch import (
    MAX_HOPELESS,
    MAX_LOST,
    MAX_STRIKES,
    Action,
    History,
    Ledger,
    Outcome,
    audit_positions,
    missing_chunks,
    next_action,
)

FAULTS = [Outcome.ERROR, Outcome.ACTOR_DIED, Outcome.TIMEOUT]


def test_a_chunk_is_tried_again_until_its_third_strike() -> None:
    actions = [next_action(Outcome.ERROR, History(strikes=n)) for n in range(1, MAX_STRIKES + 1)]
    assert actions == [Action.RETRY, Action.RETRY, Action.GIVE_UP]


def test_a_lost_node_is_no_strike_but_has_its_own_limit() -> None:
    ledger = Ledger.of([7])
    for _ in range(MAX_LOST - 1):
        assert ledger.take() == 7
        assert ledger.report(7, Outcome.NODE_LOST) is Action.RETRY
    assert ledger.history[7].strikes == 0
    ledger.take()
    assert ledger.report(7, Outcome.NODE_LOST, "no node") is Action.GIVE_UP
    assert ledger.given_up == {7: "no node"}


def test_a_failing_chunk_does_not_hold_up_the_others() -> None:
    ledger = Ledger.of([0, 1])
    ledger.take()
    ledger.report(0, Outcome.ERROR, "boom")
    assert [ledger.take(), ledger.take(), ledger.take()] == [1, 0, None]


@given(
    st.integers(0, 12),
    st.lists(st.sampled_from([Outcome.DONE, Outcome.DONE, Outcome.NODE_LOST, *FAULTS]), max_size=400),
    st.integers(1, 5),
)
def test_every_task_ends_once_whatever_happens(tasks: int, outcomes: list[Outcome], actors: int) -> None:
    ledger, ended, script = Ledger.of(range(tasks)), Counter(), iter(outcomes)
    running: list[object] = []
    while ledger.open:
        while len(running) < actors and (task := ledger.take()) is not None:
            running.append(task)
        assert set(running) == ledger.running
        task = running.pop(0)
        if ledger.report(task, next(script, Outcome.DONE)) is not Action.RETRY:
            ended[task] += 1
    hopeless = ledger.given_up_in_a_row >= MAX_HOPELESS
    assert set(ended.values()) <= {1}
    assert hopeless or ended == Counter(range(tasks))
    assert hopeless or ledger.done + len(ledger.given_up) == tasks


def test_chunks_that_fail_one_after_the_other_end_the_run() -> None:
    ledger = Ledger.of(range(10))
    for _ in range(MAX_HOPELESS * MAX_STRIKES):
        assert ledger.open
        ledger.report(ledger.take(), Outcome.ERROR, "disk full")
        ledger.waiting = deque(sorted(ledger.waiting, key=lambda task: -ledger.history.get(task, History()).strikes))
    assert not ledger.open
    assert len(ledger.waiting) == 10 - MAX_HOPELESS


def test_a_success_between_keeps_the_run_going() -> None:
    ledger = Ledger.of(range(10))
    ledger.given_up_in_a_row = MAX_HOPELESS - 1
    ledger.report(ledger.take(), Outcome.DONE)
    assert ledger.given_up_in_a_row == 0


def test_resume_does_what_is_missing_in_order() -> None:
    assert missing_chunks(6, [4, 0, 9]) == [1, 2, 3, 5]
    assert missing_chunks(2, [0, 1]) == []


@given(st.lists(st.text(min_size=1), unique=True, min_size=1), st.floats(0, 1))
def test_the_audit_chooses_by_id_whatever_the_chunking(ids: list[str], share: float) -> None:
    whole = {ids[i] for i in audit_positions(ids, share)}
    half = len(ids) // 2
    parts = {ids[:half][i] for i in audit_positions(ids[:half], share)}
    parts |= {ids[half:][i] for i in audit_positions(ids[half:], share)}
    assert whole == parts


def test_the_audit_takes_about_the_share_asked_for() -> None:
    ids = [f"test-{i:05d}" for i in range(25_000)]
    assert len(audit_positions(ids, 1.0)) == 25_000
    assert audit_positions(ids, 0.0) == []
    assert 180 < len(audit_positions(ids, 0.01)) < 320
