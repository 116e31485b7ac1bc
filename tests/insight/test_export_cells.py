"""Numbers and texts as JSON and as cells of a spreadsheet."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_worker import schema
from ig_worker.insight.export import json_cells, spreadsheet
from ig_worker.insight.export.run_rows import unique_names
from ig_worker.insight.export.write import write_export
from jobs import export as job
from tests.insight.export_runs import (
    Write,
    a_row,
    expected,
    float32,
    names_of,
    place_of,
    plain,
    read_csv,
    rows_of,
)


@pytest.mark.parametrize("outputs", schema.OUTPUTS)
def test_a_spreadsheet_holds_the_rows_with_names(write: Write, outputs: str) -> None:
    rows = rows_of(outputs)
    store = write(rows[:10], rows[10:], class_names=names_of(outputs))
    write_export(store, "csv")
    cells, names = read_csv(store), names_of(outputs)
    kind = "predicted" if outputs == schema.VALUES else "probability"
    for cell, row in zip(cells, expected(store).to_pylist(), strict=True):
        assert (plain(cell["id"]), plain(cell["text"])) == (row["id"], row["text"].replace("\0", "\ufffd"))
        assert json.loads(cell["tokens"]) == row["tokens"]
        assert float32(json.loads(cell["attributions"])) == row["attributions"]
        assert float32([cell[f"{kind}:{name}"] for name in names]) == row["probabilities"]
        assert float32(cell["delta"]) == row["delta"]
        assert cell["error_estimate"] == "" or float32(cell["error_estimate"]) == row["error_estimate"]
        assert (int(cell["target"]), plain(cell["target_name"])) == (row["target"], names[row["target"]])
        assert (cell["contrast"], cell["contrast_name"], cell["rank"]) == ("", "", "0")
        assert cell["truncated"] == str(row["truncated"]).lower()


def test_a_spreadsheet_says_what_is_true_and_what_is_predicted(write: Write) -> None:
    row = a_row(id="a", label=None, prediction=1)
    classes = write([row, a_row(id="b", label=0, prediction=0)], name="classes", class_names=["no", "yes"])
    labelled = [
        a_row(id=id, label=None, labels=labels, probabilities=[0.25, 0.75])
        for id, labels in (("a", None), ("b", []), ("c", [0, 1]))
    ]
    labels = write(labelled, name="labels", class_names=["joy", "anger"])
    values = write([a_row(id="a", label=None, value=0.1, target=0, probabilities=[-0.5])], name="values")
    for store in (classes, labels, values):
        write_export(store, "csv")
    said = [
        (cell["label"], cell["label_name"], cell["prediction_name"], cell["confidence"]) for cell in read_csv(classes)
    ]
    assert said == [("", "", "yes", "0.75"), ("0", "no", "no", "0.25")]
    assert [cell["labels"] for cell in read_csv(labels)] == ["", "(none)", "joy; anger"]
    assert {cell["prediction"] for cell in read_csv(labels)} == {"anger"}
    assert [(cell["value"], cell["prediction"]) for cell in read_csv(values)] == [("0.1", "-0.5")]


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_floats_are_the_same_float32_again_and_floats_to_every_reader(values: list[float]) -> None:
    texts = json_cells.cells(pa.array(values, pa.float32())).to_pylist()
    assert np.array_equal(np.array([json.loads(text) for text in texts], np.float32), np.array(values, np.float32))
    assert all(isinstance(json.loads(text), float) for text in texts)


@settings(deadline=None)
@given(st.lists(st.none() | st.lists(st.text(st.characters(codec="utf-8")))))
def test_lists_of_any_text_are_json(values: list[list[str] | None]) -> None:
    column = pa.array([["front"], *values], pa.list_(pa.string())).slice(1)
    for ascii in (False, True):
        texts = json_cells.cells(column, ascii).to_pylist()
        assert [json.loads(text) for text in texts] == values
        assert not any("\n" in text or "\r" in text for text in texts)


def test_what_is_not_finite_is_null() -> None:
    assert json_cells.cells(pa.array([np.nan, np.inf, None], pa.float32())).to_pylist() == ["null"] * 3


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_no_text_is_a_formula_and_its_guard_can_be_taken_away(text: str) -> None:
    found = spreadsheet.guarded(text)
    assert not found.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert found.removeprefix("'") == text


def test_a_cell_holds_what_a_spreadsheet_can() -> None:
    limit = spreadsheet.MOST_CHARACTERS
    fitted = {"text": "x" * limit, "id": "=" + "😀" * limit, "tokens": "[" + "0" * limit, "attributions": "[]"}
    found = spreadsheet.fitting(fitted, ["text", "id"])
    assert found["text"] == fitted["text"]
    assert len(found["id"].encode("utf-16-le")) // 2 in (limit, limit - 1)
    assert found["id"].startswith("'=😀")
    assert found["id"].endswith("😀…")
    assert (found["tokens"], found["attributions"], found["cut"]) == (None, "[]", "id tokens")


def test_a_cut_cell_is_told(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    store = write([a_row(id="a", text="x" * 40_000), a_row(id="b", text="short")])
    assert job.main([store.uri, "--format", "csv"]) == 0
    assert [(len(cell["text"]), cell["cut"]) for cell in read_csv(store)] == [(32_767, "text"), (5, "")]
    assert "rows with cells above 32,767 characters: 1;" in capsys.readouterr().out


def test_lines_of_a_spreadsheet_end_as_rfc_4180_says(write: Write) -> None:
    store = write([a_row(text='a "b"\nc')])
    write_export(store, "csv")
    data = (place_of(store, "csv") / "attributions.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,text,")
    assert data.endswith(b"\r\n")
    assert b'"a ""b""\nc"' in data


def test_the_strongest_words_are_readable() -> None:
    tokens = ["[CLS]", "great", "bor", "##ing", "great", "film"]
    found = spreadsheet.strongest(tokens, [-1, 0, 1, 1, 2, 3], [9.0, 0.1, -0.25, -0.25, 0.02, 0.0])
    assert found == {"words_for": "great +0.12", "words_against": "boring -0.5"}


def test_no_two_classes_have_one_name() -> None:
    assert unique_names(["a", "a"], 3) == ("a", "a (1)", "class 2")
    assert unique_names(["class 1"], 2) == ("class 1", "class 1 (1)")


def test_numbers_beyond_the_names_have_none() -> None:
    assert json_cells.named(pa.array([0, 5, -1, None], pa.int32()), ("a",)).to_pylist() == ["a", None, None, None]
