"""Columns as they come from files, made into batches of `faults.DOCUMENTS`: types decided, odd values made faults.

A type that no row could be right in (a text column of numbers) is a fault of the file. A value that is wrong in its
row only (the label ``good``, bytes that are not UTF-8) becomes null, with a line in the row's fault column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ig_worker.data.faults import DOCUMENTS, shown
from ig_worker.errors import DataError

DEFAULT_LABEL_COLUMN = "label"
DEFAULT_ID_COLUMN = "id"

_WHOLE = re.compile(r"\s*([+-]?\d{1,18})(?:\.0*)?\s*", re.ASCII)  # "1.0": how pandas writes integers beside nulls
_INT32 = range(-(2**31), 2**31)

# A column of dates has no row with a label; and what Arrow makes of some dates, Python's cannot hold.
_LABELS = (
    pt.is_integer,
    pt.is_boolean,
    pt.is_floating,
    pt.is_decimal,
    pt.is_binary,
    pt.is_large_binary,
    pt.is_fixed_size_binary,
    pt.is_null,
)

Faults = dict[int, str]  # position in the batch -> what could not be represented


class ColumnNames(NamedTuple):
    """What a file calls its columns; None for one that it does not have."""

    text: str
    label: str | None
    id: str | None

    def present(self) -> list[str]:
        """The columns to read, each once."""
        return list(dict.fromkeys(name for name in self if name is not None))


def made_id(position: int) -> str:
    """The id of the row at `position` (from 0) of a file without ids."""
    return f"row-{position:08d}"


def parse_label(value: object) -> tuple[int | None, str | None]:
    """(label, fault) of one cell: integers, booleans, whole numbers and their spellings are labels, NaN and "" null."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None, None
    number: int | None = None
    if isinstance(value, int) or (isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value)):
        number = int(value)
    elif isinstance(value, str) and (match := _WHOLE.fullmatch(value)):
        number = int(match[1])
    if number is None:
        return None, f"label {shown(value)} is not an integer"
    if number not in _INT32:
        return None, f"label {shown(value)} does not fit 32 bits"
    return number, None


def labels_from(column: pa.Array) -> tuple[pa.Array, Faults]:
    """(int32 labels, faults) of a label column of any scalar type."""
    if pt.is_integer(column.type) or pt.is_boolean(column.type):
        try:
            return column.cast(pa.int32()), {}
        except pa.ArrowInvalid:  # a value beyond 32 bits: find the row
            pass
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_string(column.type):  # which need not be UTF-8: see `strings_from`
        column = column.cast(pa.binary())
    parsed = [parse_label(_scalar(value)) for value in column]
    faults = {position: fault for position, (_, fault) in enumerate(parsed) if fault}
    return pa.array([label for label, _ in parsed], pa.int32()), faults


def _scalar(value: pa.Scalar) -> object:
    cell = value.as_py()
    return cell.decode(errors="replace") if isinstance(cell, bytes) else cell


def strings_from(column: pa.Array, what: str) -> tuple[pa.Array, Faults]:
    """(valid UTF-8 strings, faults) of a column of strings or bytes; a cell that is not UTF-8 becomes null.

    Parquet readers do not look whether strings are UTF-8, and anything that touches such a cell later would fail.
    """
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        strings = column.cast(pa.string())
        strings.validate(full=True)
        return strings, {}
    except pa.ArrowInvalid:
        pass
    cells: list[str | None] = []
    faults = {}
    for position, value in enumerate(column.cast(pa.binary()).to_pylist()):
        try:
            cells.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            cells.append(None)
            faults[position] = f"{what} is not UTF-8 (byte {error.start})"
    return pa.array(cells, pa.string()), faults


def document_batch(text: pa.Array, label: pa.Array | None, row_id: pa.Array | None, first_row: int) -> pa.RecordBatch:
    """One batch of `DOCUMENTS` from a file's columns; `first_row` is the position in the file of its first row.

    Args:
        text: strings or bytes.
        label: any scalar type; None where the file has no such column: the labels are null.
        row_id: strings, bytes or integers; None where the file has no such column: ids are made from positions.
    """
    rows = len(text)
    texts, text_faults = strings_from(text, "text")
    labels, label_faults = (pa.nulls(rows, pa.int32()), {}) if label is None else labels_from(label)
    ids, id_faults = _ids(row_id, rows, first_row)
    faults = label_faults | text_faults | id_faults  # the last wins: an unreadable row over its label
    notes = pa.array([faults.get(row) for row in range(rows)], pa.string()) if faults else pa.nulls(rows, pa.string())
    return pa.RecordBatch.from_arrays([ids, texts, labels, notes], schema=DOCUMENTS)


def _ids(row_id: pa.Array | None, rows: int, first_row: int) -> tuple[pa.Array, Faults]:
    if row_id is None:
        return pa.array([made_id(first_row + row) for row in range(rows)], pa.string()), {}
    if pt.is_integer(row_id.type):
        return pc.cast(row_id, pa.string()), {}
    return strings_from(row_id, "id")


def columns_used(names: list[str], wanted: ColumnNames, where: str) -> ColumnNames:
    """`wanted` less the default label and id columns where the file has none of that name.

    Args:
        names: the columns of the file.
        where: the file, for messages.

    Raises:
        DataError: the text column, or one that is not the default, is missing; or a name is there twice.
    """
    defaults = ColumnNames("", DEFAULT_LABEL_COLUMN, DEFAULT_ID_COLUMN)
    for name, default, flag in zip(wanted, defaults, ("--text-column", "--label-column", "--id-column"), strict=True):
        if names.count(str(name)) > 1:
            raise DataError(
                f"{where} has {names.count(str(name))} columns called {name!r}", remedy="rename all but one"
            )
        if name not in names and name != default:
            raise DataError(
                f"{where} has no column {name!r}",
                expected=f"one of its columns: {', '.join(map(repr, names[:20]))}"
                + (" ..." if len(names) > 20 else ""),
                remedy=f"name it with {flag}",
            )
    return ColumnNames(wanted.text, *(name if name in names else None for name in wanted[1:]))


def check_types(text: pa.DataType, row_id: pa.DataType | None, label: pa.DataType | None, where: str) -> None:
    """Raises DataError where no row of a column of these types could be used."""

    text, row_id, label = (
        kind.value_type if kind is not None and pt.is_dictionary(kind) else kind for kind in (text, row_id, label)
    )
    if not _is_string(text):
        raise DataError(
            f"the text column of {where} has type {text}", expected="strings", remedy="name another with --text-column"
        )
    if row_id is not None and not (_is_string(row_id) or pt.is_integer(row_id)):
        raise DataError(
            f"the id column of {where} has type {row_id}",
            expected="strings or integers",
            remedy="name another with --id-column",
        )
    if label is not None and not (_is_string(label) or any(fits(label) for fits in _LABELS)):
        raise DataError(
            f"the label column of {where} has type {label}",
            expected="integers",
            remedy="name another with --label-column",
        )


def _is_string(kind: pa.DataType) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def resliced(batches: Iterator[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """`batches` cut to at most `batch_rows` rows each."""
    for batch in batches:
        for start in range(0, batch.num_rows, batch_rows):
            yield batch.slice(start, batch_rows)
