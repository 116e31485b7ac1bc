"""Values of the columns that a run keeps, and their types: one for the whole data set, decided before any row is given.

Where files have types, they stay. Cells of CSV and values of JSON have none, or each its own: every one of them is
looked at while the file is opened, and the column has the type that they all fit, else strings. So it depends neither
on `--limit` nor on how rows are batched or cut into chunks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ig_worker.data.column_types import is_binary, is_string
from ig_worker.data.columns import strings_from
from ig_worker.data.faults import shown
from ig_worker.data.spelling import MAYBE_NOTHING, NOTHING
from ig_worker.errors import DataError

# How cells are written that have a type, without blanks around them. Not 007 or +1, which would be written otherwise.
_DIGITS, _POWER = r"(?:0|[1-9][0-9]{0,18})", r"[eE][+-]?[0-2]?[0-9]{1,2}"
_FORMS = (
    (pa.bool_(), r"^(?:true|false|True|False|TRUE|FALSE)$"),
    (pa.int64(), rf"^-?{_DIGITS}$"),
    (pa.float64(), rf"^-?(?:inf|{_DIGITS}?\.[0-9]+(?:{_POWER})?|{_DIGITS}{_POWER})$"),
)
_EXACT = 2**53  # whole numbers beyond this are not each a float64
_SIGNED = range(-(2**63), 2**63)
_IN_JSON, _TYPED = "strings, booleans or numbers", "strings, booleans, numbers, dates or times"


class KeptColumn(NamedTuple):
    """A column that is kept, in one file."""

    used: str  # as the file calls it
    type: pa.DataType  # of its values, as far as this file tells; null where it has none
    inexact: bool = False  # whether a cell, or a value of JSON, is a whole number that no float64 is


def stored_type(kind: pa.DataType, name: str, where: str) -> pa.DataType:
    """The type that values of a typed file are kept as: their own, but for what Parquet or Arrow has in several forms.

    Args:
        kind: that they have.
        name: of the column, for messages.
        where: the file, for messages.

    Raises:
        DataError: lists, structures and other types that are not kept.
    """
    kind = kind.value_type if pt.is_dictionary(kind) else kind
    if is_string(kind) or is_binary(kind):
        return pa.string()
    if pt.is_float16(kind):
        return pa.float32()
    if pt.is_date64(kind):
        return pa.date32()
    if pt.is_timestamp(kind):
        return pa.timestamp("ms", kind.tz) if kind.unit == "s" else kind  # Parquet has no seconds
    if any(fits(kind) for fits in (pt.is_null, pt.is_boolean, pt.is_integer, pt.is_floating, pt.is_date32)):
        return kind
    inner = f"name a field of it, such as --keep-columns {name}.{kind.field(0).name}, or " if _has_fields(kind) else ""
    raise DataError(
        f"the column {shown(name)} of {where}, which --keep-columns names, has type {kind}",
        expected=_TYPED,
        remedy=f"{inner}leave it out",
    )


def _has_fields(kind: pa.DataType) -> bool:
    return pt.is_struct(kind) and kind.num_fields > 0


def stored(column: pa.Array, kept: KeptColumn, where: str) -> pa.Array:
    """A column of a typed file as `stored_type` has said; bytes that are not UTF-8 become U+FFFD.

    Raises:
        DataError: a time that is out of all bounds.
    """
    if pt.is_string(kept.type):
        return _readable(column)
    column = column.dictionary_decode() if pt.is_dictionary(column.type) else column
    try:
        return column if column.type == kept.type else pc.cast(column, kept.type, safe=pt.is_timestamp(kept.type))
    except pa.ArrowInvalid as error:
        raise DataError(
            f"the column {shown(kept.used)} of {where}, which --keep-columns names, has a time that is none ({error})",
            remedy="leave it out",
        ) from error


def _readable(column: pa.Array) -> pa.Array:
    strings, faults = strings_from(column, "")
    if not faults:
        return strings
    cells = (column.dictionary_decode() if pt.is_dictionary(column.type) else column).cast(pa.binary()).to_pylist()
    return pa.array([None if cell is None else cell.decode(errors="replace") for cell in cells], pa.string())


def one_type(kinds: Iterable[pa.DataType]) -> pa.DataType:
    """The type that a column has whose values are of these: the widest of numbers or of times, else strings."""
    found = {kind for kind in kinds if not pt.is_null(kind)}
    if len(found) < 2:
        return next(iter(found), pa.string())
    if all(map(pt.is_integer, found)) and (pa.uint64() not in found or all(map(pt.is_unsigned_integer, found))):
        return pa.uint64() if pa.uint64() in found else pa.int64()
    if any(map(pt.is_floating, found)) and all(pt.is_integer(kind) or pt.is_floating(kind) for kind in found):
        return pa.float64()
    if all(map(pt.is_timestamp, found)) and len({kind.tz for kind in found}) == 1:
        return pa.timestamp("us", next(iter(found)).tz)  # in nanoseconds there is no year 9999
    return pa.string()


def type_of_all(columns: Iterable[KeptColumn]) -> pa.DataType:
    """The type that a column has in all files together."""
    every = list(columns)
    found = one_type(one.type for one in every)
    return pa.string() if pt.is_floating(found) and any(one.inexact for one in every) else found


def converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values as the type that `one_type` has decided; a column of strings may be cells, of which each fits it."""
    if column.type == kind:
        return column
    if pt.is_string(kind):
        return _spelt(column)
    return _parsed(column, kind) if pt.is_string(column.type) else pc.cast(column, kind, safe=False)


def _spelt(column: pa.Array) -> pa.Array:
    if pt.is_floating(column.type):  # as JSON writes them: Arrow makes 1 of 1.0
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    if pt.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return column.cast(pa.string())


def _parsed(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cells as numbers or booleans; what is none, which is a word for nothing, is null."""
    cells = pc.utf8_trim_whitespace(cells)
    cells = pc.if_else(_among(cells, MAYBE_NOTHING), pa.scalar(None, pa.string()), cells)
    return pc.equal(pc.utf8_lower(cells), "true") if pt.is_boolean(kind) else pc.cast(cells, kind)


def cells_of(column: pa.Array) -> pa.Array:
    """Cells of text as strings: null where they are empty, or only what programs write for nothing."""
    strings = _readable(column)
    nothing = pc.or_(pc.equal(pc.binary_length(strings), 0), _among(strings, NOTHING))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), strings)


def _among(strings: pa.Array, words: Sequence[str]) -> pa.Array:
    return pc.is_in(strings, pa.array(words, pa.string()))


class _Types:
    """The types that values have, and what is to be known of them besides."""

    def __init__(self) -> None:
        self.seen: set[pa.DataType] = set()
        self.inexact = False  # as in `KeptColumn`

    def of(self, used: str) -> KeptColumn:
        """The column that they are of, which a file calls so."""
        kind = type_of_all([KeptColumn(used, kind, self.inexact) for kind in self.seen]) if self.seen else pa.null()
        return KeptColumn(used, kind, self.inexact)

    def add_whole(self, number: int) -> None:
        """A whole number."""
        self.seen.add(pa.int64() if number in _SIGNED else pa.string())
        self.inexact |= abs(number) > _EXACT


class CellTypes(_Types):
    """Gathers which types the cells of a column of text have.

    A word for nothing that people write, such as ``NA``, is null in a column of numbers or booleans, and itself among
    strings.
    """

    def add(self, cells: pa.Array) -> None:
        """Look at cells, as `cells_of` gives them."""
        if pa.string() in self.seen:
            return
        left = pc.utf8_trim_whitespace(cells.drop_null())
        left = left.filter(pc.invert(_among(left, MAYBE_NOTHING)))
        for kind, form in _FORMS:
            fits = pc.match_substring_regex(left, form)
            found, left = left.filter(fits), left.filter(pc.invert(fits))
            if len(found):
                self.seen.add(kind)
            if kind == pa.int64():
                for cell in found.filter(pc.greater(pc.binary_length(found), 15)).to_pylist():
                    self.add_whole(int(cell))
        if len(left):
            self.seen.add(pa.string())


class JsonTypes(_Types):
    """Gathers which types the values of a key of JSON have."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: dict[str, None] = {}  # names of the types of values that are not kept

    def add(self, value: object) -> None:
        """Look at a value; NaN and null are none."""
        if value is None:
            return
        if isinstance(value, bool):
            self.seen.add(pa.bool_())
        elif isinstance(value, int):
            self.add_whole(value)
        elif isinstance(value, float | str):
            self.seen.add(pa.float64() if isinstance(value, float) else pa.string())
        else:
            self.odd[type(value).__name__] = None

    def refuse_odd(self, name: str, where: str, fields: Sequence[str]) -> None:
        """Raise DataError where a value is a list or an object.

        Args:
            name: of the column, for messages.
            where: the file, for messages.
            fields: names of all columns, of which one of the object's is suggested.
        """
        if self.odd:
            inner = next((field for field in fields if field.startswith(f"{name}.")), "")
            raise DataError(
                f"the column {shown(name)} of {where}, which --keep-columns names, holds {', '.join(sorted(self.odd))}",
                expected=_IN_JSON,
                remedy=f"name a field of it, such as --keep-columns {inner}, or leave it out"
                if inner
                else "leave it out",
            )


def json_column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values of JSON as the type that `JsonTypes` has found; among strings, others are written as JSON writes them."""
    if pt.is_string(kind):
        return pa.array([None if value is None else _text(value) for value in values], kind)
    if pt.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    return pa.array(values, kind)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()  # JSON can spell half a surrogate pair
