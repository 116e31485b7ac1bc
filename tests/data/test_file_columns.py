from decimal import Decimal

import pyarrow as pa
import pytest

from ig_worker.data.columns import check_types, document_batch, labels_from, parse_label, strings_from
from ig_worker.errors import DataError


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, 1), (True, 1), (0.0, 0), ("1", 1), (" 2 ", 2), ("1.0", 1), ("-3", -3), (Decimal("4"), 4)],
)
def test_integers_and_their_spellings_are_labels(value: object, label: int) -> None:
    assert parse_label(value) == (label, None)


@pytest.mark.parametrize("value", [None, "", float("nan")])
def test_a_missing_label_is_null_and_no_fault(value: object) -> None:
    assert parse_label(value) == (None, None)


@pytest.mark.parametrize("value", ["good", 1.5, "1.5", float("inf"), [1], "1e3", b"x", "٣", "9" * 5000])
def test_anything_else_is_a_fault_that_shows_the_value(value: object) -> None:
    label, fault = parse_label(value)
    assert label is None
    assert fault is not None
    assert fault.startswith(f"label {repr(value)[:20]}")
    assert fault.endswith("is not an integer")
    assert len(fault) < 120


@pytest.mark.parametrize("value", [2**31, "-2147483649", 1e300])
def test_a_label_beyond_32_bits_is_a_fault(value: object) -> None:
    assert parse_label(value)[0] is None
    assert "does not fit 32 bits" in str(parse_label(value)[1])


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
    ],
    ids=lambda column: str(column.type),
)
def test_label_columns_of_every_sensible_type_are_read(column: pa.Array) -> None:
    labels, faults = labels_from(column)
    assert labels == pa.array([1, None, 0], pa.int32())
    assert faults == {}


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("us", tz="Nowhere/Land"), pa.date32(), pa.duration("s"), pa.time64("ns"), pa.list_(pa.int8())],
    ids=str,
)
def test_a_label_column_that_can_hold_no_label_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(DataError, match=r"the label column of d has type .*; expected integers; name another with --l"):
        check_types(pa.string(), None, kind, "d")


LATIN = pa.array([b"1", b"caf\xe9", b""])


@pytest.mark.parametrize(
    "column",
    [
        LATIN,
        LATIN.view(pa.string()),
        LATIN.view(pa.string()).dictionary_encode(),
        LATIN.cast(pa.large_binary()).view(pa.large_string()),
        LATIN.cast(pa.string_view(), safe=False),
    ],
    ids=lambda column: str(column.type),
)
def test_a_label_that_is_not_utf8_costs_only_its_row(column: pa.Array) -> None:
    labels, faults = labels_from(column)
    assert labels.to_pylist() == [1, None, None]
    assert faults == {1: "label 'caf\ufffd' is not an integer"}


def test_one_label_beyond_32_bits_costs_only_its_row() -> None:
    labels, faults = labels_from(pa.array([1, 2**40, 0]))
    assert labels.to_pylist() == [1, None, 0]
    assert faults == {1: "label 1099511627776 does not fit 32 bits"}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
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
    batch = document_batch(pa.array(["a", "b"]), None, None, first_row=41)
    assert batch.column("id").to_pylist() == ["row-00000041", "row-00000042"]
    assert batch.column("label").to_pylist() == [None, None]


def test_integer_ids_become_strings() -> None:
    batch = document_batch(pa.array(["a", "b"]), None, pa.array([7, None]), first_row=0)
    assert batch.column("id").to_pylist() == ["7", None]


def test_of_two_faults_in_a_row_the_unreadable_text_is_told() -> None:
    batch = document_batch(pa.array([b"\xff"]), pa.array(["good"]), None, first_row=0)
    assert batch.column("fault").to_pylist() == ["text is not UTF-8 (byte 0)"]
