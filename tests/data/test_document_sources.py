import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ig_worker import schema
from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.errors import DataError, UsageError
from tests.data.made_files import ROWS, reasons, refused, rows_of, write

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "imdb.npz"
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="no IMDB files beside the repository (shared/data)")


every_table = pytest.mark.parametrize("name", ["d.parquet", "d.csv", "d.jsonl", "d.ndjson"])


@every_table
def test_every_format_gives_the_same_rows_again_and_again(tmp_path: Path, name: str) -> None:
    documents = open_documents(DataSpec(str(write(tmp_path / name, ROWS))))
    expected = [row | {"fault": None} for row in ROWS]
    assert rows_of(documents) == expected
    assert rows_of(documents) == expected
    assert (documents.name, documents.rows) == (name, 10)


@every_table
def test_offset_and_limit_cut_a_window(tmp_path: Path, name: str) -> None:
    documents = open_documents(DataSpec(str(write(tmp_path / name, ROWS)), offset=3, limit=4))
    assert [row["id"] for row in rows_of(documents)] == ["r3", "r4", "r5", "r6"]
    assert documents.rows == 4


@every_table
def test_columns_of_other_names_are_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"key": 7, "review": "fine", "stars": 3}, {"key": 8, "review": "poor", "stars": 1}])
    spec = DataSpec(str(path), text_column="review", label_column="stars", id_column="key")
    assert rows_of(open_documents(spec)) == [
        {"id": "7", "text": "fine", "label": 3, "fault": None},
        {"id": "8", "text": "poor", "label": 1, "fault": None},
    ]


@every_table
def test_without_ids_and_labels_positions_are_ids_and_labels_null(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"text": "one"}, {"text": "two"}, {"text": "three"}])
    found = rows_of(open_documents(DataSpec(str(path), offset=1)))
    assert [(row["id"], row["label"]) for row in found] == [("row-00000001", None), ("row-00000002", None)]


@every_table
@pytest.mark.parametrize("flag", ["text", "label", "id"])
def test_a_missing_column_names_those_that_exist_and_the_flag(tmp_path: Path, name: str, flag: str) -> None:
    path = write(tmp_path / name, ROWS)
    message = refused(DataSpec(str(path), **{f"{flag}_column": "other"}))  # type: ignore[arg-type]
    assert "no column 'other'" in message
    assert "'id', 'text', 'label'" in message
    assert f"--{flag}-column" in message


@every_table
def test_names_of_classes_are_refused_where_no_model_says_what_they_mean(tmp_path: Path, name: str) -> None:
    rows = [{"text": "x", "label": "pos"}, {"text": "y", "label": "neg"}, {"text": "y", "label": "neg"}]
    message = refused(DataSpec(str(write(tmp_path / name, rows))))
    assert f"the labels of {name} are 'neg' (2 rows), 'pos' (1 row): 'neg', 'pos' are no classes" in message
    assert "--label-map neg=0,pos=1" in message


@pytest.mark.parametrize("name", ["d.parquet", "d.jsonl"])
def test_a_text_column_of_numbers_is_refused(tmp_path: Path, name: str) -> None:
    message = refused(DataSpec(str(write(tmp_path / name, ROWS)), text_column="label"))
    assert "expected strings; name another with --text-column" in message


def test_an_id_column_of_floats_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [{"id": 1.5, "text": "x"}])
    assert "id column" in refused(DataSpec(str(path)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"limit": 0}, "--limit is 0; expected at least 1"),
        ({"offset": -1}, "--offset is -1; expected at least 0"),
        ({"offset": 10}, "--offset is 10; expected less than the 10 rows of d.jsonl"),
    ],
)
def test_impossible_windows_are_refused(tmp_path: Path, change: dict[str, int], told: str) -> None:
    path = write(tmp_path / "d.jsonl", ROWS)
    assert told in refused(DataSpec(str(path), **change))  # type: ignore[arg-type]


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,text,label\n")
    (tmp_path / "d.jsonl").write_text("\n\n")
    pq.write_table(pa.Table.from_pylist([], schema=schema.INPUT), tmp_path / "d.parquet")
    for name in ("d.csv", "d.jsonl", "d.parquet"):
        assert f"{name} has no rows" in refused(DataSpec(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["d.parquet", "d.csv", "d.jsonl", "d.npz"])
def test_files_of_another_format_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "imdb_word_index.json").write_text("{}")
    for content in (b"", b"\x00\xff\xfe garbage", gzip.compress(b"text\nfine\n")):
        (tmp_path / name).write_bytes(content)
        assert name in refused(DataSpec(str(tmp_path / name)))


def test_a_missing_file_a_folder_and_unknown_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    assert "gone.csv does not exist" in refused(DataSpec(str(tmp_path / "gone.csv")))
    assert "folder.parquet has no data files: it is empty" in refused(DataSpec(str(tmp_path / "folder.parquet")))
    assert "reviews.xlsx is the name of no data set, file or folder; expected demo, imdb" in refused(
        DataSpec("reviews.xlsx")
    )
    assert "cannot be reached" in refused(DataSpec("gopher://host/reviews.csv"))
    assert "export the data set to Parquet" in refused(DataSpec("hf:stanfordnlp/imdb"))


def test_messages_do_not_repeat_the_secret_of_a_uri() -> None:
    assert "hunter2" not in refused(DataSpec("gopher://me:hunter2@host/reviews.csv"))


def test_a_file_uri_is_read_like_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", ROWS)
    by_uri = open_documents(DataSpec(path.as_uri()))
    assert rows_of(by_uri) == rows_of(open_documents(DataSpec(str(path))))
    assert by_uri.digest == open_documents(DataSpec(str(path))).digest


def test_the_digest_depends_on_what_determines_the_rows_and_on_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", ROWS)
    copy = write(tmp_path / "copy.jsonl", ROWS)
    other = write(tmp_path / "other.jsonl", ROWS[1:])

    def digest(path: Path, **changes: object) -> str:
        return open_documents(DataSpec(str(path), **changes)).digest  # type: ignore[arg-type]

    assert digest(path) == digest(copy) == digest(path, limit=10) == digest(path, limit=99, split="train")
    others = {
        digest(path),
        digest(other),
        digest(path, limit=5),
        digest(path, offset=5),
        digest(path, id_column="label"),
    }
    assert len(others) == 5


def test_csv_text_may_hold_line_breaks_quotes_and_null_words(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('id,text,label\n1,"one\ntwo, ""three""",1\n2,NA,\n3,null,0\n', newline="")
    found = rows_of(open_documents(DataSpec(str(tmp_path / "d.csv"))))
    assert [row["text"] for row in found] == ['one\ntwo, "three"', "NA", "null"]
    assert [row["label"] for row in found] == [1, None, 0]


def test_an_empty_csv_cell_is_an_empty_text(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,text,label\n1,,1\n2,fine,1\n,fine,1\n")
    assert reasons(open_documents(DataSpec(str(tmp_path / "d.csv")))) == {0: "empty_text", 2: "null_id"}


def test_a_ragged_csv_is_refused_with_file_and_row_before_anything_starts(tmp_path: Path) -> None:
    good = "1,fine,1\n" * 5000
    (tmp_path / "d.csv").write_text(f"id,text,label\n{good}2,poor\n{good}")
    message = refused(DataSpec(str(tmp_path / "d.csv")))
    assert "d.csv" in message
    assert "Row #5002: Expected 3 columns, got 2" in message


@pytest.mark.parametrize("row", ['2,1,"good', '2,1,"good" film', '2,1,"a \\"good\\" film"'])
def test_a_broken_quote_is_refused_and_does_not_swallow_the_rows_after_it(tmp_path: Path, row: str) -> None:
    # Arrow would read the first as one text of all rows to the end of the file.
    (tmp_path / "d.csv").write_text(f'id,label,text\n1,1,"two\nlines"\n{row}\n3,0,"dull"\n4,0,fine\n')
    message = refused(DataSpec(str(tmp_path / "d.csv")))
    assert "the quotes in" in message
    assert "in the row that begins in line 4" in message


def test_a_quote_inside_an_unquoted_cell_is_a_character_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('id,text\n1,a 5" disc\n2,fine\n')
    assert [row["text"] for row in rows_of(open_documents(DataSpec(str(tmp_path / "d.csv"))))] == ['a 5" disc', "fine"]


def test_a_csv_of_absurd_width_or_without_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text" + ",x" * 10_000 + "\n")
    assert "has 10001 columns; expected at most 10000" in refused(DataSpec(str(path)))
    monkeypatch.setattr("ig_worker.data.delimited._BLOCK_BYTES", 100)
    path.write_text("text\n" + "x" * 1000)
    assert "has a line of more than 100 bytes" in refused(DataSpec(str(path)))
    path.write_text('text\n"' + "x\n" * 1000 + '"')
    assert "field larger than field limit (100)" in refused(DataSpec(str(path)))


def test_csv_rows_are_batched_by_the_few_thousand(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text\n" + "fine\n" * 9000)
    documents = open_documents(DataSpec(str(tmp_path / "d.csv")))
    assert max(batch.num_rows for batch in documents.batches()) <= 4096
    assert [row["id"] for row in rows_of(documents)] == [f"row-{row:08d}" for row in range(9000)]


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_one_text_in_another_encoding_among_texts_in_utf8_costs_only_its_row(tmp_path: Path, name: str) -> None:
    lines = {
        "d.csv": "id,text\na,né\nb,café\nc,né\n",
        "d.jsonl": '{"text":"né"}\n{"text":"café"}\n{"text":"né"}\n',
    }
    (tmp_path / name).write_bytes(lines[name].encode().replace("café".encode(), "café".encode("latin-1")))
    documents = open_documents(DataSpec(str(tmp_path / name)))
    assert [row["text"] for row in rows_of(documents)] == ["né", None, "né"]
    assert reasons(documents) == {1: "unreadable_row"}


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(rows_of(open_documents(DataSpec(str(path))))) == 10


def test_broken_json_lines_cost_only_their_rows(tmp_path: Path) -> None:
    lines = [
        '{"id":"a","text":"x"}',
        "{broken",
        "[1]",
        '{"id":"b"}',
        '{"id":"c","text":5}',
        '{"id":"d","text":"\\ud800"}',
    ]
    (tmp_path / "d.jsonl").write_text(
        "\n\n".join([*lines, "[" * 100_000, '{"id":1.5,"text":"x"}', '{"id":8,"text":"y"}'])
    )
    documents = open_documents(DataSpec(str(tmp_path / "d.jsonl")))
    found = reasons(documents)
    assert {at for at, reason in found.items() if reason == "unreadable_row"} == {1, 2, 4, 5, 6, 7}
    assert found[3] == "null_text"
    faults = [row["fault"] for row in rows_of(documents)]
    assert str(faults[1]).startswith("line 3 is not JSON (")
    assert faults[4:6] == ["text 5 is not a string", "text has half a surrogate pair (character 0)"]
    assert rows_of(documents)[8]["id"] == "8"


@pytest.mark.parametrize("first", [b"{broken", b"[1]", b'{"text": "x", "id": ' + b"9" * 5000 + b"}"])
def test_a_first_line_that_is_broken_costs_only_its_row_like_any_other(tmp_path: Path, first: bytes) -> None:
    (tmp_path / "d.jsonl").write_bytes(first + b'\n{"text": "y"}\n{"text": "z"}\n')
    documents = open_documents(DataSpec(str(tmp_path / "d.jsonl")))
    assert [row["text"] for row in rows_of(documents)] == [None, "y", "z"]
    assert [reason for reason in reasons(documents).values() if reason != "null_id"] == ["unreadable_row"]


def test_a_row_with_a_thousand_keys_does_not_hide_the_text_column(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [{f"k{i}": 1 for i in range(1000)}, {"text": "x", "label": 1}])
    documents = open_documents(DataSpec(str(path)))
    assert [(row["text"], row["label"]) for row in rows_of(documents)] == [(None, None), ("x", 1)]


def test_a_pretty_printed_json_array_is_no_json_lines_file(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps(ROWS, indent=1))
    assert "d.jsonl is a JSON array: line 1 is not JSON" in refused(DataSpec(str(tmp_path / "d.jsonl")))


def test_a_json_array_is_no_json_lines_file(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps(ROWS))
    message = refused(DataSpec(str(tmp_path / "d.jsonl")))
    assert "d.jsonl is a JSON array: line 1 is not a JSON object; expected one JSON object a line" in message
    assert "jq -c '.[]'" in message


def test_json_texts_that_look_like_dates_stay_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [{"text": "2020-01-01"}, {"text": "2021-01-01"}])
    assert [row["text"] for row in rows_of(open_documents(DataSpec(str(path))))] == ["2020-01-01", "2021-01-01"]


def test_a_line_beyond_the_limit_costs_only_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ig_worker.data.json_rows.MAX_LINE_BYTES", 100)
    path = write(tmp_path / "d.jsonl", [{"text": "x"}, {"text": "y" * 1000}, {"text": "z"}])
    documents = open_documents(DataSpec(str(path)))
    assert [row["text"] for row in rows_of(documents)] == ["x", None, "z"]
    assert rows_of(documents)[1]["fault"] == "line 2 is longer than 100 bytes"


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,text\na,b\n")
    assert "2 columns called 'text'" in refused(DataSpec(str(tmp_path / "d.csv")))


@pytest.mark.parametrize("damage", ["a page in the middle", "the end cut off", "a row group cut out"])
def test_a_damaged_parquet_file_is_refused_before_anything_starts(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(
        pa.Table.from_pylist(ROWS * 5000), path, compression="zstd", use_dictionary=False, row_group_size=10_000
    )
    data, middle = path.read_bytes(), path.stat().st_size // 2
    page = data[:middle] + b"\xff" * 500 + data[middle + 500 :]
    path.write_bytes(
        {"a page in the middle": page, "the end cut off": data[:-9], "a row group cut out": data[:999] + data[9999:]}[
            damage
        ]
    )
    assert "d.parquet cannot be read" in refused(DataSpec(str(path)))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
@pytest.mark.parametrize("in_dictionary", [True, False])
def test_long_texts_make_short_batches_however_few_bytes_they_take(tmp_path, monkeypatch, kind, in_dictionary) -> None:
    monkeypatch.setattr("ig_worker.data.columnar._BATCH_BYTES", 1000)
    texts = ["x" * 600, None, "y" * 600, *["x" * 600] * 1000, "", "z" * 5000, "end"]
    table = pa.table({"text": pa.array(texts, pa.string()).cast(kind)})
    pq.write_table(table, tmp_path / "d.parquet", use_dictionary=in_dictionary)
    documents = open_documents(DataSpec(str(tmp_path / "d.parquet")))
    assert [row["text"] for row in rows_of(documents)] == texts
    assert [row["id"] for row in rows_of(documents)] == [f"row-{i:08d}" for i in range(len(texts))]
    sizes = [sum(len(text or "") for text in batch.column("text").to_pylist()) for batch in documents.batches()]
    assert sorted(sizes)[-2] <= 1200
    assert max(sizes) <= 6000, "of one text"


def test_a_file_that_shrinks_after_it_was_opened_is_noticed(tmp_path: Path) -> None:
    documents = open_documents(DataSpec(str(write(tmp_path / "d.jsonl", ROWS))))
    write(tmp_path / "d.jsonl", ROWS[:4])
    with pytest.raises(DataError, match=r"d\.jsonl has 4 rows now and had 10"):
        rows_of(documents)


def small_imdb(folder: Path, index_name: str = "imdb_word_index.json") -> Path:
    lists = np.empty(3, dtype=object)
    lists[:] = [[1, 2], [2], [1, 4]]
    np.savez(folder / "imdb.npz", x_train=lists, y_train=[1, 1, 0], x_test=lists, y_test=[1, 0, 0])
    (folder / index_name).write_text(json.dumps({"the": 1, "Film": 2}))
    return folder / "imdb.npz"


def test_an_archive_is_read_in_keras_order_with_the_word_index_beside_it(tmp_path: Path) -> None:
    documents = open_documents(DataSpec(str(small_imdb(tmp_path))))
    rng = np.random.RandomState(113)
    rng.permutation(3)
    texts, labels = np.array(["the Film", "Film", "the [UNK]"]), np.array([1, 0, 0])
    order = rng.permutation(3)
    found = rows_of(documents)
    assert [row["id"] for row in found] == ["test-00000", "test-00001", "test-00002"]
    assert [row["text"] for row in found] == texts[order].tolist()
    assert [row["label"] for row in found] == labels[order].tolist()
    assert (documents.name, documents.class_names) == ("imdb.npz (test split)", ("negative", "positive"))


def test_an_archives_digest_depends_on_split_decode_and_word_index(tmp_path: Path) -> None:
    path = str(small_imdb(tmp_path))
    (tmp_path / "other.json").write_text('{"a": 1}')
    specs = [
        DataSpec(path),
        DataSpec(path, split="train"),
        DataSpec(path, imdb_decode="2022"),
        DataSpec(path, word_index=str(tmp_path / "other.json")),
    ]
    assert len({open_documents(spec).digest for spec in specs}) == 4
    assert open_documents(specs[0]).digest == open_documents(specs[0]).digest


def test_an_archive_without_its_word_index_names_the_flag(tmp_path: Path) -> None:
    path = str(small_imdb(tmp_path, "elsewhere.json"))
    assert "--word-index" in refused(DataSpec(path))
    assert open_documents(DataSpec(path, word_index=str(tmp_path / "elsewhere.json"))).rows == 3


def test_unknown_splits_and_decodes_are_refused(tmp_path: Path) -> None:
    path = str(small_imdb(tmp_path))
    for dataset in (path, "demo"):
        assert "--split is 'dev'; expected train or test" in refused(DataSpec(dataset, split="dev"))
    with pytest.raises(UsageError, match="--imdb-decode"):
        open_documents(DataSpec(path, imdb_decode="2023"))


def test_the_demo_is_a_data_set_like_any_other() -> None:
    documents = open_documents(DataSpec("demo", offset=390))
    assert (documents.name, documents.rows, documents.class_names) == (
        "demo (test split)",
        10,
        ("negative", "positive"),
    )
    assert rows_of(documents)[0]["id"] == "demo-test-00390"
    assert reasons(documents) == {}


@needs_real
def test_the_real_reviews_are_read_whole_and_balanced() -> None:
    documents = open_documents(DataSpec(str(REAL), imdb_decode="2022", limit=3000))
    found = rows_of(documents)
    assert [found[0]["id"], found[-1]["id"]] == ["test-00000", "test-02999"]
    assert 1400 < sum(row["label"] == 1 for row in found) < 1600  # sorted by label in the archive, shuffled here
    assert [row["label"] for row in found[:10]] == [0, 1, 1, 0, 1, 1, 1, 0, 0, 1]  # as Keras' y_test begins
    assert all(text == str(text).lower() for text in (str(row["text"]).replace("[UNK]", "") for row in found))
    assert reasons(documents) == {}
