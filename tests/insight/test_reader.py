"""A run opened in a notebook: lazily, and without TensorFlow or Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run.store.results import Results
from ig_worker.run.store.run_store import RunStore


@pytest.fixture
def data(rows) -> list:
    return [{**row, "id": f"row-{i:02d}"} for i, row in enumerate(rows(30))]


@pytest.fixture
def place(build, data, quarantine) -> str:
    names = {"class_names": ["<b>bad</b>", "good"]}
    return build(data[:12], [], data[12:20], data[20:], quarantined=quarantine(2), data=names, state="complete").place


def test_rows_are_found_by_position_and_by_id(place: str, data: list) -> None:
    run = ig_worker.open(Path(place))
    assert len(run) == 30
    assert [text.id for text in run] == [row["id"] for row in data]
    assert [run[i].id for i in (0, 11, 12, 29, -1, -30)] == [f"row-{i:02d}" for i in (0, 11, 12, 29, 29, 0)]
    assert [text.id for text in run[10:14]] == [f"row-{i}" for i in range(10, 14)]
    assert run["row-17"].attributions == data[17]["attributions"]
    with pytest.raises(IndexError):
        run[30]
    with pytest.raises(KeyError, match="row-99"):
        run["row-99"]


def test_only_the_chunk_with_the_row_is_read(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, whole = [], Results.read

    def counted(self: Results, index: int, columns: list[str]) -> object:
        read.append(index)
        return whole(self, index, columns)

    monkeypatch.setattr(Results, "read", counted)
    run = ig_worker.open(place)
    run[13], run["row-25"], run[14]
    assert read == [2, 3]


def test_all_rows_are_arrow_pandas_and_polars(place: str, data: list) -> None:
    run = ig_worker.open(place)
    whole, some = run.to_arrow(), run.to_arrow(["attributions", "id"])
    assert whole.schema.equals(schema.ATTRIBUTIONS)
    assert whole.column("id").to_pylist() == [row["id"] for row in data]
    assert some.column_names == ["attributions", "id"]
    np.testing.assert_array_equal(run.to_pandas(["attributions"])["attributions"][3], data[3]["attributions"])
    assert run.to_polars(["id"])["id"].to_list() == [row["id"] for row in data]
    with pytest.raises(UsageError, match="there is no column nope; expected some of id, label"):
        run.to_arrow(["nope"])


def test_without_polars_the_error_says_how_to_install_it(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UsageError, match="polars is not installed; pip install polars"):
        ig_worker.open(place).to_polars()


def test_tables_and_summary_are_there_once_the_run_is_aggregated(place: str) -> None:
    with pytest.raises(UsageError, match=r"no table 'words'.* run jobs\.aggregate"):
        ig_worker.open(place).tables["words"]
    tables = aggregate(RunStore(place))
    run = ig_worker.open(place)
    assert set(run.tables) == set(tables)
    assert run.tables["words"].equals(tables["words"])
    assert (run.summary().rows, run.summary().quarantined) == (30, 2)
    assert run.quarantine().num_rows == 2


def test_a_notebook_shows_the_first_texts_and_escapes_names(place: str) -> None:
    run = ig_worker.open(place)
    assert repr(run) == f"<run {place}: 30 rows explained, 2 quarantined, state complete>"
    shown = run._repr_html_()
    assert shown.count("delta") == 5
    assert "and 25 more" in shown
    assert "<b>" not in shown
    assert "&lt;b&gt;bad" in shown
    aggregate(RunStore(place))
    assert "accuracy" in ig_worker.open(place)._repr_html_()


def test_what_is_no_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run: it has no run\.json"):
        ig_worker.open(tmp_path)


def test_a_run_at_a_uri_is_read_without_tensorflow_or_ray(place: str) -> None:
    code = (
        f"import ig_worker, sys; run = ig_worker.open('file://{place}'); run[3]._repr_html_(); run.to_arrow();"
        "print(len(run), [name for name in ('tensorflow', 'ray', 'transformers', 'alibi') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "30 []"
