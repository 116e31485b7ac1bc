"""The Ray layer, with Ray's own exceptions but no cluster: every error is an outcome, and none escapes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray import exceptions as rex

from ig_worker.errors import ModelError, RunStoppedError, StorageError
from ig_worker.run.dispatch import policy
from ig_worker.run.dispatch import pool as pool_module
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.policy import Action, Outcome
from ig_worker.run.dispatch.pool import MAX_FAILED_STARTS, Pool, outcome_of, own_error


def task_error(cause: Exception) -> rex.RayTaskError:
    return rex.RayTaskError("explain", "the traceback", cause)


RAY_ERRORS = [
    rex.ActorDiedError(),
    rex.ActorUnavailableError("gone", b"1" * 16),
    rex.NodeDiedError("gone"),
    rex.OutOfMemoryError("full"),
    rex.WorkerCrashedError(),
    rex.RaySystemError("odd"),
    rex.ActorUnschedulableError("never"),
    rex.RuntimeEnvSetupError("env"),
    rex.LocalRayletDiedError(),
    task_error(ValueError("boom")),
    task_error(StorageError("disk full")),
]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "FIRST_DELAY_S", 0.0)
    monkeypatch.setattr(
        pool_module.ray, "nodes", lambda: [{"NodeID": "n1", "Alive": True}, {"NodeID": "n2", "Alive": False}]
    )


@pytest.mark.parametrize(
    ("error", "node", "expected"),
    [
        (task_error(ValueError("boom")), "n1", Outcome.ERROR),
        (rex.ActorDiedError(), "n1", Outcome.ACTOR_DIED),
        (rex.ActorDiedError(), "n2", Outcome.NODE_LOST),
        (rex.ActorDiedError(), "n3", Outcome.NODE_LOST),
        (rex.ActorUnavailableError("gone", b"1" * 16), "n1", Outcome.NODE_LOST),
        (rex.NodeDiedError("gone"), "n1", Outcome.NODE_LOST),
        (rex.OutOfMemoryError("full"), "n1", Outcome.ACTOR_DIED),
    ],
)
def test_the_cause_of_a_failure_decides_whether_it_is_a_strike(error, node: str, expected: Outcome) -> None:
    assert outcome_of(error, node) is expected


def test_an_error_of_ours_is_found_inside_rays() -> None:
    assert str(own_error(task_error(StorageError("disk full")))) == "disk full"
    assert own_error(task_error(ValueError("boom"))) is None


ORDER = lambda task: ("explain", task)  # noqa: E731


class FakeRay:
    """Actors are numbers, references are pairs of actor and task; `results` scripts what `get` gives or raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, result: Callable[[Any], Any]) -> None:
        self.result, self.killed, self.spawned = result, [], 0
        for name in ("get", "wait", "kill"):
            monkeypatch.setattr(pool_module.ray, name, getattr(self, name))

    def spawn(self) -> Any:
        self.spawned += 1
        number = self.spawned
        ready = SimpleNamespace(remote=lambda: (number, "ready"))
        explain = SimpleNamespace(remote=lambda task: (number, task))
        return type("Actor", (), {"ready": ready, "explain": explain, "number": number})()

    def wait(self, references: list, **_: Any) -> tuple[list, list]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        value = self.result(reference)
        if isinstance(value, Exception):
            raise value
        return value

    def kill(self, actor: Any) -> None:
        self.killed.append(actor.number)

    def run(self, tasks: int, **limits: Any) -> tuple[Ledger, list]:
        ledger, pool = Ledger(range(tasks)), Pool(self.spawn, 2, **limits)
        return ledger, list(pool.work(ledger, ORDER, lambda: None))


@pytest.mark.parametrize("error", RAY_ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_costs_an_attempt_and_never_the_run(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    failed: list[Any] = []

    def result(reference: Any) -> Any:
        if reference[1] == "ready":
            return "cpu", "n1"
        if reference[1] == 1 and not failed:
            failed.append(reference)
            return error
        return "record"

    ledger, events = FakeRay(monkeypatch, result).run(4)
    assert ledger.done == 4
    assert [event.action for event in events].count(Action.RETRY) == 1
    assert all("\n" not in event.error for event in events)


@pytest.mark.parametrize("error", RAY_ERRORS, ids=lambda error: type(error).__name__)
def test_actors_that_cannot_start_end_the_run_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fake = FakeRay(monkeypatch, lambda _: error)
    with pytest.raises((RunStoppedError, StorageError)) as caught:
        fake.run(4)
    assert "\n" not in str(caught.value)
    assert fake.spawned <= MAX_FAILED_STARTS + 2


def test_a_model_that_cannot_be_loaded_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(monkeypatch, lambda _: task_error(ModelError("no such weights")))
    with pytest.raises(ModelError, match="no such weights"):
        fake.run(4)


def test_once_work_has_been_done_a_bad_start_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def result(reference: Any) -> Any:
        actor, what = reference
        if what == "ready":
            return task_error(StorageError("for a moment")) if actor == 3 else ("cpu", "n1")
        return rex.ActorDiedError() if (actor, what) == (2, 1) else "record"

    ledger, _ = FakeRay(monkeypatch, result).run(6)
    assert ledger.done == 6


def test_an_actor_that_takes_too_long_is_ended_and_its_task_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = [True]

    class Slow(FakeRay):
        def wait(self, references: list, **_: Any) -> tuple[list, list]:
            ready = [r for r in references if r[1] != 0 or not hung[0]]
            return ready[:1], []

    clock = iter(range(10_000))
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: next(clock))
    fake = Slow(monkeypatch, lambda reference: ("cpu", "n1") if reference[1] == "ready" else "record")
    ledger, pool = Ledger(range(2)), Pool(fake.spawn, 2, timeout_s=5)
    outcomes = []
    for event in pool.work(ledger, ORDER, lambda: None):
        outcomes.append(event.outcome)
        hung[0] = hung[0] and event.outcome is not Outcome.TIMEOUT
    assert ledger.done == 2
    assert outcomes.count(Outcome.TIMEOUT) == 1
    assert len(fake.killed) >= 1


def test_a_second_copy_does_not_outlive_the_work_that_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneHangs(FakeRay):
        def wait(self, references: list, **_: Any) -> tuple[list, list]:
            ready = [r for r in references if r != (1, 0)]  # the first task, where it was tried first
            return ready[:1], []

    clock = iter(range(0, 1_000_000, 5))
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(pool_module.time, "sleep", lambda _: None)
    fake = OneHangs(monkeypatch, lambda reference: ("cpu", "n1") if reference[1] == "ready" else "record")
    ledger, pool = Ledger(range(6)), Pool(fake.spawn, 2)
    assert len([e for e in pool.work(ledger, ORDER, lambda: None) if e.action is Action.FINISH]) == 6
    assert fake.killed == [1]
    tasks = [event.task for event in pool.work(Ledger(["other"]), ORDER, lambda: None)]
    assert tasks == ["other"]


def test_an_actor_that_never_becomes_ready_is_started_anew_and_at_last_the_run_stops(monkeypatch) -> None:
    class NeverReady(FakeRay):
        def wait(self, references: list, **_: Any) -> tuple[list, list]:
            return [], references

    clock = iter(range(0, 10**7, 100))
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: next(clock))
    fake = NeverReady(monkeypatch, lambda _: "record")
    with pytest.raises(RunStoppedError, match="no actor was ready within 45 minutes"):
        fake.run(4)
    assert fake.spawned > 2
    assert fake.killed == list(range(1, fake.spawned - 1))


@pytest.mark.parametrize(("least", "tasks", "stops"), [(2, 1000, True), (1, 1000, False), (2, 20, False)])
def test_a_run_starts_on_its_first_actor_and_stops_where_fewer_than_min_ever_come(
    monkeypatch, least: int, tasks: int, stops: bool
) -> None:
    class OneNode(FakeRay):
        def wait(self, references: list, **_: Any) -> tuple[list, list]:
            return [r for r in references if r[0] == 1][:1], []

    clock = iter(range(0, 10**9, 20))
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: next(clock))
    fake = OneNode(monkeypatch, lambda reference: ("cpu", "n1") if reference[1] == "ready" else "record")
    ledger, pool = Ledger(range(tasks)), Pool(fake.spawn, 3, timeout_s=1e9, least=least)
    events = pool.work(ledger, ORDER, lambda: None)
    if stops:
        with pytest.raises(RunStoppedError, match="only 1 of at least 2 actors were ready within 45 minutes"):
            list(events)
        assert 0 < ledger.done < tasks
    else:
        assert len(list(events)) == ledger.done == tasks


def test_results_that_are_there_are_taken_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Ready(FakeRay):
        def wait(self, references: list, num_returns: int = 1, **_: Any) -> tuple[list, list]:
            calls.append(len(references))
            return references[:num_returns], references[num_returns:]

    fake = Ready(monkeypatch, lambda reference: ("cpu", "n1") if reference[1] == "ready" else "record")
    ledger, pool = Ledger(range(600)), Pool(fake.spawn, 100)
    events = list(pool.work(ledger, ORDER, lambda: None))
    assert [event.task for event in events] == list(range(600))
    assert len(calls) < 60


def test_an_actor_is_told_what_it_gets_next_and_one_that_is_gone_holds_nothing_back(monkeypatch) -> None:
    told: list[tuple[int, Any, Any]] = []

    class Hinted(FakeRay):
        def spawn(self) -> Any:
            actor = super().spawn()

            def remote(task: Any, ahead: Any = None) -> Any:
                told.append((actor.number, task, ahead))
                return actor.number, task

            actor.explain = SimpleNamespace(remote=remote)
            return actor

    def result(reference: Any) -> Any:
        if reference[1] == "ready":
            return "cpu", "n1"
        return rex.ActorDiedError() if reference == (1, 2) else "record"

    fake = Hinted(monkeypatch, result)
    ledger, pool = Ledger(range(6), hints=True), Pool(fake.spawn, 1)
    events = list(pool.work(ledger, ORDER, lambda: None))
    assert told[:3] == [(1, 0, 1), (1, 1, 2), (1, 2, 3)]
    assert told[3:] == [(2, 4, 5), (2, 5, None), (2, 3, None), (2, 2, None)], "3 may be what ended the first actor"
    assert [event.task for event in events if event.action is Action.FINISH] == [0, 1, 4, 5, 3, 2]
