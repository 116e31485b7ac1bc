from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from ig_worker.data.column_types import check_types
from ig_worker.data.columns import Columns, raw_batch, strings_from
from ig_worker.data.labels import LabelCounter, number_labels, numbered
from ig_worker.data.spelling import spelling
from ig_worker.errors import DataError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1, "1"), (0.0, "0"), ("1", "1"), (" 2 ", "2"), ("1.0", "1"), ("-3", "-3"), ("+4", "4"), (Decimal("4"), "4"),
        (np.int64(5), "5"), (np.float32(2), "2"), (True, "True"), (np.True_, "True"), (b"pos", "pos"),
        (" Good ", "Good"), (1.5, "1.5"), ("1e3", "1e3"), (float("inf"), "inf"), ("٣", "٣"), ("\ud800", "?"),
    ],
)  # fmt: skip
def test_a_label_has_one_spelling_whatever_its_type(value: object, written: str) -> None:
    assert spelling(value) == written


@pytest.mark.parametrize("value", [None, "", " ", float("nan"), Decimal("nan"), np.float32("nan"), b""])
def test_a_missing_label_has_none(value: object) -> None:
    assert spelling(value) is None


@pytest.mark.parametrize("value", [[1], {}, ("a",)])
def test_what_is_no_scalar_is_no_label(value: object) -> None:
    with pytest.raises(TypeError, match="is not a class"):
        spelling(value)


def test_a_long_label_is_cut() -> None:
    assert spelling("9" * 4000) == "9" * 97 + "..."


def labels_of(column: pa.Array) -> list[int | None]:
    counter = LabelCounter()
    counter.add(len(column), column)
    labels, faults = numbered(column, number_labels(counter, "d").numbers)
    assert labels.type == pa.int32()
    assert faults == {}
    return labels.to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 0], pa.int8()),
        pa.array([1, None, 0], pa.uint64()),
        pa.array([True, None, False]),
        pa.array([1.0, None, 0.0]),
        pa.array(["1", None, "0"]).dictionary_encode(),
        pa.array([b"1", b"", b"0"]),
        pa.array([Decimal("1"), None, Decimal("0")]),
        pa.array([Decimal("1"), None, Decimal("0")], pa.decimal32(5, 2)),
        pa.array([1, None, 0], pa.float16()),
        pa.array([1.0, float("nan"), 0.0], pa.float32()),
        pa.array(["1", None, "0"], pa.string_view()),
        pa.array([b"1", None, b"0"], pa.binary_view()),
        pa.array([b"1", None, b"0"], pa.binary(1)),
        pa.array(["true", "NaN", "FALSE"], pa.large_string()),
        pa.array([1, None, 0], pa.int64()).dictionary_encode(),
        pa.array([1, -1, 0], pa.int64()),
        pa.array(["LABEL_1", "null", "label_0"]),
    ],
    ids=lambda column: str(column.type),
)
def test_label_columns_of_every_sensible_type_are_read(column: pa.Array) -> None:
    assert labels_of(column) == [1, None, 0]


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("us", tz="Nowhere/Land"), pa.date32(), pa.duration("s"), pa.time64("ns"), pa.list_(pa.int8())],
    ids=str,
)
def test_a_label_column_that_can_hold_no_label_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(DataError, match=r"the label column of d has type .*; expected numbers or names"):
        check_types(pa.string(), None, kind, "d")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary_view()])
def test_string_columns_of_every_type_become_strings(kind: pa.DataType) -> None:
    column = pa.array(["é", None, "a\x00b"], pa.string()).cast(kind)
    assert strings_from(column, "text") == (pa.array(["é", None, "a\x00b"]), {})


def test_strings_that_are_not_utf8_cost_only_their_row() -> None:
    # Parquet hands such bytes over as strings; touching one as a string raises.
    broken = pa.array([b"fine", b"caf\xe9", None]).view(pa.string())
    strings, faults = strings_from(broken, "text")
    assert strings.to_pylist() == ["fine", None, None]
    assert faults == {1: "text is not UTF-8 (byte 3)"}


def test_ids_are_made_from_the_position_in_the_file_where_there_are_none() -> None:
    batch = raw_batch(Columns(pa.array(["a", "b"]), None, None), 41, "x.csv:")
    assert batch.column("id").to_pylist() == ["x.csv:row-00000041", "x.csv:row-00000042"]
    assert batch.column("label").to_pylist() == [None, None]


def test_integer_ids_become_strings() -> None:
    batch = raw_batch(Columns(pa.array(["a", "b"]), None, pa.array([7, None])), 0)
    assert batch.column("id").to_pylist() == ["7", None]


def test_an_unreadable_text_is_told_and_its_label_kept() -> None:
    batch = raw_batch(Columns(pa.array([b"\xff"]), pa.array(["good"]), None), 0)
    assert batch.column("fault").to_pylist() == ["text is not UTF-8 (byte 0)"]
    assert batch.column("label").to_pylist() == ["good"]


def test_a_label_that_nobody_counted_is_a_fault_of_its_row() -> None:
    labels, faults = numbered(pa.array(["1", "new", None]), {"1": 1})
    assert labels.to_pylist() == [1, None, None]
    assert faults == {1: "label 'new' is not a class"}
