"""A night whose evaluation fails or comes too late, or in which something happens that nobody thought of."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ig_worker.errors import RunStoppedError
from ig_worker.insight.night import run as night_module
from ig_worker.insight.night.run import run_night
from ig_worker.insight.night.settings import Night, NightConfig
from ig_worker.insight.thresholds import Thresholds
from ig_worker.models.files import find_model
from ig_worker.run.config import ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.steps import explain as driver
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from tests.run.clocks import Clock
from tests.run.in_process import explain_run_here


@pytest.fixture
def explain(tmp_path: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> ExplainConfig:
    """Of four rows, explained in this process."""
    monkeypatch.setattr(night_module, "explain_run", explain_run_here)
    rows = [{"id": f"r{i}", "text": f"a {word} film", "label": i % 2} for i, word in enumerate(["good", "bad"] * 2)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ExplainConfig(
        dataset=str(tmp_path / "rows.jsonl"), model=str(tiny_models["distilbert"]), chunk_rows=2, max_length=16,
        method="gausslegendre", n_steps=2, batch_tokens=512,
    )  # fmt: skip


def night(folder: Path, explain: ExplainConfig, clock: Callable[[], float] = time.monotonic, **changes: Any) -> Night:
    config = NightConfig(**{"runs": str(folder / "runs"), "line": "imdb", "evaluate": False} | changes)
    deadline = Deadline(config.deadline, clock=clock)
    return run_night(config, explain, Thresholds(), lambda _: None, datetime.date(2026, 11, 24), deadline=deadline)


def test_an_evaluation_that_fails_is_a_warning(tmp_path: Path, explain, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RunStoppedError("the evaluation failed: disk full")

    monkeypatch.setattr(night_module, "measure_faithfulness", fail)
    done = night(tmp_path, explain, evaluate=True)
    assert (done.exit_code, done.warnings) == (0, ["faithfulness is not known: the evaluation failed: disk full"])
    assert "  warning: faithfulness is not known" in done.text()
    assert RunStore(str(tmp_path / "runs" / done.run)).summary.read()["night"]["warnings"] == done.warnings
    assert (tmp_path / "runs" / done.run / "report" / "index.html").exists()


def test_a_deadline_in_the_evaluation_costs_only_the_evaluation(tmp_path: Path, explain, monkeypatch) -> None:
    night(tmp_path, explain)  # so that nothing but the evaluation is left to do
    given: list[float] = []
    monkeypatch.setattr(night_module, "measure_faithfulness", lambda *_: given.append(_[2].left))
    clock = Clock()
    monkeypatch.setattr(night_module, "verify_run", lambda store: clock.pass_(1) or verify_run(store))
    for limit in (600.0, 0.5):
        done = night(tmp_path, explain, clock=clock, evaluate=True, deadline=limit)
        assert done.exit_code == 0
        assert done.report is not None
    assert given == [599.0]  # the second deadline has passed by then
    assert done.warnings == [
        "faithfulness is not known: --deadline of 0.5 s has passed; jobs.evaluate on the run makes up for it"
    ]


def test_a_night_has_one_clock_from_its_start(tmp_path: Path, explain, monkeypatch) -> None:
    clock = Clock()
    monkeypatch.setattr(driver, "find_model", lambda *model, **more: clock.pass_(30) or find_model(*model, **more))
    done = night(tmp_path, explain, clock=clock, deadline=20.0)
    assert (done.exit_code, done.reasons) == (
        4,
        ["--deadline of 20 s has passed; run the same command again to resume"],
    )


def test_a_fault_that_nobody_thought_of_is_told_and_recorded(tmp_path: Path, explain, monkeypatch) -> None:
    monkeypatch.setattr(night_module, "write_report", lambda *_: {}["no such key"])
    told: list[dict[str, str]] = []
    monkeypatch.setattr(night_module, "post", lambda _, content: told.append(content))
    done = night(tmp_path, explain, webhook="http://localhost/hook")
    assert (done.exit_code, done.reasons) == (4, ["unexpected KeyError: 'no such key'"])
    assert "unexpected KeyError" in told[0]["text"]
