"""What the README shows works, and what it names exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ig_worker.insight.aggregate import aggregate
from ig_worker.insight.measures import MEASURES
from ig_worker.run.store import RunStore
from tests.benchmarks import accuracy_report, scale_report
from tests.benchmarks import report as speed_report
from tests.faults import report as faults_report
from tests.insight.conftest import make_quarantine, make_rows, make_table
from tests.run.test_store import CHUNK, explained, quarantined

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"<!-- example -->\n```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_files_of_a_run_are_read_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(str(tmp_path / "runs" / "first"))
    store.write_chunk(0, CHUNK, {})
    store.commit(0, explained("a"), quarantined(1, 2), "print")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example("pyarrow.dataset"), "README.md", "exec"), names)
    assert names["strongest"] == [(0.25, "one"), (0.0, "[CLS]")]


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of the examples, aggregated."""
    folder = tmp_path_factory.mktemp("readme")
    store = RunStore(str(folder / "runs" / "first"))
    store.write_manifest({"fingerprint": "f00d"})
    rows = make_rows(200)
    for index in range(2):
        store.commit(index, make_table(rows[100 * index :][:100]), make_quarantine(0), "f00d")
    aggregate(store)
    return folder


def run_example(mark: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(example(mark), "README.md", "exec"), names)
    return names


def test_a_run_is_opened_as_shown(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_example("ig_worker.open", a_run, monkeypatch)
    assert names["text"].id == "row-0"
    assert names["words"].column_names[0] == "word"
    assert len(names["frame"]) == 200


def test_the_query_with_pandas_finds_words_of_wrong_rows(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_example("import pandas", a_run, monkeypatch)["misleading"]
    assert 0 < len(found) <= 10
    assert found["mean_shrunk"].is_monotonic_decreasing
    assert found["documents"].min() >= 5


def test_the_query_with_duckdb_finds_the_surest_mistakes(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_example("import duckdb", a_run, monkeypatch)["surest_mistakes"]
    rows = {row["id"]: row for row in make_rows(200)}
    wrong = [row for row in rows.values() if row["label"] is not None and row["label"] != row["prediction"]]
    assert found[0][3] == pytest.approx(max(max(row["probabilities"]) for row in wrong))
    for id, _, _, _, token in found:
        assert token == rows[id]["tokens"][rows[id]["attributions"].index(max(rows[id]["attributions"]))]


def test_the_query_with_polars_finds_a_word_in_every_text(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_example("import polars", a_run, monkeypatch)["by_text"]
    assert set(found["id"]) == {row["id"] for row in make_rows(200) if "film" in row["tokens"]}
    assert found["attributions"].is_sorted(descending=True)


def test_every_column_of_the_aggregates_is_documented() -> None:
    shown = re.search(r"<!-- aggregates -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert shown is not None
    told = {row.split("`")[1]: set(re.findall(r"`(\w+)`", row)) for row in shown[1].splitlines()[2:]}
    assert told.keys() == MEASURES.keys()
    alike = told["tokens"] - {"special"}  # "the same"
    for name, measure in MEASURES.items():
        assert set(measure.schema.names) <= told[name] | (alike if name == "words" else set())


def test_the_notebook_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tiny import save_tiny_model

    save_tiny_model(tmp_path / "my-model", "distilbert", max_position_embeddings=256)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example("ig_worker.explain"), "README.md", "exec"), names)
    assert list(names["frame"]["id"]) == ["0", "1"]
    assert names["explanation"].attributions[0].shape == (2, 256, 32)


def example(mark: str) -> str:
    """The one example of the README that holds `mark`."""
    (found,) = (code for code in EXAMPLES if mark in code)
    return found


def test_every_flag_that_the_readme_names_exists() -> None:
    text = re.sub(r"^kubectl .*", "", TEXT, flags=re.MULTILINE)  # which is not on every machine
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = ""
    jobs = [
        f"jobs.{job}"
        for job in (
            "explain",
            "prepare",
            "finetune",
            "aggregate",
            "report",
            "status",
            "verify",
            "evaluate",
            "compare",
            "nightly",
        )
    ]
    ray = ("ray.scripts.scripts job submit", "ray.scripts.scripts get-auth-token")
    for command in [*jobs, "tests.benchmarks.speed", "tests.benchmarks.accuracy", "tests.benchmarks.scale", *ray]:
        done = subprocess.run(
            [sys.executable, "-m", *command.split(), "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        known += done.stdout
    assert named - set(re.findall(r"--[a-z][a-z-]+", known)) == set()


def test_every_job_and_make_target_that_the_readme_names_exists() -> None:
    for job in re.findall(r"\bjobs\.(\w+)", TEXT):
        assert (ROOT / "jobs" / f"{job}.py").exists(), job
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", TEXT)) <= set(targets)


@pytest.mark.parametrize(
    ("name", "folder", "report"),
    [
        ("accuracy", "benchmarks", accuracy_report),
        ("speed", "benchmarks", speed_report),
        ("scale", "benchmarks", scale_report),
        ("faults", "faults", faults_report),
    ],
)
def test_the_tables_are_those_of_the_committed_results(name: str, folder: str, report: ModuleType) -> None:
    result = json.loads((ROOT / "tests" / folder / "results" / f"{name}.json").read_text())
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert shown is not None
    assert shown[1] == report.markdown(result).strip()


def test_the_picture_is_there() -> None:
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / name).stat().st_size > 10_000
