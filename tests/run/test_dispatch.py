"""Dispatch decisions: pure, so neither Ray nor TensorFlow is needed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_worker.run.chunk.sampling import audit_positions
from ig_worker.run.dispatch.ledger import MAX_HOPELESS, Ledger
from ig_worker.run.dispatch.policy import (
    LEAST_LIMIT_S,
    LEAST_SLOW_S,
    LONGEST_DELAY_S,
    MAX_LOST,
    MAX_STRIKES,
    PACE,
    SEARCH_ENDS,
    TRANSITIONS,
    UNKNOWN_LIMIT_S,
    Action,
    History,
    Outcome,
    State,
    delay,
    next_action,
    pace_limit,
)
from ig_worker.run.dispatch.row_search import BLAMED, MAX_DEATHS, Control, Part, Probe, Search
from ig_worker.run.dispatch.seats import SICK
from ig_worker.run.steps.preflight import missing_chunks, over_budget

FAULTS = [Outcome.ERROR, Outcome.ACTOR_DIED, Outcome.TIMEOUT]


def struck(kind: Outcome, *nodes: str, searched: bool = False) -> History:
    return History(strikes=[(kind, node) for node in nodes], searched=searched)


def test_a_chunk_is_tried_again_until_its_third_strike() -> None:
    actions = [next_action(Outcome.ERROR, struck(Outcome.ERROR, *"abc"[:n])) for n in range(1, MAX_STRIKES + 1)]
    assert actions == [Action.RETRY, Action.RETRY, Action.GIVE_UP]


@pytest.mark.parametrize("kind", [Outcome.ACTOR_DIED, Outcome.TIMEOUT])
def test_what_ends_or_hangs_its_process_is_looked_for_once(kind: Outcome) -> None:
    assert next_action(kind, struck(kind, "a", "b", "c")) is Action.BISECT
    assert next_action(kind, struck(kind, "a", "b", "c", searched=True)) is Action.GIVE_UP


def test_the_delay_doubles_and_has_an_end() -> None:
    assert [delay(struck(Outcome.ERROR, *"a" * n)) for n in (1, 2, 3)] == [1, 2, 4]
    assert delay(History(lost=MAX_LOST)) == LONGEST_DELAY_S


def test_a_lost_node_is_no_strike_but_has_its_own_limit() -> None:
    ledger, now = Ledger([7]), 0.0
    for _ in range(MAX_LOST - 1):
        now += LONGEST_DELAY_S
        assert ledger.take(now) == 7
        assert ledger.report(7, Outcome.NODE_LOST, now) is Action.RETRY
    assert ledger.history[7].strikes == []
    ledger.take(now + LONGEST_DELAY_S)
    assert ledger.report(7, Outcome.NODE_LOST, now, error="no node") is Action.GIVE_UP
    assert ledger.given_up == {7: "no node"}


def test_what_is_over_stays_so_and_every_other_state_can_end() -> None:
    assert TRANSITIONS.keys() == set(State)
    assert TRANSITIONS[State.OVER] == {}
    assert set(TRANSITIONS[State.OPEN]) == set(Action) - {Action.IGNORE}
    ways_out = [TRANSITIONS[State.OPEN], TRANSITIONS[State.SEARCHED], SEARCH_ENDS]
    ending = [{action for action in leads if leads[action] is State.OVER} for leads in ways_out]
    assert ending == [{Action.FINISH, Action.GIVE_UP}, {Action.FINISH}, {Action.GIVE_UP}]


def test_a_failing_chunk_waits_and_does_not_hold_up_the_others() -> None:
    ledger = Ledger([0, 1])
    ledger.take(0.0)
    ledger.report(0, Outcome.ERROR, 0.0, error="boom")
    assert [ledger.take(0.5), ledger.take(0.5)] == [1, None]
    assert ledger.take(1.0) == 0


def test_a_chunk_is_tried_elsewhere_than_where_it_failed() -> None:
    ledger = Ledger([0])
    ledger.take(0.0, "a", ["a", "b"])
    ledger.report(0, Outcome.ACTOR_DIED, 0.0, "a")
    assert ledger.take(9.0, "a", ["a", "b"]) is None
    assert ledger.take(9.0, "a", ["a"]) == 0, "there is no other node"
    ledger.report(0, Outcome.ACTOR_DIED, 9.0, "a")
    assert ledger.take(99.0, "b", ["a", "b"]) == 0


def test_a_node_that_fails_chunk_after_chunk_is_left_out_and_not_believed() -> None:
    ledger = Ledger(range(SICK + 3))
    good = ledger.take(0.0, "well", ["well", "sick"])
    ledger.report(good, Outcome.DONE, 1.0, "well")
    for now in range(SICK):
        assert ledger.sick == set()
        task = ledger.take(float(now), "sick", ["well", "sick"])
        ledger.report(task, Outcome.ACTOR_DIED, float(now), "sick")
        if now == 0:
            ledger.report(ledger.take(0.0, "well", ["well", "sick"]), Outcome.DONE, 0.5, "well")
    assert ledger.sick == {"sick"}
    assert [history.strikes for history in ledger.history.values()] == [[]] * SICK
    assert ledger.take(99.0, "sick", ["well", "sick"]) is None
    assert ledger.take(99.0, "well", ["well", "sick"]) is not None
    assert ledger.take(99.0, "sick", ["sick"]) is not None, "better than nothing"


def test_a_node_is_not_sick_while_no_other_does_better() -> None:
    ledger = Ledger(range(SICK))
    for now in range(SICK):
        ledger.report(ledger.take(float(now), "a"), Outcome.ACTOR_DIED, float(now), "a")
    assert ledger.sick == set()


def test_a_storage_that_is_away_makes_no_node_sick() -> None:
    """Every attempt raises, everywhere; a lucky one between does not turn the others into culprits."""
    ledger, nodes = Ledger(range(40)), ["a", "b", "c"]
    ledger.report(ledger.take(0.0, "c", nodes), Outcome.DONE, 1.0, "c")
    for now in range(2, 12):
        for node in nodes:
            task = ledger.take(float(now), node, nodes)
            ledger.report(task, Outcome.DONE if (now, node) == (5, "c") else Outcome.ERROR, float(now), node)
    assert ledger.sick == set()


def test_a_sick_node_that_is_all_there_is_does_not_try_for_ever() -> None:
    ledger, now, tries = Ledger(range(2)), 0.0, 0
    ledger.sick.add("s")
    while ledger.open:
        now, tries = now + LONGEST_DELAY_S, tries + 1
        assert tries < 100
        ledger.report(ledger.take(now, "s", ["s"]), Outcome.ACTOR_DIED, now, "s")
    assert set(ledger.given_up) == {0, 1}
    assert tries == 2 * MAX_LOST


def test_a_second_copy_that_makes_it_ends_the_search_for_its_rows() -> None:
    ledger = Ledger(range(4), lambda _: 4)
    done_in(ledger, 1.0, 3)
    now = 0.0
    for node in "ab":
        ledger.take(now, node, "abcd")
        ledger.report(3, Outcome.ACTOR_DIED, now, node)
        now += 50.0
    assert ledger.take(now, "c", "abcd") == 3
    assert ledger.take(now + 50, "d", "abcd") == 3
    assert ledger.report(3, Outcome.ACTOR_DIED, now + 51, "c") is Action.BISECT
    control = ledger.take(now + 52, "c", "abcd")
    assert control == Control(3, "c")
    ledger.report(control, Outcome.DONE, now + 52, "c")
    probe = ledger.take(now + 52, "c", "abcd")
    assert isinstance(probe, Probe)
    assert ledger.report(3, Outcome.DONE, now + 53, "d") is Action.FINISH
    assert not ledger.open
    assert ledger.report(probe, Outcome.DONE, now + 54, "c") is Action.IGNORE
    assert (ledger.done, list(ledger.waiting), ledger.given_up) == (4, [], {})


class World:
    """Nodes on which a ledger's tasks end as they would.

    Args:
        rows: of a chunk.
        poison: chunk -> rows that end their process, wherever they are.
        kills: whether a task ends its process on a node, for other reasons: ``kills(node, task)``.
    """

    def __init__(self, rows: int, poison: dict[int, set[int]], kills: Callable[[str, object], bool] = lambda *_: False):
        self.rows, self.poison, self.kills = rows, poison, kills
        self.tasks: list[tuple[str, object]] = []

    def dies(self, ledger: Ledger, node: str, task: object) -> bool:
        if self.kills(node, task):
            return True
        if isinstance(task, Control):
            return False
        chunk, start, stop = (task.chunk, task.start, task.stop) if isinstance(task, Probe) else (task, 0, self.rows)
        touched = set(range(start, stop)) - set(ledger.guilty.get(task, ()))
        return bool(self.poison.get(chunk, set()) & touched)

    def play(self, ledger: Ledger, nodes: list[str]) -> None:
        """Work the ledger off, all nodes at once."""
        now = 0.0
        while ledger.open:
            now += 1.0
            taken = [(node, task) for node in nodes if (task := ledger.take(now, node, nodes)) is not None]
            for node, task in taken:
                dead = self.dies(ledger, node, task)
                ledger.report(task, Outcome.ACTOR_DIED if dead else Outcome.DONE, now, node, "died" if dead else "")
            self.tasks += taken
            assert len(self.tasks) < 10_000


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.dictionaries(st.integers(0, 5), st.sets(st.integers(0, 39), max_size=4), max_size=3),
    st.integers(1, 3),
)
def test_rows_that_end_their_process_are_found_and_no_others(
    rows: int, chunks: int, poison: dict[int, set[int]], nodes: int
) -> None:
    poison = {chunk: {row for row in bad if row < rows} for chunk, bad in poison.items() if chunk < chunks}
    poison = {chunk: bad for chunk, bad in poison.items() if bad}
    ledger = Ledger(range(chunks), lambda _: rows)
    World(rows, poison).play(ledger, [f"n{i}" for i in range(nodes)])
    assert ledger.given_up == {}
    assert ledger.done == chunks
    assert {chunk: set(found) for chunk, found in ledger.guilty.items()} == poison


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 12),
    st.dictionaries(st.integers(0, 11), st.sets(st.integers(0, 19), max_size=3), max_size=3),
    st.integers(1, 4),
    st.sets(st.integers(0, 3)),
    st.sampled_from(["all", "all but the known-good text", "now and then"]),
    st.randoms(use_true_random=False),
)
def test_no_row_is_blamed_for_its_seat(rows, chunks, poison, nodes, bad, fault, chance) -> None:
    """Whatever the bad seats do, as long as there is a good one."""
    names = [f"n{i}" for i in range(nodes)]
    broken = {f"n{i}" for i in bad} & set(names)
    if len(broken) == nodes:
        broken.pop()

    def kills(node: str, task: object) -> bool:
        if node not in broken or (fault == "now and then" and chance.random() < 0.5):
            return False
        return not (isinstance(task, Control) and fault == "all but the known-good text")

    poison = {chunk: {row for row in bad if row < rows} for chunk, bad in poison.items() if chunk < chunks}
    ledger = Ledger(range(chunks), lambda _: rows)
    World(rows, poison, kills).play(ledger, names)
    for chunk, found in ledger.guilty.items():
        innocent = set(found) - poison.get(chunk, set())
        assert not innocent or len(broken) > 1, "two bad seats that explain the known-good text agree about a row"


def test_a_row_has_to_end_its_process_twice_by_itself_and_elsewhere_where_it_can() -> None:
    ledger, world = Ledger([0], lambda _: 2), World(2, {0: {1}})
    world.play(ledger, ["a", "b"])
    assert sorted(node for node, task in world.tasks if task == Probe(0, 1, 2)) == ["a", "b"]
    assert BLAMED == 2
    assert ledger.guilty == {0: (1,)}


def test_rows_are_tried_only_where_something_has_worked_since_the_last_process_ended() -> None:
    ledger, world = Ledger([0], lambda _: 8), World(8, {0: {5}})
    world.play(ledger, ["a"])
    ended = False
    for _, task in world.tasks:
        assert not (ended and isinstance(task, Probe))
        ended = world.dies(ledger, "a", task) and isinstance(task, Part)
    assert ledger.guilty == {0: (5,)}


def test_a_chunk_whose_every_row_ends_its_process_is_given_up_at_last() -> None:
    ledger, world = Ledger([0, 1], lambda _: 500), World(500, {0: set(range(500))})
    world.play(ledger, ["a", "b"])
    assert (ledger.done, list(ledger.given_up), ledger.guilty) == (1, [0], {})
    assert sum(isinstance(task, Probe) for _, task in world.tasks) <= MAX_DEATHS + 2


def test_a_single_node_that_ends_whatever_it_does_quarantines_nothing() -> None:
    ledger = Ledger([0], lambda _: 8)
    World(8, {}, lambda *_: True).play(ledger, ["a"])
    assert ledger.guilty == {}
    assert ledger.given_up == {0: "died, while looking for the row to blame"}


def test_a_sick_node_among_healthy_ones_quarantines_nothing() -> None:
    ledger = Ledger(range(30), lambda _: 8)
    World(8, {}, lambda node, _: node == "b").play(ledger, ["a", "b", "c"])
    assert (ledger.done, ledger.given_up, ledger.guilty) == (30, {}, {})


def test_a_worker_that_raises_has_found_nothing_of_a_row() -> None:
    ledger, probe = Ledger([0], lambda _: 1), Probe(0, 0, 1)
    for now in (0.0, 50.0, 100.0):
        ledger.report(ledger.take(now, "a"), Outcome.ACTOR_DIED, now, "a")
    ledger.report(ledger.take(200.0, "a"), Outcome.DONE, 200.0, "a")
    assert ledger.take(200.0, "a") == probe
    assert ledger.report(probe, Outcome.ERROR, 201.0, "a", "storage away") is Action.RETRY
    assert ledger.take(300.0, "a") == probe
    assert ledger.report(probe, Outcome.ACTOR_DIED, 301.0, "a") is Action.BISECT
    assert ledger.guilty == {}
    assert ledger.open


def test_what_a_seat_said_of_a_row_is_taken_back_when_it_turns_out_sick() -> None:
    search = Search(Probe(0, 0, 1))
    assert search.died(Probe(0, 0, 1), "a") == [Probe(0, 0, 1)]
    assert search.died(Probe(0, 0, 1), "b") == []
    assert (search.guilty, search.open) == ((0,), set())
    assert search.take_back("b") == [Probe(0, 0, 1)]
    assert (search.guilty, search.open) == ((), {Probe(0, 0, 1)})
    search.survived(Probe(0, 0, 1))
    assert (search.guilty, search.open) == ((), set())


def test_the_time_a_chunk_may_take_is_learned_from_the_others() -> None:
    assert pace_limit([1.0, 1.0]) is None
    assert pace_limit([1.0, 1.0, 1.0]) == LEAST_LIMIT_S
    assert pace_limit([60.0, 50.0, 70.0]) == PACE * 60


def test_nothing_is_learned_from_tasks_that_are_not_alike() -> None:
    ledger = Ledger(range(4), alike=False)
    done_in(ledger, 1.0, 3)
    assert ledger.limit == UNKNOWN_LIMIT_S
    assert ledger.take(0.0, "a") == 3
    assert ledger.take(1e6, "b") is None


def done_in(ledger: Ledger, seconds: float, count: int) -> None:
    for _ in range(count):
        task = ledger.take(0.0)
        ledger.report(task, Outcome.DONE, seconds)


def test_an_idle_actor_tries_the_slowest_chunk_too_and_the_first_result_counts() -> None:
    ledger = Ledger(range(5))
    done_in(ledger, 10.0, 3)
    assert [ledger.take(100.0, "a"), ledger.take(105.0, "b")] == [3, 4]
    assert ledger.take(119.0, "c") is None, "not slow yet"
    assert ledger.take(121.0, "c") == 3
    assert ledger.take(121.0, "d") is None, "one copy is enough, and 4 is not slow"
    assert ledger.report(3, Outcome.DONE, 122.0, "c") is Action.FINISH
    assert ledger.report(4, Outcome.DONE, 122.0, "b") is Action.FINISH
    assert not ledger.open, "the other copy is of no interest"
    assert ledger.report(3, Outcome.DONE, 150.0, "a") is Action.IGNORE
    assert ledger.done == 5


def test_a_copy_that_fails_leaves_its_chunk_to_the_other() -> None:
    ledger = Ledger(range(4))
    done_in(ledger, 1.0, 3)
    assert ledger.take(10.0, "a") == 3
    assert ledger.take(10.0 + LEAST_SLOW_S, "b") is None, "too short to gain anything"
    assert ledger.take(11.0 + LEAST_SLOW_S, "b") == 3
    assert ledger.report(3, Outcome.ACTOR_DIED, 25.0, "a") is Action.RETRY
    assert list(ledger.waiting) == []
    assert ledger.report(3, Outcome.DONE, 26.0, "b") is Action.FINISH
    assert (ledger.done, ledger.history) == (4, {})


@given(
    st.integers(0, 12),
    st.lists(st.sampled_from([Outcome.DONE, Outcome.DONE, Outcome.NODE_LOST, *FAULTS]), max_size=400),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_every_task_ends_once_whatever_happens(tasks: int, outcomes: list[Outcome], actors: int, nodes: int) -> None:
    ledger, ended, script = Ledger(range(tasks), lambda _: 4), Counter(), iter(outcomes)
    running: list[tuple[object, str]] = []
    names, now, chance = [f"n{i}" for i in range(min(nodes, actors))], 0.0, random.Random(len(outcomes))
    while ledger.open:
        now += 7.0
        for actor in range(actors - len(running)):
            node = names[actor % len(names)]
            task = ledger.take(now, node, names)
            if task is not None:
                running.append((task, node))
        if not running:
            continue
        task, node = running.pop(chance.randrange(len(running)))
        action = ledger.report(task, next(script, Outcome.DONE), now, node)
        if not isinstance(task, Part) and action in (Action.FINISH, Action.GIVE_UP):
            ended[task] += 1
    hopeless = ledger.given_up_in_a_row >= MAX_HOPELESS
    assert set(ended.values()) <= {1}
    assert hopeless or ledger.done + len(ledger.given_up) == tasks
    assert hopeless or set(ended) | set(ledger.given_up) == set(range(tasks))


def test_chunks_that_fail_one_after_the_other_end_the_run() -> None:
    ledger, now = Ledger(range(10)), 0.0
    while ledger.open:
        now += LONGEST_DELAY_S
        ledger.report(ledger.take(now), Outcome.ERROR, now, error="disk full")
    assert len(ledger.given_up) == MAX_HOPELESS
    assert len(ledger.waiting) == 10 - MAX_HOPELESS


def test_a_success_between_keeps_the_run_going() -> None:
    ledger = Ledger(range(10))
    ledger.given_up_in_a_row = MAX_HOPELESS - 1
    ledger.report(ledger.take(0.0), Outcome.DONE, 1.0)
    assert ledger.given_up_in_a_row == 0


def test_resume_does_what_is_missing_in_order() -> None:
    assert missing_chunks(6, [4, 0, 9]) == [1, 2, 3, 5]
    assert missing_chunks(2, [0, 1]) == []


@pytest.mark.parametrize(
    ("quarantined", "budget", "over"),
    [(5, "5%", False), (6, "5%", True), (0, "0", False), (1, "0", True), (7, "7", False)],
)
def test_the_budget_is_a_share_of_all_rows_or_a_number(quarantined: int, budget: str, over: bool) -> None:
    assert over_budget(quarantined, 100, budget) is over


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


def test_the_end_of_a_chunk_looks_at_no_other_chunk() -> None:
    compared = 0

    class Chunk:
        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            return self.number

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

    ledger = Ledger([Chunk(number) for number in range(500)])
    while (task := ledger.take(0.0)) is not None:
        ledger.report(task, Outcome.DONE)
    assert ledger.done == 500
    assert compared < 500
