"""An audit that is beyond its limit ends a run with exit code 5, as often as it is asked."""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.insight.night import run as night
from ig_worker.insight.night.run import run_night
from ig_worker.insight.night.settings import NightConfig
from ig_worker.insight.thresholds import Thresholds
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.audit import Beyond, worst_beyond
from jobs import explain
from tests.run.in_process import explain_run_here

ADAPTIVE = ExplainConfig(dataset="d", model="m")
FIXED = replace(ADAPTIVE, method="gausslegendre")


def table(*rows: tuple[float, float | None, float | None]) -> pa.Table:
    """An audit of (relative L1 from alibi, from the refined reference, error estimate)."""
    names = ("relative_l1", "refined_relative_l1", "error_estimate")
    common = {field.name: None for field in schema.AUDIT}
    records = [common | {"id": f"r{i}", "chunk": i} | dict(zip(names, row, strict=True)) for i, row in enumerate(rows)]
    return pa.Table.from_pylist(records, schema=pa.schema([field.with_nullable(True) for field in schema.AUDIT]))


@pytest.mark.parametrize(
    ("config", "row", "limit"),
    [
        (FIXED, (0.00101, None, None), 1e-3),
        (replace(FIXED, max_audit_error=1e-5), (1.1e-5, None, None), 1e-5),
        (ADAPTIVE, (0.00101, 0.0, 0.001), 1e-3),
        (ADAPTIVE, (0.0, 0.00501, 0.001), 0.005),
        (replace(ADAPTIVE, tolerance=0.05), (0.0, 0.0501, 0.001), 0.05),
        (ADAPTIVE, (0.0, 0.21, 0.2), 0.2),  # a row at --max-evaluations, which says so itself
        (replace(ADAPTIVE, max_audit_error=0.1), (0.0, 0.11, 0.2), 0.1),
    ],
)
def test_the_limit_is_the_settings_or_what_the_method_promises(config: ExplainConfig, row: Any, limit: float) -> None:
    beyond = worst_beyond(table(row), config)
    assert beyond is not None
    assert beyond.limit == pytest.approx(limit)
    within = tuple(None if value is None else min(value, 0.999 * limit) for value in row)
    assert worst_beyond(table(within), config) is None


def test_no_number_is_beyond_any_limit_and_the_worst_row_is_named() -> None:
    worst = worst_beyond(table((0.002, None, None), (0.25, None, None), (1e-4, None, None)), FIXED)
    assert worst == Beyond("r1", 1, "relative_l1", 0.25, 1e-3)
    beyond = worst_beyond(table((0.5, None, None), (math.nan, None, None)), replace(FIXED, max_audit_error=1.0))
    assert beyond is not None
    assert beyond.id == "r1"
    assert worst_beyond(table(), FIXED) is None


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set; whatever explains it does so in this process."""
    for caller in (explain, night):
        monkeypatch.setattr(caller, "explain_run", explain_run_here)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": f"a {word} film"}) + "\n" for word in ("good", "bad", "dull")))
    return path


def flags(rows: Path, model: Path, *more: str) -> list[str]:
    usual = ["--dataset", str(rows), "--model", str(model), "--run", str(rows.parent / "run"), "--max-length", "16"]
    return [*usual, "--method", "gausslegendre", "--n-steps", "3", "--batch-tokens", "512", "--audit", "1", *more]


def test_a_run_whose_audit_is_beyond_its_limit_is_exit_code_5_until_the_limit_is_another(
    rows: Path, tiny_models, capsys
) -> None:
    strict = flags(rows, tiny_models["bert"], "--max-audit-error", "0")
    for _ in range(2):  # the second start finds everything done
        assert explain.main(strict) == 5
        told = capsys.readouterr()
        (line,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
        assert "the audit is beyond its limit: row row-0000000" in line
        assert "expected at most 0 (--max-audit-error)" in line
        assert str(rows.parent / "run" / "aggregates" / "audit.parquet") in line
        assert "3 of 3 rows explained" in told.out
    summary = json.loads((rows.parent / "run" / "summary.json").read_text())
    assert summary["exit_code"] == 5
    assert summary["audit_beyond"]["column"] == "relative_l1"
    manifest = json.loads((rows.parent / "run" / "run.json").read_text())
    assert manifest["audit"]["beyond"]["limit"] == 0
    assert explain.main(flags(rows, tiny_models["bert"])) == 0
    assert json.loads((rows.parent / "run" / "run.json").read_text())["audit"] == {"rows": 3, "beyond": None}


def test_a_night_whose_audit_is_beyond_its_limit_ends_with_5_and_says_why(rows: Path, tiny_models) -> None:
    config = ExplainConfig(
        dataset=str(rows), model=str(tiny_models["bert"]), max_length=16, method="gausslegendre", n_steps=3,
        batch_tokens=512, audit=1.0, max_audit_error=0.0,
    )  # fmt: skip
    shelf = NightConfig(runs=str(rows.parent / "runs"), line="stars", evaluate=False)
    done = run_night(shelf, config, Thresholds(), lambda _: None, datetime.date(2026, 11, 24))
    assert done.exit_code == 5
    assert any("the audit is beyond its limit" in reason for reason in done.reasons)
    assert "FAILED (exit 5)" in done.text()
