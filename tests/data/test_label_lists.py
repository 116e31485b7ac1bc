"""Several labels of a text: lists of numbers or names, in every format, and lists of 0 and 1."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker import schema
from ig_worker.data.label_lists import ListCounter, ListLabelling, class_lists, items, number_lists, with_marks
from ig_worker.data.label_map import read_label_map
from ig_worker.data.saved import class_names_of
from ig_worker.data.sources import DataSpec, open_documents
from ig_worker.errors import DataError

EMOTIONS = ("joy", "anger", "love, real", "fear")


def meant(cells: list[object], classes=EMOTIONS, said: str | None = None) -> ListLabelling:
    counter = ListCounter(whole=with_marks(classes))
    for cell in cells:
        counter.add_value(cell)
    return number_lists(counter, "d.csv", classes, (), read_label_map(said))


def read(place: Path, outputs: str = schema.LABELS, classes=EMOTIONS, **more: object) -> tuple[list, list, object]:
    documents = open_documents(DataSpec(str(place), **more), classes, outputs)
    table = pa.Table.from_batches(documents.batches())
    assert table.column("label").null_count == table.num_rows
    name = schema.TRUTHS[outputs].name
    return table.column(name).to_pylist(), table.column("fault").to_pylist(), documents


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("joy, Anger", ("joy", "Anger")),
        ("3,1", ("3", "1")),
        ("joy;love, real", ("joy", "love, real")),  # by the first mark that is there
        ("joy|3", ("joy", "3")),
        ('["joy", 3]', ("joy", "3")),
        ("['joy', 'love, real']", ("joy", "love, real")),
        ("[0 1 1]", ("0", "1", "1")),
        ("Love, REAL", ("Love, REAL",)),
        ([1.0, "joy", b"fear"], ("1", "joy", "fear")),
        (2, ("2",)),
        ("", ()),
        ("[]", ()),
        ([], ()),
        (None, None),
        (float("nan"), None),
        ([1, None], ("1", "-1")),
    ],
)
def test_a_cell_is_a_list_or_text_that_writes_one(cell: object, found: object) -> None:
    assert items(cell, with_marks(EMOTIONS)) == found


def test_names_in_any_case_and_numbers_mean_classes_and_what_is_not_known_makes_the_row_unknown() -> None:
    cells = ["JOY, 3", "", None, "fear|anger|fear", [2], "-1", ["joy", None], "NaN"]
    found = meant(cells)
    assert [found.meaning(cell) for cell in cells] == [[0, 3], [], None, [1, 3], [2], None, None, None]
    assert found.line() == "0 joy: 2, 1 anger: 1, 2 love, real: 1, 3 fear: 2, none of them: 1, not known: 1"
    assert any("'NaN' (1 row)" in note for note in found.notes)


def test_what_is_no_class_is_refused_with_a_map_to_begin_with() -> None:
    with pytest.raises(DataError, match=r"'sad' \(1 row\).* is no class.*--label-map") as caught:
        meant(["joy, sad"])
    assert "\n" not in str(caught.value)
    assert meant(["joy, sad"], said="joy=joy,sad=fear").meaning("sad") == [3]


@pytest.mark.parametrize(
    ("cells", "classes", "lists"),
    [
        ([[0, 1, 0], [1, 1, 1]], "abc", [[1], [0, 1, 2]]),
        ([[0.0, 1.0, 0.0], None, []], "abc", [[1], None, []]),
        (["[0 0 0]", "[0 1 1]"], "abc", [[], [1, 2]]),
        ([[True, False], [False, True]], "ab", [[0], [1]]),  # which no numbers are
        ([[1, 1], [0, 1]], "ab", [[0, 1], [1]]),
        ([[0], [1]], "a", [[], [0]]),
        ([[0, 1], [0]], "abc", [[0, 1], [0]]),  # not one for each class
        ([[0, 1, 2]], "abc", [[0, 1, 2]]),
        ([[0, 1], []], "ab", [[0, 1], []]),  # a list of no entry says nothing of each class
    ],
)
def test_lists_of_0_and_1_say_of_each_class_whether_it_applies_where_they_cannot_be_numbers(cells, classes, lists):
    found = meant(cells, tuple(classes))
    assert [found.meaning(cell) for cell in cells] == lists
    assert bool(found.each) == any("say of each class" in note for note in found.notes)


def test_lists_that_could_be_either_are_refused_and_a_map_settles_it() -> None:
    with pytest.raises(DataError, match="may be numbers of the model's 2 classes, or say of each whether it applies"):
        meant([[0, 1], [1, 0]], ("a", "b"))
    assert meant([[0, 1]], ("a", "b"), said="0=0,1=1").meaning([0, 1]) == [0, 1]


@given(st.lists(st.none() | st.sets(st.integers(0, 3)), min_size=1))
def test_every_way_to_write_the_same_lists_gives_the_same_numbers(truth) -> None:
    wanted = [None if one is None else sorted(one) for one in truth]
    ways = [
        [None if one is None else sorted(one, reverse=True) for one in truth],
        [None if one is None else "|".join(EMOTIONS[i].upper() for i in one) for one in truth],
        [None if one is None else json.dumps([EMOTIONS[i] for i in one]) for one in truth],
        [None if one is None else str([EMOTIONS[i] for i in one]) for one in truth],
    ]
    for cells in ways:
        assert class_lists(cells, EMOTIONS) == wanted


def test_all_formats_give_the_same_lists(tmp_path: Path) -> None:
    wanted = [[0, 3], [1], [], None]
    rows = [["joy", "fear"], ["ANGER"], [], None]
    pq.write_table(pa.table({"text": list("abcd"), "label": rows}), tmp_path / "d.parquet")
    lines = [{"text": text, "label": row} for text, row in zip("abcd", rows, strict=True)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "d.csv").write_text('text,label\na,"joy, fear"\nb,1\nc,\nd,NaN\n')
    for name in ("d.parquet", "d.jsonl", "d.csv"):
        lists, faults, documents = read(tmp_path / name)
        assert (lists, faults) == (wanted, [None] * 4), name
        assert documents.class_names == EMOTIONS


def test_dictionaries_and_lists_of_any_kind_are_read(tmp_path: Path) -> None:
    kinds = {
        "large": pa.array([["joy"], []], pa.large_list(pa.large_string())),
        "fixed": pa.array([[0, 0, 1, 0], [1, 0, 0, 1]], pa.list_(pa.float64(), 4)),
        "cells": pa.array(["joy", "joy"]).dictionary_encode(),
        "inner": pa.ListArray.from_arrays([0, 1, 1], pa.array(["joy"]).dictionary_encode()),
    }
    wanted = {"large": [[0], []], "fixed": [[2], [0, 3]], "cells": [[0], [0]], "inner": [[0], []]}
    for name, column in kinds.items():
        pq.write_table(pa.table({"text": ["a", "b"], "label": column}), tmp_path / f"{name}.parquet")
        assert read(tmp_path / f"{name}.parquet")[0] == wanted[name]


def test_a_cell_that_is_no_list_costs_its_row_alone(tmp_path: Path) -> None:
    rows = [["joy"], [["fear"]], {"a": 1}, "[joy", '["joy", {}]']
    lines = "".join(json.dumps({"text": "x", "label": row}) + "\n" for row in rows)
    (tmp_path / "d.jsonl").write_text(lines.replace('"[joy"', '"[joy]"'))
    lists, faults, _ = read(tmp_path / "d.jsonl")
    assert lists == [[0], None, None, None, None]
    assert faults[0] is None
    assert all(fault is not None and fault.startswith("label ") for fault in faults[1:])


def test_lists_are_refused_where_a_text_has_one_label(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "label": [["joy"]]}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match="--outputs multi-label if the model gives several"):
        open_documents(DataSpec(str(tmp_path / "d.parquet")), EMOTIONS)


def test_what_is_read_as_lists_has_a_digest_of_its_own(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "d.parquet")
    digests = {open_documents(DataSpec(str(tmp_path / "d.parquet")), EMOTIONS, o).digest for o in schema.OUTPUTS}
    assert len(digests) == 3


def test_the_names_of_a_list_of_class_labels_are_found_as_hugging_face_writes_them() -> None:
    inner = {"names": ["a", "b"], "_type": "ClassLabel"}
    for feature in ({"feature": inner, "_type": "Sequence"}, {"feature": inner, "_type": "List"}, [inner], inner):
        assert class_names_of({"features": {"labels": feature}}, "labels") == ("a", "b")
    assert class_names_of({"features": {"labels": {"dtype": "int64"}}}, "labels") == ()


def test_numbers_are_read_from_every_format_and_minus_one_is_one_of_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": list("abc"), "label": [0.5, None, -1.0]}), tmp_path / "d.parquet")
    (tmp_path / "d.csv").write_text("text,label\na,0.5\nb,NA\nc,-1\n")
    (tmp_path / "d.jsonl").write_text('{"text":"a","label":0.5}\n{"text":"b"}\n{"text":"c","label":"-1"}\n')
    for name in ("d.parquet", "d.csv", "d.jsonl"):
        values, faults, documents = read(tmp_path / name, schema.VALUES, ("score",))
        assert (values, faults) == ([0.5, None, -1.0], [None] * 3), name
        assert documents.labels.line() == "2 numbers from -1 to 0.5, -0.25 on average; none: 1"


def test_what_is_no_number_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\na,0.5\nb,good\nc,1e99\n")
    with pytest.raises(DataError, match=r"'1e99' \(1 row\), 'good' \(1 row\), and 1 numbers.*expected numbers"):
        open_documents(DataSpec(str(tmp_path / "d.csv")), ("score",), schema.VALUES)
    with pytest.raises(DataError, match="--label-map is good=1, and the model gives a number"):
        open_documents(DataSpec(str(tmp_path / "d.csv"), label_map="good=1"), ("score",), schema.VALUES)
