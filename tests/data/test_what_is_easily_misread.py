"""What a file does not say outright: missing values, splits, copies, folders of ``save_to_disk``, and odd columns."""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.errors import DataError
from ig_worker.models.examples import read_examples
from tests.data.made_files import ROWS, column, opened, parts, reasons, refused, rows_of, write
from tests.fuzz import quick

ONE_LABEL = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}


def folder_of(folder: Path, *files: pa.Table, **state: object) -> Path:
    """A folder as ``Dataset.save_to_disk`` writes it, of Arrow files in the stream format."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{number:05d}-of-{len(files):05d}.arrow" for number in range(len(files))]
    for name, table in zip(names, files, strict=True):
        with ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    listed = {"_data_files": [{"filename": name} for name in names], "_indices_data_files": None}
    (folder / "state.json").write_text(json.dumps(listed | state))
    (folder / "dataset_info.json").write_text(json.dumps(ONE_LABEL["info"]))
    return folder


def table_of(*texts: str) -> pa.Table:
    return pa.table({"text": list(texts), "label": [number % 2 for number in range(len(texts))]})


# Nothing.


def test_a_text_or_an_id_that_is_a_word_for_nothing_is_null_as_in_json_lines(tmp_path: Path) -> None:
    words = ["NaN", "nan", "NULL", "None", "<NA>", "#N/A", r"\N"]
    rows = [f"{i},{word},1\n" for i, word in enumerate(words)] + [f"{word},fine,1\n" for word in words]
    (tmp_path / "d.csv").write_text("id,text,label\n" + "".join(rows) + "x,nothing is NaN,1\n")
    found = opened(tmp_path / "d.csv")
    expected = ["null_text"] * len(words) + ["null_id"] * len(words)
    assert list(reasons(found).values()) == expected
    told = "d.csv (7 rows) that are only a word such as 'NaN' are taken for missing"
    assert [note.split()[0] for note in found.notes if note.endswith(told)] == ["texts", "ids"]


def test_a_missing_text_of_a_csv_and_of_json_lines_are_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,text,label\n0,NaN,0\n1,fine,1\nNaN,dull,0\n")
    rows = [(0, None, 0), (1, "fine", 1), (None, "dull", 0)]
    write(tmp_path / "d.jsonl", [dict(zip(("id", "text", "label"), row, strict=True)) for row in rows])
    write(
        tmp_path / "n.jsonl",
        [dict(zip(("id", "text", "label"), [math.nan if v is None else v for v in row], strict=True)) for row in rows],
    )
    found = [opened(tmp_path / name) for name in ("d.csv", "d.jsonl", "n.jsonl")]
    assert rows_of(found[0]) == rows_of(found[1]) == rows_of(found[2])
    assert reasons(found[0]) == reasons(found[2]) == {0: "null_text", 2: "null_id"}


def test_words_for_nothing_that_people_write_are_texts_which_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,text\nNA,NA\n1,null\n2,none\n3,N/A\n4,a nan\n")
    found = opened(tmp_path / "d.csv")
    assert column(found, "text") == ["NA", "null", "none", "N/A", "a nan"]
    assert found.notes == (
        f"texts of {tmp_path}/d.csv (4 rows) that are only a word such as 'NA' are taken for texts",
        f"ids of {tmp_path}/d.csv (1 row) that are only a word such as 'NA' are taken for ids",
    )


# Labels.


@pytest.mark.parametrize("label", [[1], {"name": "pos", "value": 1}])
def test_a_label_column_of_lists_or_objects_is_refused_in_json_lines_as_in_parquet(
    tmp_path: Path, label: object
) -> None:
    rows = [{"text": "fine", "label": label}, {"text": "dull", "label": label}]
    for name in ("d.jsonl", "d.parquet"):
        message = refused(DataSpec(str(write(tmp_path / name, rows))))
        assert f"{name} h" in message
        assert "the label column of " in message
        assert "expected numbers or names of classes" in message
    assert isinstance(label, list) or "--label-column label." in refused(DataSpec(str(tmp_path / "d.jsonl")))
    write(tmp_path / "e.jsonl", [*rows, {"text": "good", "label": 1}])
    assert list(reasons(opened(tmp_path / "e.jsonl"))) == [0, 1]


def test_a_suggested_map_names_a_label_once_however_its_case_changes(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": label} for label in ("Positive", "negative", "POSITIVE", "Negative", "positive")]
    path = write(tmp_path / "d.csv", rows)
    message = refused(DataSpec(str(path)))
    said = message.partition("--label-map ")[2].partition(", or read")[0]
    assert [pair.partition("=")[0].casefold() for pair in said.split(",")] == ["negative", "positive"]
    assert column(opened(path, label_map=said), "label") == [1, 0, 1, 0, 1]


def test_minus_one_beside_one_may_be_a_class_and_that_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", [{"text": "x", "label": -1}, {"text": "x", "label": 1}])
    assert any("if -1 is a class, say --label-map=-1=0,1=1" in note for note in opened(path).notes)
    assert column(opened(path, label_map="-1=0,1=1"), "label") == [0, 1]
    path = write(tmp_path / "e.csv", [{"text": "x", "label": label} for label in (-1, 0, 1)])
    assert not any("if -1 is a class" in note for note in opened(path).notes)


# Names.


def test_names_that_are_printed_do_not_move_the_cursor(tmp_path: Path) -> None:
    name = "a\x1b[2J\nb"
    assert opened(write(tmp_path / f"{name}.csv", ROWS)).name == "a\\x1b[2J\\nb.csv"
    parts(tmp_path / name, "p.csv", "q.csv")
    assert opened(tmp_path / name).name == "a\\x1b[2J\\nb (2 files)"
    several = open_documents(DataSpec((str(tmp_path / name / "p.csv"), str(tmp_path / f"{name}.csv"))))
    assert several.name.isprintable()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("d.parqet", "did you mean .parquet?"),
        ("d.jsnl", "did you mean .jsonl?"),
        ("d.xlsx", "export it as CSV in UTF-8"),
        ("d.zip", "unpack it"),
        ("d.csv.zip", "unpack it"),
        ("d.feather", "write it as Parquet"),
        ("d.gz", "such as d.csv.gz"),
        ("d", "rename or convert it"),
    ],
)
def test_a_file_of_no_known_format_is_told_what_to_become(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    message = refused(DataSpec(str(tmp_path / name)))
    assert f"{name} is of no known format" in message
    assert told in message


def test_a_pattern_with_a_question_mark_says_what_stands_for_other_characters(tmp_path: Path) -> None:
    assert "only * stands for other characters" in refused(DataSpec(str(tmp_path / "part-?.csv")))
    assert "only *" not in refused(DataSpec(str(tmp_path / "part.csv")))


def test_a_header_that_is_cut_by_the_wrong_mark_suggests_no_column_of_all_names(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,text,label\n1,fine,1\n")
    message = refused(DataSpec(str(tmp_path / "d.csv"), delimiter=";"))
    assert "another --delimiter" in message
    assert "such as --text-column" not in message
    (tmp_path / "e.csv").write_text("id;review;sentiment\n1;fine, really;1\n")
    message = refused(DataSpec(str(tmp_path / "e.csv")))
    assert (
        "its columns: 'id', 'review', 'sentiment'; name it with --text-column, such as --text-column review" in message
    )


# Ids and texts that no row can have.


def test_ids_none_of_which_can_be_read_are_refused(tmp_path: Path) -> None:
    ids = pa.array([bytes([200 + number]) * 16 for number in range(3)], pa.binary(16))
    pq.write_table(pa.table({"id": ids, "text": ["a", "b", "c"]}), tmp_path / "d.parquet")
    message = refused(DataSpec(str(tmp_path / "d.parquet")))
    assert "no id in the first 3 rows of d.parquet can be read" in message
    assert "--id-column ''" in message
    assert opened(tmp_path / "d.parquet", id_column="").rows == 3
    write(tmp_path / "d.jsonl", [{"id": 0.5, "text": "a"}, {"id": 1.5, "text": "b"}])
    assert "the first: id 0.5 is not a string" in refused(DataSpec(str(tmp_path / "d.jsonl")))
    pq.write_table(pa.table({"id": [0.5], "text": ["a"]}), tmp_path / "e.parquet")
    assert "--id-column ''" in refused(DataSpec(str(tmp_path / "e.parquet")))


def test_a_parquet_file_is_not_told_to_have_an_encoding(tmp_path: Path) -> None:
    texts = pa.array(["é".encode("latin-1"), "à".encode("latin-1")])
    pq.write_table(pa.table({"text": texts}), tmp_path / "d.parquet")
    message = refused(DataSpec(str(tmp_path / "d.parquet")))
    assert "no text in the first 2 rows" in message
    assert "--encoding" not in message


# Folders.


@pytest.mark.parametrize(
    "names",
    [
        ("train/a.csv", "test/a.csv"),
        ("train.csv", "test.csv"),
        ("train_1.csv", "train_2.csv", "test_1.csv"),
        ("data/train-00000-of-00001.csv", "data/test-00000-of-00001.csv"),
    ],
)
def test_folders_and_files_named_after_splits_are_not_mixed(tmp_path: Path, names: tuple[str, ...]) -> None:
    parts(tmp_path / "d", *names)
    documents = opened(tmp_path / "d")
    assert documents.splits == ("test", "train")
    assert all("test" in str(text) for text in column(documents, "text"))
    assert any("test is read" in note for note in documents.notes)
    assert opened(tmp_path / "d", split="train").rows == 2 * (len(names) - 1)


def test_files_of_splits_beside_others_are_refused(tmp_path: Path) -> None:
    parts(tmp_path / "d", "train.csv", "test.csv", "sample.csv")
    message = refused(DataSpec(str(tmp_path / "d")))
    assert "holds files of the splits test, train and others, such as sample.csv" in message


def test_an_empty_file_among_others_is_left_out_and_told(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv", "b.csv")
    (tmp_path / "d" / "c.csv").write_text("")
    for place in (tmp_path / "d", f"{tmp_path}/d/*.csv"):
        documents = opened(place)
        assert documents.rows == 4
        assert any(note.startswith("c.csv in ") and note.endswith(" is empty: left out") for note in documents.notes)
    assert "c.csv is empty" in refused(DataSpec((str(tmp_path / "d/c.csv"), str(tmp_path / "d/a.csv"))))


def test_links_to_folders_that_are_not_followed_are_told(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv")
    parts(tmp_path / "elsewhere", "b.csv")
    os.symlink(tmp_path / "elsewhere", tmp_path / "d" / "link")
    documents = opened(tmp_path / "d")
    assert documents.rows == 2
    assert any("link" in note and "not followed" in note for note in documents.notes)


def test_files_of_the_same_bytes_are_told(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv")
    (tmp_path / "d" / "b.csv").write_bytes((tmp_path / "d" / "a.csv").read_bytes())
    assert any("b.csv holds the same bytes as" in note for note in opened(tmp_path / "d").notes)
    parts(tmp_path / "e", "a.csv", "b.csv")
    assert opened(tmp_path / "e").notes == ()


# Folders that Hugging Face's library saved.


def test_a_saved_data_set_is_read_in_the_order_of_its_files_with_its_class_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "d", table_of("a", "b"), table_of("c"))
    documents = opened(folder)
    assert column(documents, "text") == ["a", "b", "c"]
    assert column(documents, "id") == [f"row-0000000{number}" for number in range(3)]
    assert (documents.class_names, documents.name) == (("neg", "pos"), "d")


def test_a_saved_dictionary_of_splits_gives_the_one_that_is_asked_for(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder_of(tmp_path / "d" / split, table_of(f"{split} 0", f"{split} 1"))
    (tmp_path / "d" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    documents = opened(tmp_path / "d")
    assert column(documents, "text") == ["test 0", "test 1"]
    assert (documents.class_names, documents.splits) == (("neg", "pos"), ("train", "test"))
    assert column(opened(tmp_path / "d", split="train"), "text") == ["train 0", "train 1"]
    assert "expected one of the splits of" in refused(DataSpec(str(tmp_path / "d"), split="dev"))
    assert column(opened(tmp_path / "d" / "train"), "text") == ["train 0", "train 1"]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"_data_files": [{"filename": "../secret.arrow"}]}, "expected what save_to_disk writes"),
        ({"_data_files": []}, "expected what save_to_disk writes"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "has no file 'gone.arrow'"),
        ({"_indices_data_files": [{"filename": "i.arrow"}]}, "flatten_indices()"),
    ],
)
def test_a_saved_folder_that_is_not_whole_is_refused(tmp_path: Path, state: dict[str, object], told: str) -> None:
    assert told in refused(DataSpec(str(folder_of(tmp_path / "d", table_of("a"), **state))))


def test_a_damaged_arrow_file_is_refused_wherever_it_is_cut_or_changed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "d", table_of(*(f"text {number}" for number in range(40))))
    file = folder / "data-00000-of-00001.arrow"
    whole = file.read_bytes()
    good = rows_of(opened(folder))
    for length in range(0, len(whole) - 8, 13):
        file.write_bytes(whole[:length])
        with suppress(DataError):  # the mark at the end may be missing, which writers leave out that were ended
            assert rows_of(opened(folder)) == good


# What nothing reads.


def test_a_split_of_what_has_none_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", ROWS)
    assert any("has no splits: --split train chooses nothing" in note for note in opened(path, split="train").notes)
    assert opened(path).notes == ()


def test_learning_from_a_file_without_splits_tells_of_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "d.csv", [{"text": "fine", "LABEL": number % 2} for number in range(20)])
    read_examples(DataSpec(str(path)))
    assert [record.getMessage() for record in caplog.records] == [
        f"assumed: the column 'LABEL' of {path} is taken for 'label'"
    ]


@pytest.mark.parametrize("judged", ["test", "validation", "dev"])
def test_learning_is_judged_on_the_split_that_is_there(tmp_path: Path, judged: str) -> None:
    parts(tmp_path / "d", "train.csv", f"{judged}.csv", label=["0", "1"])
    train, test, _ = read_examples(DataSpec(str(tmp_path / "d")))
    assert (list(train.texts), list(test.texts)) == (
        ["train.csv 0", "train.csv 1"],
        [f"{judged}.csv 0", f"{judged}.csv 1"],
    )


def test_learning_without_a_split_to_be_judged_on_keeps_one_row_in_ten(tmp_path: Path) -> None:
    for split in ("train", "unsupervised"):
        (tmp_path / f"{split}.csv").write_text("text,label\n" + f"{split},1\n" * 20)
    train, test, _ = read_examples(DataSpec(str(tmp_path)))
    assert [*train.texts, *test.texts] == ["train"] * 20
    assert len(test.texts) == 2


def test_a_pattern_that_fits_files_of_several_splits_says_so(tmp_path: Path) -> None:
    parts(tmp_path / "d", "train.csv", "test.csv")
    documents = opened(f"{tmp_path}/d/*.csv")
    assert documents.rows == 4
    assert any("fits files of the splits test, train, which are read together" in note for note in documents.notes)


def test_a_map_where_no_row_has_a_label_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [{"text": "fine"}])
    assert "--label-map maps nothing: no row has a label" in opened(path, label_map="0=1").notes


@pytest.mark.parametrize("name", ["d.jsonl", "d.parquet", "d.csv"])
def test_a_column_that_is_called_almost_like_one_that_is_read_is_told(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"text": "fine", "label": 1, "Label": 0}])
    assert any(
        note.startswith("the column 'Label' of") and note.endswith("is not read: 'label' is")
        for note in opened(path).notes
    )


def test_a_file_without_labels_among_others_with_labels_is_told(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv", label=["0", "1"])
    parts(tmp_path / "d", "b.csv")
    assert any("b.csv has no column 'label': its rows have no labels" in note for note in opened(tmp_path / "d").notes)


def test_a_pipe_is_called_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.csv")
    message = refused(DataSpec(str(tmp_path / "d.csv")))
    assert "d.csv is a pipe or a device" in message
    assert "write it to a file first" in message


def test_json_that_is_called_csv_suggests_no_column_of_braces(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('{"text": "fine"}\n')
    assert "such as --text-column" not in refused(DataSpec(str(tmp_path / "d.csv")))


def test_files_that_number_their_rows_alike_are_told_apart(tmp_path: Path) -> None:
    parts(tmp_path / "d", "a.csv", "b.csv", id=["0", "1"])
    documents = opened(tmp_path / "d")
    assert column(documents, "id") == ["a.csv:0", "a.csv:1", "b.csv:0", "b.csv:1"]
    assert reasons(documents) == {}
    (note,) = documents.notes
    assert f"{tmp_path}/d/b.csv has ids of {tmp_path}/d/a.csv, such as '0': to tell them apart" in note
    assert documents.digest != opened(tmp_path / "d", id_column="").digest


def test_ids_of_files_that_do_not_share_any_stay_as_they_are(tmp_path: Path) -> None:
    parts(tmp_path / "e", "a.csv", id=["0", "1"])
    parts(tmp_path / "e", "b.csv", id=["2", ""])
    documents = opened(tmp_path / "e")
    assert column(documents, "id") == ["0", "1", "2", ""]
    assert documents.notes == ()
    parts(tmp_path / "e", "c.csv", id=["0", ""])
    assert column(opened(tmp_path / "e"), "id") == ["a.csv:0", "a.csv:1", "b.csv:2", "", "c.csv:0", ""]


@pytest.mark.parametrize("setting", ["encoding", "delimiter"])
@pytest.mark.parametrize("name", ["demo", "imdb", "d.npz"])
def test_a_setting_of_text_files_is_refused_for_what_is_none(name: str, setting: str) -> None:
    assert f"--{setting} is ';', which {name} does not have; leave it out" in refused(DataSpec(name, **{setting: ";"}))


# Whatever the format.

words = st.sampled_from(
    ["0", "1", "-1", "1.0", " 1", "True", "false", "NaN", "null", "N/A", "negative", "POSITIVE", "4", "0.5", "x"]
)
SENTIMENT = ("negative", "positive")


def meaning(path: Path) -> object:
    """(class numbers, notes) of a file, or why it is refused; without its name."""
    try:
        documents = open_documents(DataSpec(str(path)), SENTIMENT)
    except DataError as error:
        return str(error).replace(str(path), "FILE").replace(path.name, "FILE")
    return column(documents, "label"), [note.replace(str(path), "FILE") for note in documents.notes]


@quick
@given(labels=st.lists(words, min_size=1, max_size=5))
def test_labels_mean_the_same_in_every_format(tmp_path: Path, labels: list[str]) -> None:
    rows: list[dict[str, object]] = [{"text": "fine", "label": label} for label in labels]
    found = [meaning(write(tmp_path / name, rows)) for name in ("d.csv", "d.jsonl", "d.parquet")]
    assert found[0] == found[1] == found[2]


@quick
@given(label=st.sampled_from([0, 1, 0.0, 1.0, True, False, None, -1, -1.0, 4, 0.5]))
def test_a_value_means_the_same_in_every_format(tmp_path: Path, label: object) -> None:
    rows: list[dict[str, object]] = [{"text": "fine", "label": label}, {"text": "dull", "label": label}]
    found = [meaning(write(tmp_path / name, rows)) for name in ("d.csv", "d.jsonl", "d.parquet")]
    assert found[0] == found[1] == found[2]
