"""Runs of the schema before this one: read, verified and compared with, as if each text had one target."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ig_worker import schema
from ig_worker.insight.compare.rows import write_comparison
from ig_worker.insight.export.write import FORMATS, write_export
from ig_worker.insight.notebook.open_run import Run
from ig_worker.insight.report.write import write_report
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.run_files import RunFiles
from ig_worker.run.store.run_store import RunStore
from tests.run.made_runs import make_run


@pytest.fixture
def old(tmp_path: Path, monkeypatch) -> RunStore:
    """A run as version 1 wrote it."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", "1")
        store = make_run(tmp_path / "old")
        for index in store.results.indexes():
            name = f"attributions/chunk-{index:05d}.parquet"
            table = pq.read_table(tmp_path / "old" / name).drop_columns(["contrast", "rank", "windows"])
            kept = {k: v for k, v in table.schema.metadata.items() if k != schema.META_TEXTS}
            metadata = schema.attributions(version="1").with_metadata(kept)
            RunFiles(store.storage).write_table(name, table, metadata)
    assert schema.VERSION == "2"
    return store


def test_a_run_of_version_1_is_whole_and_has_one_target_a_text(old: RunStore) -> None:
    assert verify_run(old).faults == []
    table = old.results.read(0)
    assert table.schema.remove_metadata().equals(schema.ATTRIBUTIONS)
    assert table.column("contrast").null_count == table.num_rows
    assert table.column("rank").to_pylist() == [0] * table.num_rows
    assert table.column("windows").to_pylist() == [1] * table.num_rows
    assert schema.kept_in(table.schema) == schema.kept_in(old.results.schema(0)) == []
    assert old.results.read(0, ["id", "rank"]).schema.names == ["id", "rank"]
    assert sum(commit.rows for commit in old.results.commits().values()) == 7


def test_it_is_aggregated_reported_opened_and_compared_with_one_of_today(old: RunStore, tmp_path: Path) -> None:
    new = make_run(tmp_path / "new")
    for name, table in aggregate(old).items():
        assert table.equals(aggregate(new)[name]), name
    assert Path(write_report(old, examples=2)).exists()
    run = Run(old.uri)
    assert len(run) == 7
    assert [text.id for text in run] == [text.id for text in Run(new.uri)]
    assert run["r6"].html() == Run(new.uri)["r6"].html()
    assert write_comparison(new, old).flips == 0


@pytest.mark.parametrize("format", FORMATS)
def test_it_is_exported_as_one_of_today(old: RunStore, tmp_path: Path, format: str) -> None:
    new = make_run(tmp_path / "new")
    for store in (old, new):
        assert write_export(store, format).written.rows == 7
    folders = [Path(store.uri) / "export" / format for store in (old, new)]
    for name in (path.name for path in folders[1].iterdir() if path.name != "export.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_file_of_an_unknown_version_is_told(old: RunStore, tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", "3")
        table = old.results.read(1)
        RunFiles(old.storage).write_table("attributions/chunk-00001.parquet", table, schema.with_metadata(table.schema))
    (fault,) = verify_run(old).faults
    assert "has schema version 3, this program reads 1 and 2" in fault.what
