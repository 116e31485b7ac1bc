"""All jobs in a row on the demo corpus, as `make demo` runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def job(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.heavy
def test_the_demo_trains_explains_and_reports(tmp_path: Path) -> None:
    model, run = str(tmp_path / "model"), tmp_path / "run"
    job("finetune", "--recipe", "tiny", "--dataset", "demo", "--out", model)
    assert json.loads((tmp_path / "model" / "metrics.json").read_text())["test_accuracy"] > 0.85
    shown = job("explain", "--dataset", "demo", "--model", model, "--run", str(run), "--actors", "2", "--audit", "0.02")
    assert "400 of 400 rows explained, 0 quarantined" in shown
    summary = json.loads((run / "summary.json").read_text())
    assert summary["audited"] >= 2
    assert summary["largest_audit_difference"] <= 1e-4
    job("aggregate", str(run))
    shown = job("report", str(run))
    assert "accuracy" in shown
    assert "reviews/s" in shown
    page = (run / "report" / "index.html").read_text()
    assert "<script>" not in page
    assert "&lt;" in page, "the corpus holds markup, which has to be escaped"
