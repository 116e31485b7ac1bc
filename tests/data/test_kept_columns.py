"""Further columns of a data set: which are kept, by what name, of what type, and what is refused."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from ig_worker.data.faults import FaultFinder, documents
from ig_worker.data.kept_columns import kept_names
from ig_worker.data.kept_types import CellTypes, JsonTypes, cells_of, converted, one_type, stored_type
from ig_worker.data.sources import DataSpec, Documents, open_documents
from ig_worker.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "good film", "label": 1, "source": "mail", "year": 2001, "score": 1.5, "ok": True},
    {"id": "b", "text": "dull", "label": 0, "source": None, "year": None, "score": None, "ok": None},
    {"id": "c", "text": "great", "label": 1, "source": "web", "year": -3, "score": 2.0, "ok": False},
]
NAMES = ("source", "year", "score", "ok")
TYPES = [pa.string(), pa.int64(), pa.float64(), pa.bool_()]
FORMATS = ("d.jsonl", "d.csv", "d.parquet", "d.arrow")


def write(path: Path, rows: list[dict[str, Any]] | pa.Table) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        if path.suffix == ".parquet":
            pq.write_table(table, path)
        else:
            with ipc.new_stream(str(path), table.schema) as writer:
                writer.write_table(table)
    return path


def opened(place: Path | str, keep: str | tuple[str, ...], **more: Any) -> Documents:
    return open_documents(DataSpec(str(place), keep_columns=keep, **more))


def values(found: Documents) -> list[dict[str, Any]]:
    """The columns that are kept, row by row."""
    names = [field.name for field in found.kept]
    batches = list(found.batches())
    assert all(batch.schema == documents(kept=found.kept) for batch in batches)
    return [row for batch in batches for row in batch.select(names).to_pylist()]


def refused(place: Path | str, keep: str | tuple[str, ...], **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        opened(place, keep, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_columns_of_each_format_keep_their_types_and_nulls(tmp_path: Path, name: str) -> None:
    found = opened(write(tmp_path / name, ROWS), ",".join(NAMES))
    assert [(field.name, field.type) for field in found.kept] == list(zip(NAMES, TYPES, strict=True))
    assert values(found) == [{name: row[name] for name in NAMES} for row in ROWS]
    assert [FaultFinder().check(batch) for batch in found.batches()] == [{}], "a null costs no row"


@pytest.mark.parametrize("name", FORMATS)
def test_rows_and_digest_are_those_of_the_columns_that_are_kept(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    plain, found = open_documents(DataSpec(str(path))), opened(path, "year,source")
    assert [row["source"] for row in values(found)] == ["mail", None, "web"]
    assert [field.name for field in found.kept] == ["year", "source"], "in the order in which they are named"
    assert next(plain.batches()).schema == documents()
    assert found.content == plain.content
    digests = {plain.digest, found.digest, opened(path, "source,year").digest, opened(path, "source").digest}
    assert len(digests) == 4
    assert opened(path, ("source", "year")).digest == opened(path, " source , year").digest
    assert opened(path, "").digest == plain.digest


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("sources", "has no column 'sources'; expected one of its columns: 'id', 'text', 'label', 'source', 'year', "
         "'score', 'ok'; name it with --keep-columns, such as --keep-columns source"),
        ("year,label", "--keep-columns names 'label', and every run has a column of that name for itself; expected "
         "another name; rename it in the data set"),
        ("Prediction", "names 'Prediction', and every run has a column of that name"),
        ("year,source,year", "--keep-columns names 'year' twice"),
        ("year,Year", "--keep-columns names 'year' and 'Year'"),
        ("year,,ok", "--keep-columns is 'year,,ok', which has an empty name"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_in_a_line(tmp_path: Path, name: str, asked: str, message: str) -> None:
    assert message in refused(write(tmp_path / name, ROWS), asked)


@pytest.mark.parametrize("name", FORMATS)
def test_a_column_of_texts_is_not_kept_again_but_that_of_labels_or_ids_is(tmp_path: Path, name: str) -> None:
    rows = [{"nr": 7, "review": "good", "reply": "so so", "stars": 1, "by": "x"}]
    path = write(tmp_path / name, rows)
    columns = {"text_column": "review", "pair_column": "reply", "label_column": "stars", "id_column": "nr"}
    for asked in ("review", "Reply"):
        assert f"names '{asked}', which is a column of texts already; expected another" in refused(
            path, asked, **columns
        )
    found = opened(path, "stars,nr", **columns)
    (batch,) = found.batches()
    assert batch.schema == documents(pairs=True, kept=[pa.field("stars", pa.int64()), pa.field("nr", pa.int64())])
    assert batch.to_pylist() == [
        {"id": "7", "text": "good", "pair": "so so", "label": 1, "stars": 1, "nr": 7, "fault": None}
    ]


def test_a_name_that_differs_in_case_is_found_told_and_called_as_it_was_asked_for(tmp_path: Path) -> None:
    found = opened(write(tmp_path / "d.csv", ROWS), "Source")
    assert [row["Source"] for row in values(found)] == ["mail", None, "web"]
    assert any("the column 'source' of" in note and "is taken for 'Source'" in note for note in found.notes)
    assert found.digest != opened(tmp_path / "d.csv", "source").digest


def test_fields_of_structures_are_kept_by_their_paths(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "meta": {"by": "x", "year": 1}},
        {"text": "b", "meta": None},
        {"text": "c", "meta": {"by": "y"}},
    ]
    for name in ("d.parquet", "d.arrow", "d.jsonl"):
        found = opened(write(tmp_path / name, rows), "meta.by,meta.year")
        assert values(found) == [
            {"meta.by": "x", "meta.year": 1},
            {"meta.by": None, "meta.year": None},
            {"meta.by": "y", "meta.year": None},
        ]
        assert "--keep-columns meta.by, or leave it out" in refused(tmp_path / name, "meta")


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


@pytest.mark.parametrize(
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
def test_cells_have_the_type_that_all_of_them_fit(cells: list[str], kind: pa.DataType, kept: list[Any]) -> None:
    for parts in ([cells], [[cell] for cell in cells]):  # whatever the batches
        types = CellTypes()
        for part in parts:
            types.add(cells_of(pa.array(part)))
        decided = one_type([types.type])
        assert decided == kind
        assert [v for part in parts for v in converted(cells_of(pa.array(part)), decided).to_pylist()] == kept


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
    assert types.type == kind


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


@pytest.mark.parametrize("name", ["d.parquet", "d.jsonl", "d.csv"])
def test_values_in_the_path_of_a_file_are_kept_and_decide_the_digest(tmp_path: Path, name: str) -> None:
    def place(folder: str, *years: str) -> Path:
        for i, year in enumerate(years):
            (tmp_path / folder / f"year={year}").mkdir(parents=True)
            write(tmp_path / folder / f"year={year}" / name, [{"text": f"text {i}"}])
        return tmp_path / folder

    found = opened(place("a", "2001", "2002"), "year")
    assert [field.type for field in found.kept] == [pa.int64()]
    assert values(found) == [{"year": 2001}, {"year": 2002}]
    assert found.digest != opened(place("b", "2001", "2003"), "year").digest
    assert values(opened(place("c", "2001", "later"), "year")) == [{"year": "2001"}, {"year": "later"}]


def test_the_demo_has_one_further_column_and_imdb_none() -> None:
    found = opened("demo", "length")
    assert {row["length"] for row in values(found)} == {"short", "usual", "long"}
    assert found.digest != open_documents(DataSpec("demo")).digest
    assert "demo has no column 'source'; expected one of its columns: 'text', 'label', 'id', 'length'" in refused(
        "demo", "source"
    )
    assert refused("imdb", "source,lang") == (
        "--keep-columns names 'source', 'lang', and imdb has only texts and labels; leave it out"
    )


def test_a_name_with_a_comma_stands_in_quotes() -> None:
    assert kept_names('"a, b", c') == ("a, b", "c")
    assert kept_names(("a", "b,c")) == ("a", "b", "c")
    assert kept_names(None) == kept_names("") == kept_names(()) == ()


def test_a_long_string_of_a_dictionary_is_written_out_piece_by_piece(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ig_worker.data.columnar._BATCH_BYTES", 1000)
    table = pa.table({"text": ["t"] * 300, "x": pa.array(["long " * 20] * 300).dictionary_encode()})
    for name in ("d.parquet", "d.arrow"):
        found = opened(write(tmp_path / name, table), "x")
        assert max(batch.num_rows for batch in found.batches()) < 20
        assert len(values(found)) == 300


def test_an_unknown_type_of_a_file_names_the_column_and_the_file() -> None:
    with pytest.raises(DataError, match=r"the column 'x' of d\.parquet.*has type list<item: string>.*; leave it out"):
        stored_type(pa.list_(pa.string()), "x", "d.parquet")
