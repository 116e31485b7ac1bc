"""One clock for a whole job: the deadline holds whatever the job is at, and what is committed stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ig_worker.errors import RunStoppedError
from ig_worker.run.chunk.tables import quarantine_table
from ig_worker.run.config import EvaluateConfig, ExplainConfig
from ig_worker.run.deadline import Deadline, Overdue
from ig_worker.run.dispatch import metrics
from ig_worker.run.steps import evaluate, explain
from ig_worker.run.steps.evaluate import evaluate_run
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.steps.explain_state import Run
from ig_worker.run.store.lease import Lease
from ig_worker.run.store.run_store import RunStore
from tests.run.clocks import Clock
from tests.run.test_store import explained


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


def commit(run: Run, index: int) -> None:
    table, _ = run.store.read_chunk(index)
    ids = table.column("id").to_pylist()
    run.store.commit(index, explained(*ids), quarantine_table(index, table, {}), run.mark)


def late(clock: Clock, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, taking a minute."""

    def slow(*arguments: Any, **more: Any) -> Any:
        clock.pass_(60)
        return function(*arguments, **more)

    return slow


@pytest.mark.parametrize("phase", ["find_model", "open_documents", "prepare", "_bind"])
def test_it_holds_before_the_first_actor(config, tmp_path: Path, clock: Clock, monkeypatch, phase: str) -> None:
    monkeypatch.setattr(explain, phase, late(clock, getattr(explain, phase)))
    monkeypatch.setattr(explain, "_run_pool", lambda run: pytest.fail("the deadline has passed"))
    with pytest.raises(RunStoppedError, match=r"--deadline of 20 s has passed; .*run the same command again") as found:
        explain_run(str(tmp_path / "run"), config, Deadline(20, clock=clock))
    assert found.value.exit_code == 4
    monkeypatch.undo()
    monkeypatch.setattr(explain, "_run_pool", lambda run: [commit(run, index) for index in run.todo])
    assert explain_run(str(tmp_path / "run"), config).explained == 4  # and it goes on


def test_it_holds_while_it_is_not_clear_whether_another_driver_lives(config, tmp_path, clock, monkeypatch) -> None:
    @contextmanager
    def held(self: Lease, waiting: Callable[[str], None]) -> Iterator[Lease]:
        clock.pass_(60)
        waiting("seeing whether its last driver is alive")
        yield self

    monkeypatch.setattr(Lease, "held", held)
    with pytest.raises(RunStoppedError, match="--deadline of 20 s"):
        explain_run(str(tmp_path / "run"), config, Deadline(20, clock=clock))


class Pool:
    """Actors that never come: a minute passes at each look."""

    ready, actors = 0, 1

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def work(self, ledger: Any, call: Any, tick: Callable[[], None]) -> Iterator[Any]:
        self._clock.pass_(60)
        tick()
        pytest.fail("the deadline has passed")
        yield

    def close(self) -> None:
        pass


@pytest.mark.parametrize("step", ["_measure_batch", "_explain", "_audit"])
def test_it_holds_while_actors_start_and_work(config, tmp_path, clock, monkeypatch, step: str) -> None:
    quiet = SimpleNamespace(state=lambda *_: None)
    monkeypatch.setattr(metrics, "step_metrics", lambda *_: nullcontext(quiet))

    def work(run: Run) -> None:
        commit(run, 0)
        run.totals.chunks += 1
        getattr(explain, step)(run, Pool(clock))

    monkeypatch.setattr(explain, "_run_pool", work)
    with pytest.raises(RunStoppedError, match="passed; 1 of 2 chunks are done and kept; run the same command again"):
        explain_run(str(tmp_path / "run"), replace(config, audit=0.5), Deadline(20, clock=clock))
    store = RunStore(str(tmp_path / "run"))
    assert (list(store.commits()), store.manifest()["state"], store.read_summary()["exit_code"]) == ([0], "stopped", 4)


@pytest.mark.parametrize("phase", ["_actors_and_results", "read_evaluation"])
def test_it_holds_in_an_evaluation(config, tmp_path: Path, clock: Clock, monkeypatch, phase: str) -> None:
    monkeypatch.setattr(explain, "_run_pool", lambda run: [run.bind(512), *(commit(run, index) for index in run.todo)])
    explain_run(str(tmp_path / "run"), config)
    monkeypatch.setattr(evaluate, phase, late(clock, getattr(evaluate, phase)))
    monkeypatch.setattr(evaluate, "_run_pool", lambda *_: pytest.fail("the deadline has passed"))
    with pytest.raises(RunStoppedError, match="--deadline of 20 s"):
        evaluate_run(str(tmp_path / "run"), EvaluateConfig(), Deadline(20, clock=clock))


def test_what_does_not_look_at_the_clock_is_interrupted_and_the_end_is_written_down(config, tmp_path, monkeypatch):
    """As by the guard of a job, wherever it is: here while Ray hangs, and in the last look at the files."""

    def hang(run: Run) -> None:
        raise Overdue

    monkeypatch.setattr(explain, "_run_pool", hang)
    with pytest.raises(RunStoppedError, match=r"--deadline of 20 s has passed; 0 of 2 chunks are done and kept"):
        explain_run(str(tmp_path / "run"), config)
    monkeypatch.setattr(explain, "_run_pool", lambda run: [commit(run, index) for index in run.todo])
    monkeypatch.setattr(explain, "conclude", hang)
    with pytest.raises(RunStoppedError, match="--deadline of 20 s has passed"):
        explain_run(str(tmp_path / "run"), config)
    assert RunStore(str(tmp_path / "run")).read_summary()["exit_code"] == 4


def test_the_sooner_of_two_deadlines_counts(clock: Clock) -> None:
    whole = Deadline(100, clock=clock)
    clock.pass_(30)
    assert (whole.left, whole.sooner(None).left, whole.sooner(80).left, whole.sooner(20).left) == (70, 70, 70, 20)
    assert Deadline(None, clock=clock).sooner(5).left == 5
    with pytest.raises(RunStoppedError, match="--deadline of 20 s"):
        Deadline(20, clock=clock, started=0.0).check()
