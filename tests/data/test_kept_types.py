"""The types of the columns that a run keeps: one for the whole data set, however it is cut up."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ig_worker.data.kept_types import CellTypes, JsonTypes, cells_of, converted, one_type, stored_type, type_of_all
from ig_worker.errors import DataError
from tests.data.kept_files import opened, refused, values, write


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1, None], pa.int8()), pa.int8()),
        (pa.array([2**64 - 1, None], pa.uint64()), pa.uint64()),
        (pa.array([0.1, None], pa.float32()), pa.float32()),
        (pa.array([0.5, None], pa.float16()), pa.float32()),
        (pa.array(["a", None], pa.large_string()), pa.string()),
        (pa.array(["a", None]).dictionary_encode(), pa.string()),
        (pa.array([7, None]).dictionary_encode(), pa.int64()),
        (pa.array([b"a", None]), pa.string()),
        (pa.nulls(2), pa.string()),
        (pa.array([datetime.date(2024, 2, 29), None]), pa.date32()),
        (pa.array([datetime.date(2024, 2, 29), None], pa.date64()), pa.date32()),
        (pa.array([1, None], pa.timestamp("s")), pa.timestamp("ms")),
        (pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")), pa.timestamp("ns", "Europe/Berlin")),
        (pa.array([2**62, None], pa.timestamp("us")), pa.timestamp("us")),  # a year that Python does not have
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else str(value),
)
@pytest.mark.parametrize("name", ["d.parquet", "d.arrow"])
def test_types_of_files_that_have_them_stay(tmp_path: Path, name: str, column: pa.Array, kind: pa.DataType) -> None:
    try:
        path = write(tmp_path / name, pa.table({"text": ["a", "b"], "x": column}))
    except pa.ArrowNotImplementedError:
        pytest.skip("Parquet has no such type")
    found = opened(path, "x")
    (batch,) = found.batches()
    assert [field.type for field in found.kept] == [batch.schema.field("x").type] == [kind]
    assert batch.column("x").null_count == (2 if pa.types.is_null(column.type) else 1)
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    assert batch.column("x").equals(plain.cast(kind))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([["a"], None]),
        pa.array([{"a": 1}, None]),
        pa.array([datetime.time(1), None]),
        pa.array([datetime.timedelta(1), None]),
        pa.array([1, None], pa.decimal128(5, 2)),
    ],
    ids=lambda column: str(column.type),
)
def test_lists_structures_and_other_types_are_refused_in_a_line(tmp_path: Path, column: pa.Array) -> None:
    message = refused(write(tmp_path / "d.arrow", pa.table({"text": ["a", "b"], "x": column})), "x")
    assert f"the column 'x' of {tmp_path}/d.arrow, which --keep-columns names, has type {column.type}" in message
    assert "expected strings, booleans, numbers, dates or times; " in message


def test_lists_of_json_lines_are_refused_wherever_they_are(tmp_path: Path) -> None:
    rows = [{"text": "a", "x": "b"}] * 3000 + [{"text": "a", "x": ["b"]}]
    message = refused(write(tmp_path / "d.jsonl", rows), "x")
    assert "which --keep-columns names, holds list; expected strings, booleans or numbers; leave it out" in message


def test_bytes_that_are_no_text_are_kept_as_marks(tmp_path: Path) -> None:
    write(tmp_path / "d.parquet", pa.table({"text": ["a", "b"], "x": pa.array([b"caf\xe9", None])}))
    assert values(opened(tmp_path / "d.parquet", "x")) == [{"x": "caf\ufffd"}, {"x": None}]
    (tmp_path / "d.jsonl").write_text('{"text": "a", "x": "\\ud800"}\n')
    assert values(opened(tmp_path / "d.jsonl", "x")) == [{"x": "?"}]


CELLS = pytest.mark.parametrize(
    ("cells", "kind", "kept"),
    [
        (["1", "-20", " 3 ", ""], pa.int64(), [1, -20, 3, None]),
        (["1", "2.50", "1e-5", ".5", "inf"], pa.float64(), [1.0, 2.5, 1e-5, 0.5, float("inf")]),
        (["true", "False", "NaN", "TRUE"], pa.bool_(), [True, False, None, True]),
        (["1", "NA", "n/a"], pa.int64(), [1, None, None]),
        (["mail", "NA", "<NA>", ""], pa.string(), ["mail", "NA", None, None]),
        (["NA", "none"], pa.string(), ["NA", "none"]),
        (["02139", "1"], pa.string(), ["02139", "1"]),
        (["+1", "1"], pa.string(), ["+1", "1"]),
        (["true", "1"], pa.string(), ["true", "1"]),
        (["9223372036854775807", "1"], pa.int64(), [2**63 - 1, 1]),
        (["9223372036854775808", "1"], pa.string(), ["9223372036854775808", "1"]),
        (["9007199254740993", "0.5"], pa.string(), ["9007199254740993", "0.5"]),
        (["2024-01-02"], pa.string(), ["2024-01-02"]),
        (["", "NULL"], pa.string(), [None, None]),
        ([" mail"], pa.string(), [" mail"]),
    ],
)


@CELLS
def test_cells_have_the_type_that_all_of_them_fit(cells: list[str], kind: pa.DataType, kept: list[Any]) -> None:
    for parts in ([cells], [[cell] for cell in cells]):  # whatever the batches
        types = CellTypes()
        for part in parts:
            types.add(cells_of(pa.array(part)))
        decided = type_of_all([types.of("x")])
        assert decided == kind
        assert [v for part in parts for v in converted(cells_of(pa.array(part)), decided).to_pylist()] == kept


@CELLS
def test_types_do_not_depend_on_how_rows_are_cut_into_files(
    tmp_path: Path, cells: list[str], kind: pa.DataType, kept: list[Any]
) -> None:
    for i, cell in enumerate(cells):
        write(tmp_path / f"{i}.csv", [{"text": f"text {i}", "x": cell}])
    found = opened(tmp_path, "x")
    assert [field.type for field in found.kept] == [kind]
    assert [row["x"] for row in values(found)] == kept


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ([1, None, -2], pa.int64()),
        ([1, 0.5], pa.float64()),
        ([2**53 + 1, 0.5], pa.string()),
        ([2**63], pa.string()),
        ([True, False], pa.bool_()),
        ([True, 1], pa.string()),
        (["1", "2"], pa.string()),
        ([None], pa.null()),
    ],
)
def test_values_of_json_have_the_type_of_all(given: list[Any], kind: pa.DataType) -> None:
    types = JsonTypes()
    for value in given:
        types.add(value)
    assert types.of("x").type == kind


def test_values_of_several_types_are_kept_as_json_writes_them(tmp_path: Path) -> None:
    rows = [{"text": "a", "x": x} for x in ("s", 1, 1.0, True, None)]
    assert [row["x"] for row in values(opened(write(tmp_path / "d.jsonl", rows), "x"))] == [
        "s",
        "1",
        "1.0",
        "true",
        None,
    ]


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_a_column_has_one_type_in_all_batches_and_whatever_part_is_read(tmp_path: Path, name: str) -> None:
    rows = [{"text": "a", "x": i} for i in range(5000)] + [{"text": "a", "x": "last"}]
    path = write(tmp_path / f"d.{name}", rows)
    found = opened(path, "x")
    assert len(list(found.batches())) > 2
    assert [row["x"] for row in values(found)] == [*map(str, range(5000)), "last"]
    for part in (opened(path, "x", limit=3), opened(path, "x", limit=3, offset=7)):
        assert [field.type for field in part.kept] == [pa.string()]


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        ([pa.int8(), pa.int64()], pa.int64()),
        ([pa.uint8(), pa.uint64()], pa.uint64()),
        ([pa.int8(), pa.uint64()], pa.string()),
        ([pa.int64(), pa.float32()], pa.float64()),
        ([pa.null(), pa.date32()], pa.date32()),
        ([pa.timestamp("ns"), pa.timestamp("ms")], pa.timestamp("us")),
        ([pa.timestamp("ns", "UTC"), pa.timestamp("ns")], pa.string()),
        ([pa.string(), pa.int64()], pa.string()),
        ([], pa.string()),
    ],
)
def test_files_of_different_types_agree_on_one(kinds: list[pa.DataType], kind: pa.DataType) -> None:
    assert one_type(kinds) == one_type(reversed(kinds)) == kind


def test_several_files_have_one_type_and_their_cells_stay_as_they_are(tmp_path: Path) -> None:
    for name, cells in (("a.csv", ["1", "NA"]), ("b.csv", ["1.50", "2"]), ("c.csv", ["", ""])):
        write(tmp_path / name, [{"text": "t", "x": cell} for cell in cells])
    found = opened(tmp_path, "x")
    assert [field.type for field in found.kept] == [pa.float64()]
    assert [row["x"] for row in values(found)] == [1.0, None, 1.5, 2.0, None, None]
    write(tmp_path / "d.csv", [{"text": "t", "x": "y"}])
    found = opened(tmp_path, "x")
    assert [row["x"] for row in values(found)] == ["1", "NA", "1.50", "2", None, None, "y"]
    write(tmp_path / "e.csv", [{"text": "t"}])
    assert "e.csv has no column 'x'" in refused(tmp_path, "x")


def test_several_typed_files_have_one_type(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
    columns = {"n": ([1], [0.5]), "when": ([when], ["now"]), "f": ([1.0], ["x"])}
    for i, name in enumerate(("a.parquet", "b.parquet")):
        write(tmp_path / name, pa.table({"text": ["t"], **{key: both[i] for key, both in columns.items()}}))
    assert values(opened(tmp_path, "n,when,f")) == [
        {"n": 1.0, "when": "2024-01-02 00:00:00.000000Z", "f": "1.0"},
        {"n": 0.5, "when": "now", "f": "x"},
    ]


def test_an_unknown_type_of_a_file_names_the_column_and_the_file() -> None:
    with pytest.raises(DataError, match=r"the column 'x' of d\.parquet.*has type list<item: string>.*; leave it out"):
        stored_type(pa.list_(pa.string()), "x", "d.parquet")
