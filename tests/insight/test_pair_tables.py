"""Tables, heat maps and the index of rows of two texts, against plain loops."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.insight.heat.pieces import TEXTS, joined, second_text, words
from ig_worker.insight.report.position import texts
from ig_worker.insight.report.review_index import CONTINUES, FIRST, SECOND, SPECIAL, Terms, read_tokens
from ig_worker.insight.report.section import Classes
from ig_worker.insight.tables.aggregate import finish, partial
from tests.insight.conftest import make_row, make_table

TOKENS = "[CLS] good film [SEP] un ##do film . [SEP]"
SEGMENTS = [-1, 0, 0, -1, 1, 1, 1, 1, -1]
VALUES = [0.0, 0.2, -0.1, 0.0, 0.3, 0.1, -0.2, 0.0, 0.1]
ROWS = [
    make_row(TOKENS, VALUES, id="a", segments=SEGMENTS),
    make_row(TOKENS, [-value for value in VALUES], id="b", segments=SEGMENTS, target=0),
]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema.attributions(pairs=True))


def test_segments_sum_what_lies_on_each_text() -> None:
    found = finish(partial(table(ROWS)), 1)["segments"].to_pylist()
    assert [(row["segment"], row["target"], row["tokens"]) for row in found] == [
        ("special", 0, 3), ("first", 0, 2), ("second", 0, 4), ("special", 1, 3), ("first", 1, 2), ("second", 1, 4),
    ]  # fmt: skip
    assert [row["sum"] for row in found[3:]] == pytest.approx([0.1, 0.1, 0.2], abs=1e-7)
    assert [row["share"] for row in found[3:]] == pytest.approx([0.1, 0.3, 0.6], abs=1e-7)


def test_the_report_says_how_much_lies_on_each_text() -> None:
    found = finish(partial(table(ROWS)), 1)["segments"]
    assert texts(found, Classes(("no", "yes"), 2))[1] == {
        "target": "yes", "tokens": "9", "shares": ["30.0%", "60.0%", "10.0%"],
    }  # fmt: skip


def test_rows_of_one_text_have_no_segments() -> None:
    found = finish(partial(make_table([make_row()])), 1)["segments"]
    assert found.num_rows == 0
    assert texts(found, Classes((), 0)) == []


def test_ngrams_do_not_go_from_one_text_into_the_other() -> None:
    found = finish(partial(table(ROWS)), 1)["ngrams"].to_pylist()
    assert {row["ngram"] for row in found} == {"good film", "undo film", "film .", "undo film ."}
    alone = [{**row, "segments": None} for row in ROWS]
    assert "film undo" in {row["ngram"] for row in finish(partial(make_table(alone)), 1)["ngrams"].to_pylist()}


def test_a_heat_map_names_each_text_where_it_begins() -> None:
    row = ROWS[0]
    second = second_text(row["word_ids"], SEGMENTS)
    found = words(row["tokens"], row["word_ids"], VALUES, second)
    assert [(word.begins, word.pieces[0].text) for word in found if word.begins] == list(
        zip(TEXTS, ["[CLS]", "un"], strict=True)
    )
    assert [word.space for word in found if word.begins] == [False, False]
    by_word = words(*joined(row["tokens"], row["word_ids"], VALUES), second)
    assert [word.pieces[0].text for word in by_word if word.begins] == ["[CLS]", "undo"]


def test_a_heat_map_of_one_text_names_none() -> None:
    row = make_row()
    assert second_text(row["word_ids"], None) is None
    assert not any(word.begins for word in words(row["tokens"], row["word_ids"], row["attributions"]))


def test_the_index_knows_with_which_word_the_second_text_begins() -> None:
    found = read_tokens(table(ROWS), Terms())
    kinds = [SPECIAL, FIRST, FIRST, SPECIAL, SECOND, CONTINUES, FIRST, FIRST, SPECIAL]
    assert found.kind.tolist() == kinds * 2
