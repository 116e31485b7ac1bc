"""The checksum of a table is of what it says, not of how it lies in memory."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ig_worker.run.store.table_digest import content_digest

TABLE = pa.table(
    {
        "text": pa.array(["one", None, "", "fünf"]),
        "number": pa.array([1, None, 3, 4], pa.int32()),
        "flag": pa.array([True, False, None, True]),
        "lists": pa.array([[1.5], [], None, [2.5, 3.5]], pa.list_(pa.float32())),
        "words": pa.array([["a", "b"], ["ab"], [], None], pa.list_(pa.string())),
        "hidden": pa.array([[[1, 2]], [], [[3, 4], [5, 6]], [[7, 8]]], pa.list_(pa.list_(pa.float32(), 2))),
    }
)


def test_slices_and_chunks_do_not_matter() -> None:
    padded = pa.concat_tables([TABLE.slice(2, 1), TABLE, TABLE.slice(0, 2)])
    pieces = pa.concat_tables([padded.slice(1, 2), padded.slice(3, 2)])
    assert pieces.equals(TABLE)
    assert content_digest(pieces, {}) == content_digest(TABLE, {})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("text", ["one", "", "", "fünf"]),
        ("text", ["on", None, "e", "fünf"]),
        ("number", [1, 0, 3, 4]),
        ("flag", [True, False, False, True]),
        ("lists", [[1.5], None, None, [2.5, 3.5]]),
        ("lists", [[1.5, 2.5], [], None, [3.5]]),
        ("words", [["ab"], ["a", "b"], [], None]),
        ("hidden", [[[1, 2]], [], [[3, 4], [5, 6]], [[7, 9]]]),
        ("hidden", [[[1, 2], [3, 4]], [], [[5, 6]], [[7, 8]]]),
    ],
)
def test_any_other_value_gives_another_checksum(column: str, values: list) -> None:
    index = TABLE.schema.get_field_index(column)
    changed = TABLE.set_column(index, column, pa.array(values, TABLE.schema.field(column).type))
    assert content_digest(changed, {}) != content_digest(TABLE, {})


def test_this_projects_metadata_counts_and_no_others() -> None:
    base = content_digest(TABLE, {b"ig_worker.chunk": b"1"})
    assert content_digest(TABLE, {b"ig_worker.chunk": b"2"}) != base
    assert content_digest(TABLE, {b"ig_worker.chunk": b"1", b"ARROW:schema": b"x", b"ig_worker.content": b"y"}) == base
