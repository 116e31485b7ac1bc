"""What the README shows works, and what it names exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ig_worker.run.store import RunStore
from tests.benchmarks import accuracy_report, scale_report
from tests.benchmarks import report as speed_report
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
    ("name", "report"), [("accuracy", accuracy_report), ("speed", speed_report), ("scale", scale_report)]
)
def test_the_tables_are_those_of_the_committed_results(name: str, report: ModuleType) -> None:
    result = json.loads((ROOT / "tests" / "benchmarks" / "results" / f"{name}.json").read_text())
    shown = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert shown is not None
    assert shown[1] == report.markdown(result).strip()


def test_the_picture_is_there() -> None:
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / name).stat().st_size > 10_000
