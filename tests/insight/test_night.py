"""A night whose evaluation fails or comes too late, or in which something happens that nobody thought of."""

from __future__ import annotations

import datetime
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ig_worker.errors import RunStoppedError
from ig_worker.insight import night as night_module
from ig_worker.insight.night import Night, NightConfig, run_night
from ig_worker.insight.night_rules import Thresholds
from ig_worker.run import driver
from ig_worker.run.config import ExplainConfig
from ig_worker.run.store import RunStore
from tests.run.in_process import shared_worker, work


@pytest.fixture
def explain(tmp_path: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> ExplainConfig:
    """Of four rows, explained in this process."""
    monkeypatch.setattr(driver, "_run_pool", partial(work, worker_of=shared_worker))
    rows = [{"id": f"r{i}", "text": f"a {word} film", "label": i % 2} for i, word in enumerate(["good", "bad"] * 2)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ExplainConfig(
        dataset=str(tmp_path / "rows.jsonl"), model=str(tiny_models["distilbert"]), chunk_rows=2, max_length=16,
        method="gausslegendre", n_steps=2, batch_tokens=512,
    )  # fmt: skip


def night(folder: Path, explain: ExplainConfig, **changes: Any) -> Night:
    config = NightConfig(**{"runs": str(folder / "runs"), "line": "imdb", "evaluate": False} | changes)
    return run_night(config, explain, Thresholds(), lambda _: None, datetime.date(2026, 11, 24))


def test_an_evaluation_that_fails_is_a_warning(tmp_path: Path, explain, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RunStoppedError("the evaluation failed: disk full")

    monkeypatch.setattr(night_module, "evaluate_run", fail)
    done = night(tmp_path, explain, evaluate=True)
    assert (done.exit_code, done.warnings) == (0, ["faithfulness is not known: the evaluation failed: disk full"])
    assert "  warning: faithfulness is not known" in done.text()
    assert RunStore(str(tmp_path / "runs" / done.run)).read_summary()["night"]["warnings"] == done.warnings
    assert (tmp_path / "runs" / done.run / "report" / "index.html").exists()


def test_a_deadline_in_the_evaluation_costs_only_the_evaluation(tmp_path: Path, explain, monkeypatch) -> None:
    night(tmp_path, explain)  # so that nothing but the evaluation is left to do
    given: list[float | None] = []
    monkeypatch.setattr(night_module, "evaluate_run", lambda _, config: given.append(config.deadline))
    for limit in (600.0, 1e-3):
        done = night(tmp_path, explain, evaluate=True, deadline=limit)
        assert done.exit_code == 0
        assert done.report is not None
    assert len(given) == 1  # the second deadline has passed by then
    assert 0 < given[0] <= 600
    assert done.warnings == [
        "faithfulness is not known: --deadline has passed; jobs.evaluate on the run makes up for it"
    ]


def test_a_fault_that_nobody_thought_of_is_told_and_recorded(tmp_path: Path, explain, monkeypatch) -> None:
    monkeypatch.setattr(night_module, "write_report", lambda *_: {}["no such key"])
    told: list[dict[str, str]] = []
    monkeypatch.setattr(night_module, "post", lambda _, content: told.append(content))
    done = night(tmp_path, explain, webhook="http://localhost/hook")
    assert (done.exit_code, done.reasons) == (4, ["unexpected KeyError: 'no such key'"])
    assert "unexpected KeyError" in told[0]["text"]
