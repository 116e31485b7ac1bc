"""What the pages show works, and what they say is so."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.insight.export.write import write_export
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.insight.tables.measures import MEASURES
from ig_worker.models.recipes import RECIPES
from ig_worker.run.dispatch.metrics import METRICS
from ig_worker.run.store.run_store import RunStore
from tests.benchmarks import accuracy_report, scale_report
from tests.benchmarks import report as speed_report
from tests.faults import report as faults_report
from tests.insight.conftest import make_quarantine, make_rows, make_table
from tests.pages import ALL, FIRST, PAGES, ROOT, between, first_cells, table_after
from tests.run.made_runs import CHUNK, explained, quarantined
from tests.tiny import save_tiny_model

EXAMPLES = re.findall(r"<!-- example -->\n```python\n(.*?)```", ALL, re.DOTALL)


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of the examples, aggregated."""
    folder = tmp_path_factory.mktemp("readme")
    store = RunStore(str(folder / "runs" / "first"))
    store.manifest.write({"fingerprint": "f00d"})
    rows = make_rows(200)
    for index in range(2):
        store.results.commit(index, make_table(rows[100 * index :][:100]), make_quarantine(0), "f00d")
    aggregate(store)
    return folder


MARKS = (
    "pyarrow.dataset",
    "ig_worker.open",
    "import pandas",
    "import duckdb",
    "import polars",
    "ig_worker.explain",
    "import json",
)


def run_example(mark: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the one example that holds `mark` leaves behind."""
    assert mark in MARKS
    (code,) = (code for code in EXAMPLES if mark in code)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code, mark, "exec"), names)
    return names


def test_every_block_of_python_is_an_example_and_has_a_test() -> None:
    assert len(EXAMPLES) == ALL.count("```python") == len(MARKS)


def test_the_files_of_a_run_are_read_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(str(tmp_path / "runs" / "first"))
    store.chunks.write(0, CHUNK, {})
    store.results.commit(0, explained("a"), quarantined(1, 2), "print")
    names = run_example("pyarrow.dataset", tmp_path, monkeypatch)
    assert names["strongest"] == [(0.25, "one"), (0.0, "[CLS]")]


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


def test_an_export_is_read_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RunStore(str(tmp_path / "runs" / "first"))
    store.manifest.write({"data": {"class_names": ["no", "yes"]}})
    texts = [{"id": row["id"], "text": f"about {row['id']}", "label": row["label"]} for row in make_rows(50)]
    store.chunks.write(0, pa.Table.from_pylist(texts, schema=schema.INPUT), {})
    store.results.commit(0, make_table(make_rows(50)), make_quarantine(0), "f00d")
    write_export(store, "jsonl")
    found = run_example("import json", tmp_path, monkeypatch)["surest_mistakes"]
    wrong = [row for row in make_rows(50) if row["label"] is not None and row["label"] != row["prediction"]]
    assert {row["id"] for row in found} == {row["id"] for row in wrong}
    assert f"for {found[0]['label_name']} about {found[0]['id']}" in capsys.readouterr().out


def test_the_notebook_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_model(tmp_path / "my-model", "distilbert", max_position_embeddings=256)
    names = run_example("ig_worker.explain", tmp_path, monkeypatch)
    assert list(names["frame"]["id"]) == ["0", "1"]
    assert names["explanation"].attributions[0].shape == (2, 256, 32)


def test_every_column_that_goes_in_and_comes_out_is_documented() -> None:
    told = re.findall(r"`(\w+)`", " ".join(first_cells(table_after("column", FIRST))))
    truths = {truth.name for truth in schema.TRUTHS.values()}
    assert Counter(told) == Counter({*schema.inputs(True).names, *schema.attributions(1, True).names, *truths})


def test_every_column_of_the_aggregates_is_documented() -> None:
    told = {row.split("`")[1]: set(re.findall(r"`(\w+)`", row)) for row in between("aggregates").splitlines()[2:]}
    assert told.keys() == MEASURES.keys()
    alike = told["tokens"] - {"special"}  # "the same"
    for name, measure in MEASURES.items():
        assert set(measure.schema.names) <= told[name] | (alike if name == "words" else set())


def test_every_metric_is_documented() -> None:
    told = re.findall(r"`(ray_\w+)`", " ".join(first_cells(table_after("metric", "jobs/README.md"))))
    assert set(told) == {f"ray_{name}{'_total' * (metric.kind == 'counter')}" for name, metric in METRICS.items()}


def test_the_presets_and_recipes_are_as_documented() -> None:
    page = "jobs/presets/README.md"
    told = {row.split("`")[1]: row for row in table_after("preset", page).splitlines()[2:]}
    assert told.keys() == {path.stem for path in (ROOT / "jobs" / "presets").glob("*.toml")}
    for name, row in told.items():
        preset = tomllib.loads((ROOT / "jobs" / "presets" / f"{name}.toml").read_text())
        expected = "`{text_style}`, {max_length} | `{layer}` | `{baseline}` | {method} {n_steps} |".format(**preset)
        assert row.endswith(expected)
    assert {cell.strip(" `") for cell in first_cells(table_after("--recipe", page))} == RECIPES.keys()


def test_the_versions_that_the_pages_name_are_those_of_the_lock_file() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    pins = " ".join(first_cells(table_after("advisories", ".github/SECURITY.md")))
    said = re.search(r"lock holds(.*?)\.\n", PAGES["ig_worker/README.md"], re.DOTALL)
    assert said is not None
    named = re.findall(r"([A-Za-z][\w-]+) (\d+(?:\.\d+)+)", f"{pins} {said[1]}")
    assert len(named) > 10
    for name, version in named:
        assert f"{locked[name.lower()]}.".startswith(f"{version}."), name


@pytest.mark.parametrize(
    ("name", "folder", "report"),
    [
        ("accuracy", "benchmarks", accuracy_report),
        ("speed", "benchmarks", speed_report),
        ("minilm", "benchmarks", speed_report),
        ("scale", "benchmarks", scale_report),
        ("faults", "faults", faults_report),
    ],
)
def test_the_tables_are_those_of_the_committed_results(name: str, folder: str, report: ModuleType) -> None:
    assert between(name) == report.markdown(results(folder, name)).strip()


def results(folder: str, name: str) -> dict[str, Any]:
    """A committed result of a measurement."""
    return json.loads((ROOT / "tests" / folder / "results" / f"{name}.json").read_text())


def test_the_figures_of_the_first_page_are_those_of_the_committed_results() -> None:
    speed, accuracy, faults = (
        results("benchmarks", "speed"),
        results("benchmarks", "accuracy"),
        results("faults", "faults"),
    )
    ours = next(iter(speed["tables"].values()))[-1]
    times = ours["faster_than"]
    captum = min(ratio for name, ratio in times.items() if name.startswith("captum"))
    minilm = results("benchmarks", "minilm")
    trained = next(iter(minilm["tables"].values()))[-1]
    than = trained["faster_than"]
    alibi = min(ratio for name, ratio in than.items() if name.startswith("alibi"))
    methods = accuracy["models"]["distil"]["methods"]
    (adaptive,) = (m for m in methods if m["family"] == "adaptive" and m["setting"] == 0.005)
    (gauss,) = (m for m in methods if m["family"] == "gauss" and m["setting"] == 50)
    assert all(record["sound"] and record["identical"] for record in faults["faults"])
    machines = [f"{result['machine']['date']}" for result in (speed, accuracy, faults)]
    expected = (
        f"{trained['reviews_per_s']:.3g} reviews/s, {than['alibi, as its tutorials call it']:.1f} times alibi as",
        f"{alibi:.1f} times alibi at its best",
        f"{min(ratio for name, ratio in than.items() if name.startswith('captum')):.1f} times captum at its best",
        f"AMD EPYC, {minilm['threads']} threads, {minilm['machine']['date']}",
        f"{ours['reviews_per_s']:.3g} reviews/s",
        f"{times['alibi, as its tutorials call it']:.1f} times alibi",
        f"{captum:.1f} times captum",
        f"AMD EPYC, {speed['threads']} threads, {machines[0]}",
        f"99% of {accuracy['data']['rows']} IMDB reviews the relative L1 error",
        f"the relative L1 error is at most {adaptive['error']['p99']:.4f}",
        f"{adaptive['evaluations']['mean']:.1f} evaluations a review",
        f"alibi's {gauss['evaluations']['mean']:.0f} evaluations it is {gauss['error']['p99']:.4f}",
        f"AMD EPYC, {machines[1]}",
        f"{len(faults['faults'])} faults were done to whole runs of {faults['rows']:,} rows",
        f"Intel Xeon, {faults['machine']['cores']} cores, {machines[2]}",
    )
    shown = " ".join(between("figures").split())
    assert [figure for figure in expected if figure not in shown] == []


def test_the_first_page_is_short() -> None:
    assert PAGES[FIRST].count("\n") <= 120
