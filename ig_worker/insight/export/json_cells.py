"""Arrow columns as JSON, one text for each row, without a Python object for each number."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

_NULL = "null"


def cells(column: pa.ChunkedArray | pa.Array, ascii: bool = False) -> pa.Array:
    """Each value of a column as JSON, string [rows] without nulls.

    Floats have the fewest digits that give the same float32 again, and always a point or an exponent, so that readers
    which look at a few rows take them for floats. What is not finite becomes null: JSON knows no other word for it.

    Args:
        column: of strings, numbers, booleans, or lists of these.
        ascii: whether other characters are written as escapes.
    """
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(values, ascii)
    if pa.types.is_string(kind):
        return _strings(values, ascii)
    if pa.types.is_floating(kind):
        return _floats(values)
    return pc.fill_null(pc.cast(values, pa.string()), _NULL)


def objects(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Each row as a JSON object, string [rows]: `columns` are `cells` by their names."""
    parts: list[pa.Array | str] = []
    for name, column in columns.items():
        parts += [f"{', ' if parts else '{'}{json.dumps(name)}: ", column]
    return joined(*parts, "}")


def joined(*parts: pa.Array | str) -> pa.Array:
    """Strings of each row, and some that are the same in all of them, put together."""
    return pc.binary_join_element_wise(*parts, "")


def constant(value: object, rows: int, ascii: bool = False) -> pa.Array:
    """One value as JSON, in every row."""
    return pa.repeat(json.dumps(value, ensure_ascii=ascii), rows)


def named(numbers: pa.ChunkedArray | pa.Array, names: tuple[str, ...]) -> pa.Array:
    """Names of numbers, null where there is no number, or none of them has a name; of lists, lists of names."""
    values = numbers.combine_chunks() if isinstance(numbers, pa.ChunkedArray) else numbers
    if pa.types.is_list(values.type):
        return _with_values(values, named(pc.list_flatten(values), names))
    known = pc.and_(pc.greater_equal(values, 0), pc.less(values, len(names)))
    return pa.array(names, pa.string()).take(pc.if_else(known, values, None))


def _strings(values: pa.Array, ascii: bool) -> pa.Array:
    """Each different string is encoded once: tokens are few."""
    encoded = values.dictionary_encode()
    texts = [json.dumps(text, ensure_ascii=ascii) for text in encoded.dictionary.to_pylist()]
    return pc.fill_null(pa.array(texts, pa.string()).take(encoded.indices), _NULL)


def _floats(values: pa.Array) -> pa.Array:
    texts = pc.cast(values, pa.string())
    texts = pc.replace_substring_regex(texts, r"^(-?\d+)$", r"\1.0")
    return pc.fill_null(pc.if_else(pc.is_finite(values), texts, _NULL), _NULL)


def _lists(values: pa.Array, ascii: bool) -> pa.Array:
    texts = _with_values(values, cells(pc.list_flatten(values), ascii))
    return pc.fill_null(joined("[", pc.binary_join(texts, ", "), "]"), _NULL)


def _with_values(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Lists of the same lengths with other values; null where they are."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(pc.cast(lengths, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.ListArray.from_arrays(offsets, values, mask=lists.is_null())
