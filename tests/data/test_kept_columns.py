"""Further columns of a data set: which are kept, by what name, of what type, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ig_worker.data.faults import FaultFinder, documents
from ig_worker.data.kept_columns import kept_names
from ig_worker.data.sources import DataSpec, open_documents
from tests.data.kept_files import opened, refused, values, write

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "good film", "label": 1, "source": "mail", "year": 2001, "score": 1.5, "ok": True},
    {"id": "b", "text": "dull", "label": 0, "source": None, "year": None, "score": None, "ok": None},
    {"id": "c", "text": "great", "label": 1, "source": "web", "year": -3, "score": 2.0, "ok": False},
]
NAMES = ("source", "year", "score", "ok")
TYPES = [pa.string(), pa.int64(), pa.float64(), pa.bool_()]
FORMATS = ("d.jsonl", "d.csv", "d.parquet", "d.arrow")


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
