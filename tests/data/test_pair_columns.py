"""Rows of two texts: the column of the second ones, in files of each format, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from ig_worker.data.faults import FaultFinder, documents, row_fault
from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "good film", "hypothesis": "it is good", "label": 1},
    {"id": "b", "text": "dull", "hypothesis": "", "label": 0},
    {"id": "c", "text": "great", "hypothesis": "très bien", "label": 1},
]
FORMATS = ("d.jsonl", "d.csv", "d.parquet", "d.arrow")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


def refused(spec: DataSpec) -> str:
    with pytest.raises(DataError) as caught:
        open_documents(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_second_texts_are_read_beside_the_first(tmp_path: Path, name: str) -> None:
    found = open_documents(DataSpec(str(write(tmp_path / name, ROWS)), pair_column="hypothesis"))
    (batch,) = found.batches()
    assert batch.schema == documents(pairs=True)
    assert batch.column("pair").to_pylist() == [row["hypothesis"] for row in ROWS]
    assert found.first(2) == [("good film", "it is good", 1), ("dull", "", 0)]
    faults = FaultFinder().check(batch)
    assert {position: fault.reason for position, fault in faults.items()} == {1: "empty_pair"}


@pytest.mark.parametrize("name", FORMATS)
def test_without_such_a_column_rows_have_one_text(tmp_path: Path, name: str) -> None:
    found = open_documents(DataSpec(str(write(tmp_path / name, ROWS))))
    (batch,) = found.batches()
    assert batch.schema == documents()
    assert found.first(1) == [("good film", None, 1)]
    assert FaultFinder().check(batch) == {}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("hypotheses", "has no column 'hypotheses'; expected one of its columns: 'id', 'text', 'hypothesis', 'label'; "
         "name it with --pair-column, such as --pair-column hypothesis"),
        ("sentence2", "such as --pair-column hypothesis"),
        ("text", "--pair-column is 'text', which is the column of the first texts, too"),
    ],
)  # fmt: skip
def test_a_column_that_is_not_there_is_refused_with_the_nearest(
    tmp_path: Path, name: str, asked: str, message: str
) -> None:
    assert message in refused(DataSpec(str(write(tmp_path / name, ROWS)), pair_column=asked))


@pytest.mark.parametrize("name", ["d.jsonl", "d.parquet", "d.arrow"])
def test_a_column_of_numbers_is_refused(tmp_path: Path, name: str) -> None:
    message = refused(DataSpec(str(write(tmp_path / name, ROWS)), pair_column="label"))
    assert "the pair column of" in message
    assert "expected strings; name another with --pair-column" in message


def test_a_name_that_differs_in_case_is_found_and_told(tmp_path: Path) -> None:
    found = open_documents(DataSpec(str(write(tmp_path / "d.csv", ROWS)), pair_column="Hypothesis"))
    assert found.first(1) == [("good film", "it is good", 1)]
    assert any("the column 'hypothesis' of" in note and "is taken for 'Hypothesis'" in note for note in found.notes)


def test_what_is_no_text_is_a_fault_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(
        '{"text": "a", "pair": "fine"}\n{"text": "a", "pair": 7}\n{"text": "a", "pair": "\\ud800"}\n{"text": "a"}\n'
    )
    (batch,) = open_documents(DataSpec(str(path), pair_column="pair")).batches()
    found = {position: (fault.reason, fault.detail) for position, fault in FaultFinder().check(batch).items()}
    assert found == {
        1: ("unreadable_row", "pair 7 is not a string"),
        2: ("unreadable_row", "pair has half a surrogate pair (character 0)"),
        3: ("empty_pair", "pair is null"),
    }


def test_bytes_that_are_not_utf8_are_a_fault_of_their_row(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "pair": pa.array([b"good", b"caf\xe9"])}), path)
    (batch,) = open_documents(DataSpec(str(path), pair_column="pair")).batches()
    (fault,) = FaultFinder().check(batch).values()
    assert (fault.reason, fault.detail) == ("unreadable_row", "pair is not UTF-8 (byte 3)")


def test_a_column_that_no_row_can_be_read_of_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "pair": pa.array([b"\xff", b"\xfe"])}), tmp_path / "d.parquet")
    message = refused(DataSpec(str(tmp_path / "d.parquet"), pair_column="pair"))
    assert "no pair in the first 2 rows" in message
    assert "name another column with --pair-column" in message


def test_words_for_nothing_are_missing_second_texts(tmp_path: Path) -> None:
    rows = [{"text": "a", "pair": "b"}, {"text": "a", "pair": "NaN"}]
    found = open_documents(DataSpec(str(write(tmp_path / "d.csv", rows)), pair_column="pair"))
    assert found.first(2) == [("a", "b", None), ("a", None, None)]
    assert any(note.startswith("second texts of") and "taken for missing" in note for note in found.notes)


def test_the_first_reason_of_a_pair_wins() -> None:
    assert row_fault("a", "b", paired=True, pair="c") is None
    assert row_fault("a", "", paired=True, pair="").reason == "empty_text"
    assert row_fault("a", "b", paired=True, pair="\t").reason == "empty_pair"
    fault = row_fault("a", "b", paired=True, pair="c" * 11, max_text_bytes=10)
    assert (fault.reason, fault.detail) == (
        "text_too_long",
        "pair of 11 bytes is over the limit of 10 (--max-text-bytes)",
    )


def test_second_texts_of_several_files_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", ROWS[:2])
    write(tmp_path / "b.csv", [{**ROWS[2], "id": "d"}])
    batches = open_documents(DataSpec(str(tmp_path), pair_column="hypothesis")).batches()
    assert [pair for batch in batches for pair in batch.column("pair").to_pylist()] == ["it is good", "", "très bien"]
