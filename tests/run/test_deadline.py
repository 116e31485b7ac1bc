"""One clock for a whole job: the deadline holds whatever the job is at, and what is committed stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ig_worker.errors import RunStoppedError
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline, Overdue
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps import evaluate, explain
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from tests.run.clocks import Clock
from tests.run.in_process import StandIn, explain_here


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(tmp_path: Path, tiny_models: dict[str, Path]) -> ExplainConfig:
    """4 rows in chunks of 2."""
    rows = "".join(json.dumps({"id": f"r{i}", "text": "good film", "label": 1}) + "\n" for i in range(4))
    (tmp_path / "reviews.jsonl").write_text(rows)
    model = str(tiny_models["distilbert"])
    return ExplainConfig(dataset=str(tmp_path / "reviews.jsonl"), model=model, chunk_rows=2, max_length=16, deadline=20)


def late(clock: Clock, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, taking a minute."""

    def slow(*arguments: Any, **more: Any) -> Any:
        clock.pass_(60)
        return function(*arguments, **more)

    return slow


@pytest.mark.parametrize("phase", ["find_model", "open_documents", "prepare", "_bind"])
def test_it_holds_before_the_first_actor(config, tmp_path: Path, clock: Clock, monkeypatch, phase: str) -> None:
    monkeypatch.setattr(explain, phase, late(clock, getattr(explain, phase)))
    with pytest.raises(RunStoppedError, match=r"--deadline of 20 s has passed; .*run the same command again") as found:
        explain_here(tmp_path / "run", config, Unwanted, deadline=Deadline(20, clock=clock))
    assert found.value.exit_code == 4
    monkeypatch.undo()
    assert explain_here(tmp_path / "run", config, StandIn).explained == 4  # and it goes on


def test_it_holds_while_it_is_not_clear_whether_another_driver_lives(config, tmp_path, clock, monkeypatch) -> None:
    @contextmanager
    def held(self: Lease, waiting: Callable[[str], None]) -> Iterator[Lease]:
        clock.pass_(60)
        waiting("seeing whether its last driver is alive")
        yield self

    monkeypatch.setattr(Lease, "held", held)
    with pytest.raises(RunStoppedError, match="--deadline of 20 s"):
        explain_here(tmp_path / "run", config, Unwanted, deadline=Deadline(20, clock=clock))


class Unwanted(StandIn):
    """Is not started any more."""

    def load(self) -> str:
        pytest.fail("the deadline has passed")


class NeverThere(InProcess):
    """Actors that never come: a minute passes at each look."""

    ready, actors = 0, 1

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @contextmanager
    def crew(self, *_: Any) -> Iterator[Any]:
        yield self

    def work(self, ledger: Any, order: Any, tick: Callable[[], None]) -> Iterator[Any]:
        self._clock.pass_(60)
        tick()
        pytest.fail("the deadline has passed")
        yield


@pytest.mark.parametrize("batch_tokens", [0, 512])
def test_it_holds_while_actors_start(config, tmp_path, clock, batch_tokens: int) -> None:
    with pytest.raises(RunStoppedError, match="passed; 0 of 2 chunks are done and kept; run the same command again"):
        explain_run(
            str(tmp_path / "run"),
            replace(config, batch_tokens=batch_tokens),
            Deadline(20, clock=clock),
            NeverThere(clock),
        )


@pytest.mark.parametrize(("step", "done"), [("measure_batch", 0), ("explain", 1), ("audit", 2)])
def test_it_holds_while_actors_work(config, tmp_path, clock, step: str, done: int) -> None:
    class Slow(StandIn):
        def audit(self, *_: Any) -> list[Any]:
            return []

    setattr(Slow, step, late(clock, getattr(Slow, step)))
    told = f"passed; {done} of 2 chunks are done and kept; run the same command again"
    with pytest.raises(RunStoppedError, match=told):
        explain_here(tmp_path / "run", replace(config, audit=0.5), Slow, deadline=Deadline(20, clock=clock))
    store = RunStore(str(tmp_path / "run"))
    assert list(store.results.commits()) == list(range(done))
    assert (store.manifest.existing()["state"], store.summary.read()["exit_code"]) == ("stopped", 4)


@pytest.mark.parametrize("phase", ["_actors", "read_curves"])
def test_it_holds_in_an_evaluation(config, tmp_path: Path, clock: Clock, monkeypatch, phase: str) -> None:
    explain_here(tmp_path / "run", config, StandIn)
    monkeypatch.setattr(evaluate, phase, late(clock, getattr(evaluate, phase)))
    with pytest.raises(RunStoppedError, match="--deadline of 20 s"):
        measure_faithfulness(str(tmp_path / "run"), EvaluateConfig(), Deadline(20, clock=clock), InProcess(Unwanted))


def test_what_does_not_look_at_the_clock_is_interrupted_and_the_end_is_written_down(config, tmp_path, monkeypatch):
    """As by the guard of a job, wherever it is: here while Ray hangs, and in the last look at the files."""

    def hang(*_: object) -> None:
        raise Overdue

    with pytest.raises(RunStoppedError, match=r"--deadline of 20 s has passed; 0 of 2 chunks are done and kept"):
        explain_here(tmp_path / "run", config, type("Hangs", (StandIn,), {"explain": hang}))
    monkeypatch.setattr(explain, "conclude", hang)
    with pytest.raises(RunStoppedError, match="--deadline of 20 s has passed"):
        explain_here(tmp_path / "run", config, StandIn)
    assert RunStore(str(tmp_path / "run")).summary.read()["exit_code"] == 4


def test_the_sooner_of_two_deadlines_counts(clock: Clock) -> None:
    whole = Deadline(100, clock=clock)
    clock.pass_(30)
    assert (whole.left, whole.sooner(None).left, whole.sooner(80).left, whole.sooner(20).left) == (70, 70, 70, 20)
    assert Deadline(None, clock=clock).sooner(5).left == 5
    with pytest.raises(RunStoppedError, match="--deadline of 20 s"):
        Deadline(20, clock=clock, started=0.0).check()
