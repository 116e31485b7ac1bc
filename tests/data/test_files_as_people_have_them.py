"""Files as people have them: read for what they are, or refused in one line that says what to do."""

from __future__ import annotations

import bz2
import gzip
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ig_worker.data import streams
from ig_worker.data.sources import DataSpec, open_documents
from tests.data.made_files import ROWS, column, opened, parts, reasons, refused, rows_of, write

FRENCH = ["un café très bon", "déjà vu", "le cinéma", "à la fin"]
RUSSIAN = ["очень хороший фильм", "плохой сюжет", "ужасно скучно"]
JAPANESE = ["とても良い映画", "退屈な話でした", "素晴らしい俳優"]


def lines_of(texts: list[str], suffix: str) -> str:
    if suffix == ".csv":
        return "text,label\n" + "".join(f"{text},1\n" for text in texts)
    return "".join(json.dumps({"text": text, "label": 1}, ensure_ascii=False) + "\n" for text in texts)


# Columns.


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.parquet"])
def test_columns_that_differ_in_blanks_or_case_are_found_and_told(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name, [{"ID": "a", " Text": "fine", " label": 1}, {"ID": "b", " Text": "dull", " label": 0}]
    )
    documents = opened(path)
    assert [(row["id"], row["text"], row["label"]) for row in rows_of(documents)] == [
        ("a", "fine", 1),
        ("b", "dull", 0),
    ]
    assert any(note.endswith(f"{name} is taken for 'label'") for note in documents.notes)


def test_a_column_of_the_very_name_comes_first_and_two_alike_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", [{"text": "fine", "label": 1, "Label": 0}])
    assert column(opened(path), "label") == [1]
    path = write(tmp_path / "e.csv", [{"text": "fine", "LABEL": 1, "Label": 0}])
    assert "has 2 columns 'LABEL', 'Label'; rename all but one" in refused(DataSpec(str(path)))


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.parquet"])
def test_a_file_without_labels_says_so_and_names_the_column_that_may_have_them(tmp_path: Path, name: str) -> None:
    documents = opened(write(tmp_path / name, [{"id": "a", "text": "fine", "sentiment": 1}]))
    assert (
        "has no column 'label': its rows have no labels (with --label-column sentiment they have)" in documents.notes[0]
    )
    assert opened(write(tmp_path / name, [{"id": "a", "text": "fine"}])).notes == ()


@pytest.mark.parametrize(
    ("names", "suggestion"),
    [
        (["id", "review", "stars"], "review"),
        (["id", "reviewText", "overall"], "reviewText"),
        (["a", "Sentences", "b"], "Sentences"),
        (["id", "txt", "label"], "txt"),
    ],
)
def test_a_missing_text_column_suggests_the_nearest(tmp_path: Path, names: list[str], suggestion: str) -> None:
    path = write(tmp_path / "d.csv", [dict.fromkeys(names, "x")])
    assert f"such as --text-column {suggestion}" in refused(DataSpec(str(path)))


def test_a_csv_without_a_header_is_asked_for_one(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(f"0,{'a long review ' * 20},1\n1,dull,0\n")
    message = refused(DataSpec(str(tmp_path / "d.csv")))
    assert "is there a line of column names at its top?" in message
    assert len(message) < 400


def test_labels_can_be_left_unread(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", [{"text": "fine", "label": "whatever"}])
    documents = opened(path, label_column="")
    assert (column(documents, "label"), documents.notes) == ([None], ())


@pytest.mark.parametrize("name", ["d.jsonl", "d.parquet"])
def test_a_field_of_an_object_is_named_by_its_path(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"review": {"text": "fine", "meta": {"label": 1}}}, {"review": None}])
    assert "such as --text-column review.text" in refused(DataSpec(str(path)))
    documents = opened(path, text_column="review.text", label_column="review.meta.label")
    assert [(row["text"], row["label"]) for row in rows_of(documents)] == [("fine", 1), (None, None)]


# Nothing.


def test_words_for_nothing_in_a_csv_are_null_as_in_json_lines(tmp_path: Path) -> None:
    words = ["NaN", "nan", "NA", "N/A", "null", "None", "<NA>", "", " ", "-1", "1"]
    (tmp_path / "d.csv").write_text("id,text,label\n" + "".join(f"{i},x,{word}\n" for i, word in enumerate(words)))
    labels = [*[None] * (len(words) - 1), 1]
    write(tmp_path / "d.jsonl", [{"id": str(i), "text": "x", "label": label} for i, label in enumerate(labels)])
    found = opened(tmp_path / "d.csv")
    assert rows_of(found) == rows_of(opened(tmp_path / "d.jsonl"))
    assert reasons(found) == {}
    assert "'NaN' (1 row)" in found.notes[0]


# Encodings.


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("texts", "encoding", "told"),
    [
        (FRENCH, "latin-1", "latin-1"),
        ([f"“{text}” – €" for text in FRENCH], "windows-1252", "windows-1252"),
        (FRENCH, "utf-16", "utf-16"),
        (FRENCH, "utf-16-le", "utf-16-le"),
        (FRENCH, "utf-16-be", "utf-16-be"),
        (FRENCH, "utf-32", "utf-32"),
        (RUSSIAN, "windows-1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (JAPANESE, "shift_jis", "shift_jis"),
        (JAPANESE, "euc_jp", "euc_jp"),
    ],
)
def test_a_file_in_another_encoding_is_refused_with_its_name_and_read_with_it(
    tmp_path: Path, suffix: str, texts: list[str], encoding: str, told: str
) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(lines_of(texts, suffix).encode(encoding))
    message = refused(DataSpec(str(path)))
    assert f"add --encoding {told}, or" in message
    assert path.name in message
    assert column(opened(path, encoding=encoding), "text") == texts


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_utf8_that_is_asked_for_costs_the_rows_that_are_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(lines_of(["plain", "café"], suffix).encode("latin-1"))
    assert "it looks like latin-1" in refused(DataSpec(str(path)))
    documents = opened(path, encoding="utf-8")
    assert column(documents, "text") == ["plain", None]
    assert reasons(documents) == {1: "unreadable_row"}


def test_a_byte_that_an_encoding_does_not_have_costs_only_its_row(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b"text\ncaf\xe9\nbad \x81\nfine\n")
    documents = opened(tmp_path / "d.csv", encoding="windows-1252")
    assert column(documents, "text") == ["café", None, "fine"]
    assert reasons(documents) == {1: "unreadable_row"}


@pytest.mark.parametrize("encoding", ["utf-9", "", "base64", "rot13", "idna", "unicode_escape", "a\0b"])
def test_what_is_no_encoding_of_texts_is_refused(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "d.csv", ROWS)
    assert f"--encoding is {encoding!r}; expected an encoding such as" in refused(
        DataSpec(str(path), encoding=encoding)
    )


def test_settings_of_text_files_are_refused_where_nothing_reads_them(tmp_path: Path) -> None:
    path = str(write(tmp_path / "d.parquet", ROWS))
    assert "--encoding is 'latin-1', which .parquet files do not have" in refused(DataSpec(path, encoding="latin-1"))
    assert "--delimiter is ';', which .parquet files do not have" in refused(DataSpec(path, delimiter=";"))


# Packed files.


def zstandard(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


packed = partial(gzip.compress, mtime=0)  # names of tests must not change with the time
PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": packed, ".bz2": bz2.compress, ".zst": zstandard}


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.jsonl"])
@pytest.mark.parametrize("packing", [".gz", ".zst", ".bz2"])
def test_a_packed_file_is_read_like_what_it_packs(tmp_path: Path, name: str, packing: str) -> None:
    data = write(tmp_path / name.replace("tsv", "csv"), ROWS).read_bytes()
    data = data.replace(b",", b"\t") if name == "d.tsv" else data
    (tmp_path / name).write_bytes(data)
    packed = tmp_path / (name + packing)
    packed.write_bytes(PACKERS[packing](data[:40]) + PACKERS[packing](data[40:]))  # as after `cat a.gz b.gz`
    assert rows_of(opened(packed)) == rows_of(opened(tmp_path / name))
    assert opened(packed).digest == opened(tmp_path / name).digest


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("d.csv", packed(b"text\nfine\n"), "is packed by gzip"),
        ("d.csv.gz", b"text\nfine\n", "is not packed by gzip"),
        ("d.csv.gz", packed(b"text\nfine\n" * 99)[:-9], "cannot be read (Truncated"),
        ("d.jsonl.gz", packed(packed(b"{}")), "is packed by gzip"),
        ("d.parquet.gz", packed(b"PAR1"), "is packed by gzip; expected"),
        ("d.csv", b"PAR1....", "is Parquet"),
        ("d.csv", b"PK\x03\x04...", "is a zip archive or an Excel workbook"),
        ("d.jsonl", b"<!DOCTYPE html>\n<html>", "is a web page"),
        ("d.parquet", b"version https://git-lfs.github.com/spec/v1\n", "is the pointer that Git LFS left"),
        ("d.arrow", b"ARROW1\0\0", "is an Arrow or Feather file"),
    ],
)
def test_a_file_of_another_kind_than_its_name_says_is_called_by_its_kind(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert f"{name} {told}" in refused(DataSpec(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["d.csv.gz", "d.jsonl.gz"])
def test_a_file_that_unpacks_to_what_no_text_would_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(streams, "_UNPACKED_TIMES", 1)
    lines = b"text\n" + b"fine\n" * 500_000 if name == "d.csv.gz" else b'{"text": "fine"}\n' * 200_000
    (tmp_path / name).write_bytes(gzip.compress(lines))
    assert "and unpacks to more than 1048576; expected a file of texts" in refused(DataSpec(str(tmp_path / name)))


# CSV of other places.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.tsv", "id\ttext\tlabel\n1\tgood, fine\t1\n2\tdull\t0\n"),
        ("d.csv", "id;text;label\n1;good, fine;1\n2;dull;0\n"),
        ("d.csv", "id\ttext\tlabel\r\n1\tgood, fine\t1\r\n2\tdull\t0\r\n"),
        ("d.csv", "id|text|label\n1|good, fine|1\n2|dull|0\n"),
        ("d.csv", "sep=;\r\nid;text;label\r\n1;good, fine;1\r\n2;dull;0\r\n"),
        ("d.csv", 'sep=,\nid,text,label\n1,"good, fine",1\n2,dull,0\n'),
        ("d.csv", '\n\nid,text,label\n1,"good, fine",1\n2,dull,0\n'),
        ("d.csv", 'id,text,label\r1,"good, fine",1\r2,dull,0\r'),
        ("d.csv", 'id,text,label,\n1,"good, fine",1,\n2,dull,0,\n'),
        ("d.csv", 'id,text, label\n1,"good, fine", 1\n2,dull, 0\n'),
    ],
)
def test_cells_are_told_apart_however_a_spreadsheet_wrote_them(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, newline="")
    found = rows_of(opened(tmp_path / name))
    assert [(row["id"], row["text"], row["label"]) for row in found] == [("1", "good, fine", 1), ("2", "dull", 0)]


def test_a_delimiter_that_was_found_is_told_and_reads_the_rows_of_one_that_was_given(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id;text\n1;fine\n")
    found = opened(tmp_path / "d.csv")
    assert "are taken to be separated by ';'" in found.notes[0]
    assert found.digest == opened(tmp_path / "d.csv", delimiter=";").digest
    assert "no column 'text'" in refused(DataSpec(str(tmp_path / "d.csv"), delimiter="|"))
    assert "--delimiter is '::'; expected one character" in refused(DataSpec(str(tmp_path / "d.csv"), delimiter="::"))


def test_a_blank_before_a_quote_is_not_made_a_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('id, text, label\n1, "good", 1\n')
    assert "in the row that begins in line 2: a blank before a quote" in refused(DataSpec(str(tmp_path / "d.csv")))


# Several files.


@pytest.mark.parametrize("name", ["part-1.parquet", "part-1.csv", "part-1.jsonl"])
@pytest.mark.parametrize("asked", ["folder", "folder/", "folder/*", "folder/part-*", "folder/p*[01].*", "f*r/part-*"])
def test_a_folder_and_a_pattern_are_read_in_the_order_of_their_names(tmp_path: Path, name: str, asked: str) -> None:
    parts(tmp_path / "folder", name, name.replace("1", "0"))
    for other in ("_SUCCESS", ".part-0.crc", "_temporary/part-2.parquet", ".git/x.csv", "README.md"):
        (tmp_path / "folder" / other).parent.mkdir(exist_ok=True)
        (tmp_path / "folder" / other).write_text("no rows")
    documents = opened(f"{tmp_path}/{asked}")
    first, second = name.replace("1", "0"), name
    assert column(documents, "text") == [f"{first} 0", f"{first} 1", f"{second} 0", f"{second} 1"]
    ids = [str(one).rpartition("/")[2] for one in column(documents, "id")]
    assert ids == [f"{first}:row-00000000", f"{first}:row-00000001", f"{second}:row-00000000", f"{second}:row-00000001"]


def test_several_data_sets_are_one_with_ids_that_stay_unique(tmp_path: Path) -> None:
    parts(tmp_path, "b/x.csv", "a/x.jsonl", "c.parquet")
    places = ("c.parquet", "b/x.csv", "a")
    documents = open_documents(DataSpec(tuple(str(tmp_path / place) for place in places)))
    assert column(documents, "text") == [f"{n} {i}" for n in ("a/x.jsonl", "b/x.csv", "c.parquet") for i in (0, 1)]
    ids = column(documents, "id")
    assert ids[0] == "a/x.jsonl:row-00000000"
    assert len(set(ids)) == 6
    assert documents.name == "a/x.jsonl and 2 more"


def test_the_same_given_id_twice_in_one_of_several_files_is_a_duplicate(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv", "b.csv", id=["7", "7"])
    assert column(opened(tmp_path / "d"), "id") == ["a.csv:7", "a.csv:7", "b.csv:7", "b.csv:7"]
    assert reasons(opened(tmp_path / "d")) == {1: "duplicate_id", 3: "duplicate_id"}


def test_limit_offset_and_labels_run_over_all_files(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv", "b.csv", "c.csv", label=["0", "1"])
    documents = opened(tmp_path / "d", offset=1, limit=3)
    assert column(documents, "label") == [1, 0, 1]
    assert documents.labels.counts == {"0": 1, "1": 2}


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv", "b.csv")
    twice = (str(tmp_path / "d/a.csv"), str(tmp_path / "d"))
    assert "a.csv twice; name every file once" in refused(DataSpec(twice))
    assert "twice" in refused(DataSpec((twice[0], twice[0])))


@pytest.mark.parametrize("name", ["demo", "imdb", "d.npz"])
def test_a_data_set_that_is_no_file_of_rows_stands_alone(tmp_path: Path, name: str) -> None:
    assert f"--dataset names {name} among others" in refused(DataSpec((name, "a.csv")))


def test_partitions_are_columns(tmp_path: Path) -> None:
    parts(
        tmp_path / "e",
        "label=1/lang=d%20e/p.csv",
        "label=0/lang=en/p.csv",
        "label=__HIVE_DEFAULT_PARTITION__/lang=fr/p.csv",
    )
    assert column(opened(tmp_path / "e"), "label") == [0, 0, 1, 1, None, None]
    assert column(opened(tmp_path / "e", text_column="lang", limit=4), "text") == ["en", "en", "d e", "d e"]
    assert column(opened(f"{tmp_path}/e/label=*/*/*.csv"), "label") == [0, 0, 1, 1, None, None]


def test_an_equals_sign_in_the_path_of_one_file_is_no_partition(tmp_path: Path) -> None:
    parts(tmp_path, "label=0/p.csv", label=["1", "1"])
    assert column(opened(tmp_path / "label=0/p.csv"), "label") == [1, 1]


@pytest.mark.parametrize("name", ["a?b=c%20#d e.csv", "[1].csv", "a*b.csv", "ä?.jsonl", "x&y;z$.parquet"])
def test_odd_characters_in_a_path_are_characters(tmp_path: Path, name: str) -> None:
    write(tmp_path / "aXb=c%20#d e.csv", [{"text": "another"}])
    write(tmp_path / "1.csv", [{"text": "another"}])
    documents = opened(write(tmp_path / name, ROWS))
    assert (documents.name, documents.rows) == (name, 10)


def test_a_question_mark_is_no_pattern(tmp_path: Path) -> None:
    write(tmp_path / "a1.csv", ROWS)
    assert "a?.csv does not exist" in refused(DataSpec(str(tmp_path / "a?.csv")))
    assert "a[1].csv does not exist" in refused(DataSpec(str(tmp_path / "a[1].csv")))
    assert "b*.csv names no file" in refused(DataSpec(str(tmp_path / "b*.csv")))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.csv", "b.jsonl"], "holds files of several formats (1 .csv, 1 .jsonl)"),
        (["pos/1.txt", "pos/2.txt", "neg/1.txt"], "has no data files: it holds 3 files of .txt"),
        (["_delta_log/0.jsonl", "a.parquet"], "is a Delta Lake table"),
        (["metadata/v1.metadata.json", "data/a.parquet"], "is an Iceberg table"),
    ],
)
def test_a_folder_that_may_mean_something_else_is_refused(tmp_path: Path, names: list[str], told: str) -> None:
    for name in names:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text("x")
    assert told in refused(DataSpec(str(tmp_path / "d")))


def test_files_of_splits_are_not_mixed(tmp_path: Path) -> None:
    parts(tmp_path / "d", "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet")
    (tmp_path / "d/dataset_infos.json").write_text("{}")
    documents = opened(tmp_path / "d", split="train")
    assert str(column(documents, "text")[0]).startswith("data/train-")
    assert (documents.splits, documents.name) == (("test", "train"), "d (train split, 1 file)")
    assert "--split is 'dev'; expected one of the splits of" in refused(DataSpec(str(tmp_path / "d"), split="dev"))


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv")
    parts(tmp_path / "elsewhere", "b.csv")
    os.symlink(tmp_path / "elsewhere", tmp_path / "d" / "link")
    os.symlink(tmp_path / "d", tmp_path / "d" / "round")
    assert opened(tmp_path / "d").rows == 2


def test_names_in_a_folder_do_not_move_the_cursor(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a\x1b[2J\n.csv").write_text("")
    assert "a\\x1b[2J\\n.csv is empty" in refused(DataSpec(str(tmp_path / "d")))


def test_rows_of_a_folder_do_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    digests = {opened(parts(tmp_path / where, "a.csv", "b.csv")).digest for where in ("x/y", "z")}
    assert len(digests) == 1
    assert opened(parts(tmp_path / "other", "a.csv", "c.csv")).digest not in digests


# Parquet.


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.large_binary(), pa.binary_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.large_string())],
    ids=str,
)
def test_texts_of_every_type_that_can_hold_utf8_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array(["é", None, "fine"])
    kept = texts.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else texts.cast(kind)
    pq.write_table(pa.table({"text": kept}), tmp_path / "d.parquet")
    assert column(opened(tmp_path / "d.parquet"), "text") == ["é", None, "fine"]


def test_bytes_that_are_not_utf8_cost_only_their_row_unless_none_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([b"\xff", b"fine"])}), tmp_path / "d.parquet")
    assert reasons(opened(tmp_path / "d.parquet")) == {0: "unreadable_row"}
    pq.write_table(pa.table({"text": pa.array([b"\xff", b"\xfe"])}), tmp_path / "d.parquet")
    assert "no text in the first 2 rows of d.parquet can be read" in refused(DataSpec(str(tmp_path / "d.parquet")))


@pytest.mark.parametrize("texts", [[["a", "b"]], [1], [None], [True]])
def test_texts_that_are_lists_or_numbers_are_refused(tmp_path: Path, texts: list[object]) -> None:
    pq.write_table(pa.table({"text": texts}), tmp_path / "d.parquet")
    assert "expected strings; name another with --text-column" in refused(DataSpec(str(tmp_path / "d.parquet")))


def test_class_names_of_hugging_faces_metadata_are_known(tmp_path: Path) -> None:
    note = json.dumps({"info": {"features": {"label": {"names": ["pos", "neg"], "_type": "ClassLabel"}}}})
    table = pa.table({"text": ["a", "b"], "label": [0, 1]}).replace_schema_metadata({"huggingface": note})
    pq.write_table(table, tmp_path / "d.parquet")
    assert opened(tmp_path / "d.parquet").class_names == ("pos", "neg")
    found = open_documents(DataSpec(str(tmp_path / "d.parquet")), ("negative", "positive"))
    assert column(found, "label") == [1, 0]


def test_a_missing_column_of_an_empty_file_and_its_columns_are_told(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,text,label\n")
    assert "d.csv has no rows, only the columns 'id', 'text', 'label'" in refused(DataSpec(str(tmp_path / "d.csv")))
    (tmp_path / "d.csv").write_text("")
    assert "d.csv is empty" in refused(DataSpec(str(tmp_path / "d.csv")))


@pytest.mark.parametrize("name", ["d.json", "d.json.gz"])
def test_lines_may_be_called_json(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / "d.jsonl", ROWS).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert rows_of(opened(tmp_path / name)) == rows_of(opened(tmp_path / "d.jsonl"))


# What earlier versions made stays what it was.


@pytest.mark.parametrize(
    ("name", "content", "digest"),
    [
        (
            "d.csv",
            "id,text,label\n1,fine,1\n2,dull,0\n",
            "1e21b9d0de94de8cfd05706da846de4e614b3b44725978a5f385f23a1a054f95",
        ),
        (
            "d.jsonl",
            '{"text": "fine", "label": true}\n{"text": "dull"}\n',
            "5d63c531d7e481cc580a27df8918ce4a0b1f68a7021acc43409ec563a5937e45",
        ),
        ("e.csv", "key,review\n1,fine\n", "4e56676bbfcaf60b5bab4b120d40a53b80835d71ae46cd1598185386966e7584"),
    ],
)
def test_the_digest_of_what_could_be_read_before_has_not_changed(
    tmp_path: Path, name: str, content: str, digest: str
) -> None:
    (tmp_path / name).write_text(content)
    more = {"text_column": "review", "id_column": "key", "offset": 0} if name == "e.csv" else {}
    assert opened(tmp_path / name, **more).digest == digest


def test_an_encoding_that_changes_nothing_is_not_in_the_digest(tmp_path: Path) -> None:
    write(tmp_path / "d.csv", ROWS)
    plain = opened(tmp_path / "d.csv").digest
    assert (
        plain
        == opened(tmp_path / "d.csv", encoding="latin-1").digest
        == opened(tmp_path / "d.csv", encoding="utf8").digest
    )
    (tmp_path / "e.csv").write_bytes("text\ncafé\n".encode("latin-1"))
    assert opened(tmp_path / "e.csv", encoding="latin-1").digest != opened(tmp_path / "e.csv", encoding="cp437").digest


def test_labels_count_in_the_digest_by_what_they_mean(tmp_path: Path) -> None:
    write(tmp_path / "d.csv", [{"text": "a", "label": "4"}, {"text": "b", "label": "0"}])
    digests = [
        opened(tmp_path / "d.csv", label_map=said).digest for said in ("0=0,4=1", "4=1, 0=0,7=1", "0=a,4=b", "0=1,4=0")
    ]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert opened(tmp_path / "d.csv").digest not in digests
