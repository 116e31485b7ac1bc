from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker import schema
from ig_worker.data.faults import DOCUMENTS, REASONS, FaultFinder, RowFault, row_fault


def batch_of(*rows: tuple[str | None, str | None, str | None]) -> pa.RecordBatch:
    ids, texts, faults = zip(*rows, strict=True)
    columns = [pa.array(ids, pa.string()), pa.array(texts, pa.string()), pa.nulls(len(rows), pa.int32())]
    return pa.RecordBatch.from_arrays([*columns, pa.array(faults, pa.string())], schema=DOCUMENTS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, "fine", None), "null_id"),
        (("", "fine", None), "null_id"),
        (("a", None, None), "null_text"),
        (("a", "", None), "empty_text"),
        (("a", " \t\n\u00a0\u3000", None), "empty_text"),
        (("a", "é" * 6, None), "text_too_long"),
        (("a", "fine", "label 'good' is not an integer"), "bad_label"),
        (("a", None, "text is not UTF-8 (byte 3)"), "unreadable_row"),
        ((None, None, "line 7 is not JSON (...)"), "unreadable_row"),
    ],
)
def test_each_fault_has_its_reason(row: tuple[str | None, str | None, str | None], reason: str) -> None:
    found = FaultFinder(max_text_bytes=11).check(batch_of(row))
    assert [found[0].reason] == [reason]
    assert reason in REASONS


def test_sound_rows_have_no_fault() -> None:
    rows = [("a", "fine", None), ("b", " spaced ", None), ("c", "\x00", None), ("d", "日本語", None)]
    assert FaultFinder().check(batch_of(*rows)) == {}


def test_the_second_of_two_equal_ids_is_the_fault_even_in_another_batch() -> None:
    finder = FaultFinder()
    assert finder.check(batch_of(("a", "x", None), ("b", "x", None))) == {}
    found = finder.check(batch_of(("c", "x", None), ("a", "x", None), ("c", "x", None)))
    assert {position: fault.reason for position, fault in found.items()} == {1: "duplicate_id", 2: "duplicate_id"}
    assert found[1].detail == "id 'a' is already the id of an earlier row"


def test_an_id_counts_as_used_even_where_its_first_row_is_faulty() -> None:
    found = FaultFinder().check(batch_of(("a", "", None), ("a", "x", None)))
    assert [found[0].reason, found[1].reason] == ["empty_text", "duplicate_id"]


def test_null_ids_are_not_duplicates_of_each_other() -> None:
    found = FaultFinder().check(batch_of((None, "x", None), (None, "x", None)))
    assert [fault.reason for fault in found.values()] == ["null_id", "null_id"]


def test_the_length_message_names_size_limit_and_flag() -> None:
    detail = "text of 1000000 bytes is over the limit of 500000 (--max-text-bytes)"
    assert row_fault("a", "x" * 1_000_000) == RowFault("text_too_long", detail)
    assert row_fault("a", "x" * 500_000) is None


def test_a_batch_without_the_fault_column_is_checked_too() -> None:
    batch = pa.RecordBatch.from_pylist([{"id": "a", "text": "", "label": None}], schema=schema.INPUT)
    assert FaultFinder().check(batch)[0].reason == "empty_text"


def test_a_table_is_checked_like_its_batches() -> None:
    batches = [batch_of(("a", "x", None)), batch_of(("a", "x", None), ("b", "", None))]
    found = FaultFinder().check(pa.Table.from_batches(batches))
    assert {position: fault.reason for position, fault in found.items()} == {1: "duplicate_id", 2: "empty_text"}


def test_a_long_value_is_not_repeated_in_full() -> None:
    fault = row_fault("i" * 10_000, "x", duplicate=True)
    assert fault is not None
    assert len(fault.detail) < 200


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=4)), max_size=20))
def test_checking_columns_agrees_with_checking_rows(rows: list[tuple[str, str]]) -> None:
    if not rows:
        return
    found = FaultFinder(max_text_bytes=6).check(batch_of(*((*row, None) for row in rows)))
    ids = [row_id for row_id, _ in rows]
    one_by_one = {
        position: fault
        for position, (row_id, text) in enumerate(rows)
        if (fault := row_fault(row_id, text, duplicate=row_id in ids[:position], max_text_bytes=6))
    }
    assert found == one_by_one


@pytest.mark.parametrize("make", [pa.Table.from_batches, lambda _, schema: schema.empty_table()])
def test_no_rows_have_no_faults(make: Callable[..., pa.Table]) -> None:
    assert FaultFinder().check(make([], schema=DOCUMENTS)) == {}
