"""Runs that keep further columns of their data set: chunks, results, checks, and all that reads them."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.data.sources import open_documents
from ig_worker.errors import DataError, RunMismatchError, UsageError
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run.config import DataConfig, ExplainConfig
from ig_worker.run.dispatch.executor import InProcess
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.steps.evaluate import measure_faithfulness
from ig_worker.run.steps.explain import check_input
from ig_worker.run.steps.prepare import prepare
from ig_worker.run.steps.recompute import recompute
from ig_worker.run.steps.status import read_status
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_store import RunStore
from jobs import prepare as prepare_job
from jobs._settings import make_settings
from tests.run.in_process import Here, Shared, explain_here
from tests.tiny import save_tiny_model

WORDS = "good film a dull plot the acting was great and the end was not joy slowly bad it is".split()
COUNT, EMPTY = 14, 5  # rows, and the one that has no text
FAR = 2**62  # microseconds: a year that Python does not have
KEPT = ("source", "year", "at", "html")
TYPES = [pa.string(), pa.int16(), pa.timestamp("us", "Europe/Berlin"), pa.bool_()]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(WORDS, 3 + i % 5)) for i in range(COUNT)]
    columns = {
        "id": [f"r{i:02d}" for i in range(COUNT)],
        "text": [" " if i == EMPTY else text for i, text in enumerate(texts)],
        "label": [i % 4 for i in range(COUNT)],
        "source": [None if i == 2 else f"s{i % 3}" for i in range(COUNT)],
        "year": pa.array([None if i == 3 else 2000 + i for i in range(COUNT)], pa.int16()),
        "at": pa.array([FAR if i == 1 else 10**15 + i for i in range(COUNT)], TYPES[2]),
        "html": [i % 2 == 0 for i in range(COUNT)],
        "tags": [["a"]] * COUNT,
    }
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    names = dict(enumerate(("sad", "glad", "mild", "mad")))
    return str(save_tiny_model(tmp_path_factory.mktemp("four") / "model", "distilbert", id2label=names))


@pytest.fixture(scope="module")
def config(rows: Path, model: str) -> ExplainConfig:
    return ExplainConfig(
        dataset=str(rows), model=model, max_length=12, method="gausslegendre", n_steps=4, target="top:2", chunk_rows=4,
        keep_columns=KEPT, gpus_per_actor=0.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(config: ExplainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps columns, audited; to be left as it is."""
    found = tmp_path_factory.mktemp("run") / "run"
    result = explain_here(found, replace(config, audit=1.0), Shared)
    assert (result.explained, result.quarantined, result.exit_code) == (COUNT - 1, 1, 3)
    return found


def kept(store: RunStore) -> pa.Table:
    """The columns that are kept, with the ids, of all results."""
    table = pa.concat_tables(store.results.each()).replace_schema_metadata(None)
    return pa.table({name: table.column(name) for name in ("id", "rank", *schema.kept_in(table.schema))})


def without(store: RunStore) -> list[dict[str, Any]]:
    return [row for table in store.results.each() for row in table.drop_columns(list(KEPT)).to_pylist()]


def test_the_columns_stand_in_chunks_and_at_each_target_of_a_text(place: Path, rows: Path) -> None:
    store = RunStore(str(place))
    fields = [pa.field(name, kind) for name, kind in zip(KEPT, TYPES, strict=True)]
    chunk, faults = store.chunks.read(1)
    assert chunk.schema.remove_metadata().equals(schema.inputs(kept=fields))
    assert {position: fault.reason for position, fault in faults.items()} == {EMPTY - 4: "empty_text"}
    table = store.results.read(0)
    assert table.schema.remove_metadata().equals(schema.attributions(kept=fields))
    assert table.schema.names[-len(KEPT) - 1 :] == ["windows", *KEPT]
    assert schema.kept_in(table.schema) == schema.kept_in(chunk.schema) == list(KEPT)
    source = pq.read_table(rows, columns=["id", *KEPT])
    wanted = source.take([i for i in range(COUNT) if i != EMPTY for _ in range(2)])
    assert kept(store).drop_columns(["rank"]).equals(wanted), "nulls stay, and cost no row"
    assert kept(store).column("rank").to_pylist() == [0, 1] * (COUNT - 1)


def test_run_json_says_which_they_are(place: Path) -> None:
    manifest = RunStore(str(place)).manifest.existing()
    assert manifest["data_identity"]["keep_columns"] == manifest["config"]["keep_columns"] == list(KEPT)
    assert manifest["data"]["kept"] == {name: str(kind) for name, kind in zip(KEPT, TYPES, strict=True)}


def test_results_are_those_of_a_run_without_them_and_of_other_chunks(place: Path, config, tmp_path: Path) -> None:
    store = RunStore(str(place))
    explain_here(tmp_path / "plain", replace(config, keep_columns=None), Shared)
    plain = RunStore(str(tmp_path / "plain"))
    assert schema.kept_in(plain.results.schema(0)) == []
    np.testing.assert_equal([row for table in plain.results.each() for row in table.to_pylist()], without(store))
    explain_here(tmp_path / "other", replace(config, chunk_rows=5), Shared)
    other = RunStore(str(tmp_path / "other"))
    assert kept(other).equals(kept(store))
    for a, b in zip(without(other), without(store), strict=True):
        assert (a["id"], a["target"]) == (b["id"], b["target"])
        np.testing.assert_allclose(a["attributions"], b["attributions"], atol=1e-6)


def test_hidden_attributions_come_last(config: ExplainConfig, tmp_path: Path) -> None:
    explain_here(tmp_path / "run", replace(config, keep_hidden=True, limit=2, target="predicted"), Shared)
    store = RunStore(str(tmp_path / "run"))
    assert store.results.schema(0).names[-2:] == [KEPT[-1], "hidden_attributions"]
    assert verify_run(store).faults == []


def test_a_run_is_sound_and_comes_out_the_same_again(place: Path) -> None:
    store = RunStore(str(place))
    assert [str(fault) for fault in verify_run(store).faults] == []
    assert recompute(store, 1.0, executor=InProcess(Here)).largest == 0.0
    audit = store.aggregates.read("audit")
    assert audit.num_rows == 2 * (COUNT - 1)
    assert max(audit.column("relative_l1").to_pylist()) < 1e-3


def test_resuming_with_other_columns_is_refused_and_with_the_same_goes_on(place: Path, config, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "run")
    before = kept(RunStore(str(place)))
    for other in (None, "source", "year,source,at,html"):
        with pytest.raises(RunMismatchError, match=r"keep_columns: .* there, .* now") as caught:
            explain_here(tmp_path / "run", replace(config, keep_columns=other), Shared)
        assert "\n" not in str(caught.value)
    (tmp_path / "run" / "attributions" / "chunk-00001.parquet").unlink()
    (tmp_path / "run" / "chunks" / "chunk-00002.parquet").unlink()
    explain_here(tmp_path / "run", replace(config, keep_columns=",".join(KEPT)), Shared)
    store = RunStore(str(tmp_path / "run"))
    assert kept(store).equals(before)
    assert verify_run(store).faults == []
    for folder in ("attributions", "chunks"):
        for file in sorted((place / folder).iterdir()):
            assert (tmp_path / "run" / folder / file.name).read_bytes() == file.read_bytes()


def test_a_run_without_results_may_still_keep_others(rows: Path, tmp_path: Path, capsys) -> None:
    store = RunStore(str(tmp_path))
    prepare(store, DataConfig(dataset=str(rows)))
    prepare(store, DataConfig(dataset=str(rows), keep_columns="year"))
    assert schema.kept_in(store.chunks.read(0)[0].schema) == ["year"]
    flags = ["--dataset", str(rows), "--run", str(tmp_path), "--keep-columns", "source,year", "html"]
    assert prepare_job.main(flags) == 0
    assert "kept: source: string, year: int16, html: bool\n" in capsys.readouterr().out
    assert schema.kept_in(store.chunks.read(0)[0].schema) == ["source", "year", "html"]


def test_what_cannot_be_kept_is_refused_before_anything_is_written(config: ExplainConfig, tmp_path: Path) -> None:
    messages = {"tags": "has type list", "tokens": "every run has a column of that name", "yaer": "-columns year"}
    for name, message in messages.items():
        with pytest.raises(DataError, match=message):
            explain_here(tmp_path / "run", replace(config, keep_columns=name))
    assert not (tmp_path / "run").exists()
    lines = check_input(replace(config, keep_columns="source")).lines()
    assert ["kept", "source:", "string"] in [line.split() for line in lines]


def in_place_of(name: str, make: Callable[[pa.Table], Any]) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.schema.get_field_index(name), name, make(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            in_place_of("source", lambda table: pa.array(["s9"] * table.num_rows)),
            "has other values of source than its input chunk",
        ),
        (
            in_place_of("at", lambda table: table.column("at").cast(pa.timestamp("us", "UTC"))),
            "keeps other columns (source: string, year: int16, at: timestamp[us, tz=UTC], html: bool) than its input",
        ),
        (lambda table: table.drop_columns(["year"]), "keeps other columns (source: string, at: "),
    ],
)
def test_other_values_than_those_of_the_data_set_are_found(place: Path, tmp_path: Path, change, message: str) -> None:
    shutil.copytree(place, tmp_path / "run")
    store, none = RunStore(str(tmp_path / "run")), pa.Table.from_batches([], schema=schema.QUARANTINE)
    table = change(store.results.read(2))
    fields = map(table.schema.field, schema.kept_in(table.schema))
    table = table.cast(schema.attributions(kept=fields))
    store.results.commit(2, table, none, store.results.read_commit(2).fingerprint)
    (fault,) = verify_run(store).faults
    assert fault.file == "attributions/chunk-00002.parquet"
    assert message in fault.what


def test_all_that_reads_a_run_reads_this_one(place: Path, config: ExplainConfig, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "run")
    explain_here(tmp_path / "plain", replace(config, keep_columns="year"), Shared)
    here, plain = (RunStore(str(tmp_path / name)) for name in ("run", "plain"))
    for name, table in aggregate(here).items():
        assert table.equals(aggregate(plain)[name]), name
    measured = measure_faithfulness(here.uri, EvaluateConfig(share=1.0, gpus_per_actor=0.0), executor=InProcess(Shared))
    assert measured.rows == COUNT - 1
    assert Path(write_report(here, examples=2)).exists()
    assert write_comparison(here, plain).flips == 0
    assert f"{COUNT - 1}" in "\n".join(read_status(here).lines())
    assert verify_run(here).faults == []


def test_a_notebook_shows_them_and_gives_them_as_a_table(place: Path) -> None:
    run = ig_worker.open(place)
    assert (run["r00"].source, run["r00"].year) == ("s0", 2000)
    assert callable(run["r00"].html), "what such an object has itself comes first"
    assert run["r00"].row["html"] is True
    assert run["r02"].source is None
    assert run["r00"].targets[1].source == "s0"
    assert isinstance(run["r00"].at, datetime.datetime)
    assert isinstance(run["r01"].at, str), "a year that Python does not have"
    assert run["r01"].html().count("<p") > 0
    table = run.to_arrow(["id", "source", "at"])
    assert table.schema.field("at").type == TYPES[2]
    assert table.num_rows == 2 * (COUNT - 1)
    assert run.to_arrow().schema.names[-len(KEPT) :] == list(KEPT)


def test_a_settings_file_names_them_in_one_string_or_a_list(rows: Path) -> None:
    table = {"dataset": str(rows), "model": "m"}
    for value in ("source,year", ["source", "year"], ["source,year"]):
        config = make_settings(ExplainConfig, {**table, "keep_columns": value}, "night.toml")
        config.check()
        assert [field.name for field in open_documents(config.spec()).kept] == ["source", "year"]
    with pytest.raises(UsageError, match=r"night\.toml sets keep_columns to 7; expected"):
        make_settings(ExplainConfig, {**table, "keep_columns": 7}, "night.toml")
    with pytest.raises(DataError, match="every run has a column of that name"):
        replace(config, keep_columns="status").check()


def test_explain_keeps_nothing_of_texts_in_memory(model: str) -> None:
    with pytest.raises(UsageError, match="there is no setting keep_columns"):
        ig_worker.explain(["good film"], model=model, keep_columns="source")


def test_rows_of_a_pilot_have_their_own_values(rows: Path, model: str, tmp_path: Path) -> None:
    config = ExplainConfig(
        dataset=str(rows), model=model, max_length=12, chunk_rows=4, pilot="5", batch_tokens=512, keep_columns=KEPT,
        gpus_per_actor=0.0,
    )  # fmt: skip
    explain_here(tmp_path / "run", config, Shared)
    store = RunStore(str(tmp_path / "run"))
    assert store.manifest.existing()["identity"]["pilot_digest"]
    assert schema.kept_in(pq.read_schema(tmp_path / "run" / "pilot.parquet")) == []
    source = pq.read_table(rows, columns=["id", *KEPT]).take([i for i in range(COUNT) if i != EMPTY])
    assert kept(store).drop_columns(["rank"]).equals(source)
    assert verify_run(store).faults == []
