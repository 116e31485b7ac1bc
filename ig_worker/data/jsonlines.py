"""Reader of JSON lines.

Read line by line with the standard library rather than with ``pyarrow.json``: Arrow infers one type per column from
the first block of the file and refuses the whole file at the first row that differs (and takes texts that look like
dates for dates), whereas here each line stands alone and a broken one costs only itself.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from ig_worker.data.columns import ColumnNames, columns_used, made_id, parse_label
from ig_worker.data.faults import DOCUMENTS, shown
from ig_worker.data.files import DataFile, Rows, brief, file_faults
from ig_worker.errors import DataError

_BATCH_ROWS = 2048
_BATCH_BYTES = 32 << 20  # of lines: long texts make shorter batches
_MAX_LINE_BYTES = 64 << 20
_MAX_KEYS = 1000
_FIRST_LINES = 20  # of which most have to be JSON objects
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Row(NamedTuple):
    id: str | None
    text: str | None
    label: int | None
    fault: str | None


def jsonl_rows(file: DataFile, wanted: ColumnNames) -> Rows:
    """The rows of a file with one JSON object a line, in UTF-8; keys that a line lacks are null, blank lines nothing.

    The whole file is read once here, to know its keys and rows. A line that is no JSON object is a fault of its row;
    where most of the first lines are none, the file is of another format.

    Raises:
        DataError: not JSON lines, or without usable columns.
    """
    with file_faults(file.name):
        names, count, text_types = _survey(file, wanted)
    used = columns_used(names, wanted, file.name) if count else wanted
    if text_types and "str" not in text_types:
        raise DataError(
            f"the text column of {file.name} holds {', '.join(sorted(text_types))}",
            expected="strings",
            remedy="name another with --text-column",
        )

    def batches() -> Iterator[pa.RecordBatch]:
        with file_faults(file.name):
            yield from _batches(file, used)

    return Rows(count, batches)


def parse_line(line: bytes, number: int) -> tuple[dict[str, Any] | None, str | None]:
    """(JSON object, fault) of line `number` (from 1); one of the two is None."""
    if len(line) > _MAX_LINE_BYTES:
        return None, f"line {number} is longer than {_MAX_LINE_BYTES} bytes"
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return None, f"line {number} is not UTF-8 (byte {error.start})"
    except (ValueError, RecursionError) as error:
        return None, f"line {number} is not JSON ({brief(error)})"
    if not isinstance(record, dict):
        return None, f"line {number} is not a JSON object"
    return record, None


def row_from(record: dict[str, Any], used: ColumnNames, position: int) -> _Row:
    """The row that `record` makes at `position` (from 0); the first field that is wrong is its fault."""
    label, label_fault = parse_label(record.get(used.label)) if used.label else (None, None)
    text, text_fault = _string(record.get(used.text), "text")
    row_id, id_fault = _id(record.get(used.id)) if used.id else (made_id(position), None)
    return _Row(row_id, text, label, id_fault or text_fault or label_fault)


def _id(value: object) -> tuple[str | None, str | None]:
    return _string(str(value) if type(value) is int else value, "id")


def _string(value: object, what: str) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    if not isinstance(value, str):
        return None, f"{what} {shown(value)} is not a string"
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair, UTF-8 cannot
        return None, f"{what} has half a surrogate pair (character {error.start})"
    return value, None


def _survey(file: DataFile, wanted: ColumnNames) -> tuple[list[str], int, set[str]]:
    """(keys in order of appearance, number of rows, type names of the texts that are not null)."""
    keys: dict[str, None] = {}
    text_types = set()
    count = 0
    faults: list[str] = []  # of the first lines
    for number, line in _lines(file):
        record, fault = parse_line(line, number)
        if fault and count < _FIRST_LINES:
            faults.append(fault)
        count += 1
        if count == _FIRST_LINES:
            _refuse_other_formats(file, faults, count)
        record = record or {}
        if record.get(wanted.text) is not None:
            text_types.add(type(record[wanted.text]).__name__)
        # One odd row may have many keys; those that are asked for are always looked for.
        keys.update(dict.fromkeys(record if len(keys) < _MAX_KEYS else set(wanted.present()) & set(record)))
    if count < _FIRST_LINES:
        _refuse_other_formats(file, faults, count)
    return list(keys), count, text_types


def _refuse_other_formats(file: DataFile, faults: list[str], lines: int) -> None:
    if 2 * len(faults) > lines:
        raise DataError(f"{file.name}: {faults[0]}", expected='one JSON object a line, such as {"text": "..."}')


def _batches(file: DataFile, used: ColumnNames) -> Iterator[pa.RecordBatch]:
    rows: list[_Row] = []
    size = 0
    for position, (number, line) in enumerate(_lines(file)):
        record, fault = parse_line(line, number)
        unreadable = _Row(None if used.id else made_id(position), None, None, fault)
        rows.append(unreadable if record is None else row_from(record, used, position))
        size += len(line)
        if len(rows) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield _batch(rows)
            rows, size = [], 0
    if rows:
        yield _batch(rows)


def _batch(rows: list[_Row]) -> pa.RecordBatch:
    columns = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), DOCUMENTS, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)


def _lines(file: DataFile) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of each line that is not blank; of a line beyond the limit, only its beginning."""
    with file.open_stream() as raw, io.BufferedReader(raw, 1 << 20) as stream:
        number = 0
        while line := stream.readline(_MAX_LINE_BYTES + 1):
            number += 1
            rest = line
            while len(rest) > _MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = stream.readline(_MAX_LINE_BYTES + 1)
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if line.strip():
                yield number, line
