"""Texts and labels as they lie in memory: lists, arrays, frames' columns, and what stands among them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ig_worker.data.in_memory import label_values, texts_of, values_of
from ig_worker.errors import UsageError

TEXTS = ["a good film", "", "dull"]


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        map(str, TEXTS),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        np.array(TEXTS, object),
        np.array([text.encode() for text in TEXTS], object),
        np.array(TEXTS, np.dtypes.StringDType()),
        pd.Series(TEXTS),
        pd.Series(TEXTS, index=[7, 7, 7]),
        pd.Series(TEXTS, index=list("xyz"), dtype="string"),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.large_string())),
        pd.Index(TEXTS),
        pd.Series(TEXTS).array,
        pl.Series(TEXTS),
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.chunked_array([TEXTS[:1], [], TEXTS[1:]]),
        pa.array([text.encode() for text in TEXTS]),
        [pa.scalar(text) for text in TEXTS],
        [np.str_(text) for text in TEXTS],
    ],
    ids=lambda given: type(given).__name__,
)
def test_texts_are_taken_as_they_come(given: Any) -> None:
    assert texts_of(given) == (TEXTS, [None, None, None])


@pytest.mark.parametrize(
    "given",
    [
        ["a", None],
        ["a", float("nan")],
        ["a", np.float32("nan")],
        ["a", pd.NA],
        ["a", pd.NaT],
        ["a", np.datetime64("NaT")],
        ["a", Decimal("NaN")],
        np.array(["a", None], object),
        np.ma.array(["a", "b"], mask=[False, True]),
        pd.Series(["a", None]),
        pd.Series(["a", np.nan]),
        pd.Series(["a", None], dtype="string"),
        pl.Series(["a", None]),
        pa.array(["a", None]),
        [pa.scalar("a"), pa.scalar(None, pa.string())],
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_missing_is_null_whoever_writes_it(given: Any) -> None:
    assert texts_of(given) == (["a", None], [None, None])


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (3, "text 3 is not a string"),
        (True, "text True is not a string"),
        (np.int64(3), "text 3 is not a string"),
        (float("inf"), "text inf is not a string"),
        (["a"], "text ['a'] is not a string"),
        ({"text": "a"}, "text {'text': 'a'} is not a string"),
        (datetime.date(2026, 1, 2), "text datetime.date(2026, 1, 2) is not a string"),
        (b"caf\xe9", "text is not UTF-8 (byte 3)"),
        ("a \ud83d", "text has half a surrogate pair (character 2)"),
    ],
)
def test_what_is_no_text_is_a_fault_of_its_row_alone(value: object, fault: str) -> None:
    assert texts_of(["a", value]) == (["a", None], [None, fault])


@pytest.mark.parametrize(
    "given", [np.array([1, 2]), pd.Series([1, 2]), pa.array([1, 2]), pd.Series([1, 2], dtype="Int64")]
)
def test_numbers_alone_are_faults_of_all_rows(given: Any) -> None:
    assert texts_of(given) == ([None, None], ["text 1 is not a string", "text 2 is not a string"])


@pytest.mark.parametrize(
    "given",
    [
        [],
        (),
        iter([]),
        np.array([]),
        pd.Series([], dtype=object),
        pa.array([], pa.string()),
        pa.chunked_array([], pa.string()),
        pl.Series([], dtype=pl.String),
    ],
    ids=lambda given: type(given).__name__,
)
def test_nothing_is_no_rows(given: Any) -> None:
    assert texts_of(given) == ([], [])


def test_a_column_of_strings_that_are_not_utf8_costs_their_rows_alone() -> None:
    made = pa.array([b"good", b"caf\xe9"])
    broken = pa.Array.from_buffers(pa.string(), len(made), made.buffers())
    assert texts_of(broken) == (["good", None], [None, "text is not UTF-8 (byte 3)"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a good film", "texts is one string; expected a list of texts; put it in a list"),
        (b"a good film", "texts is one string"),
        (np.str_("a"), "texts is one string"),
        (np.array("a"), "texts is one value (ndarray)"),
        (pa.scalar("a"), "texts is one value"),
        (3, "texts is one value (int)"),
        (None, "texts is None"),
        (np.array([["a", "b"]]), "texts has 2 dimensions; expected one"),
        (pd.DataFrame({"text": ["a"]}), "texts is a table with the columns 'text'.*give one of them, such as texts"),
        (pl.DataFrame({"review": ["a"]}), "texts is a table with the columns 'review'"),
        (pa.table({"text": ["a"]}), "texts is a table with the columns 'text'"),
        ({"a", "b"}, "texts is a set; expected"),
        ({"x": "a"}, "texts is a dict; expected"),
        (object(), "texts is one value"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_list_is_refused_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
        values_of(given, "texts")
    assert "\n" not in str(caught.value)


def test_labels_keep_what_they_are_and_lose_what_is_missing() -> None:
    assert label_values(pd.Series([1, None]), ["a", "b"], 2) == [1.0, None]
    assert label_values(pd.Series([1, None], dtype="Int64"), ["a", "b"], 2) == [1, None]
    assert label_values(["x", pd.NaT], ["a", "b"], 2) == ["x", None]
    assert label_values(np.array([True, False]), ["a", "b"], 2) == [True, False]
    assert label_values(None, ["a", "b"], 2) is None


@pytest.mark.parametrize("labels", [[], [1], [1, 0, 1], pd.Series([], dtype=int)], ids=len)
def test_each_text_has_a_label_or_none_has(labels: Any) -> None:
    with pytest.raises(UsageError, match=rf"there are {len(labels)} labels and 2 texts"):
        label_values(labels, ["a", "b"], 2)


def test_labels_of_the_same_rows_in_another_order_are_refused() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": [0, 1]})
    with pytest.raises(UsageError, match=r"the index of labels has another order than that of texts; .*labels\.loc"):
        label_values(frame["label"][::-1], frame["text"], 2)
    assert label_values(frame["label"][::-1].to_numpy(), frame["text"], 2) == [1, 0]
    assert label_values(frame["label"], frame["text"], 2) == [0, 1]
    assert label_values(pd.Series([0, 1]), frame["text"].set_axis([5, 6]), 2) == [0, 1]
