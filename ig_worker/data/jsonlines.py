"""Reader of JSON lines.

Read line by line with the standard library rather than with ``pyarrow.json``: Arrow infers one type per column from
the first block of the file and refuses the whole file at the first row that differs (and takes texts that look like
dates for dates), whereas here each line stands alone and a broken one costs only itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from ig_worker.data import json_rows
from ig_worker.data.columns import PAIR, ColumnNames, columns_used, made_id, plain_name, raw_columns
from ig_worker.data.files import DataFile, file_faults
from ig_worker.data.json_rows import Constants, JsonRow, parse_line, row_from, value_in
from ig_worker.data.kept_columns import constant_column, kept_used
from ig_worker.data.kept_types import JsonTypes, KeptColumn, cells_of, json_column
from ig_worker.data.labels import LabelCounter
from ig_worker.data.reading import Reading, Rows
from ig_worker.data.sniff import Utf8Check, keeps_ascii
from ig_worker.data.streams import check_text, open_text
from ig_worker.errors import DataError

_BATCH_ROWS = 2048
_BATCH_BYTES = 32 << 20  # of lines: long texts make shorter batches
_MAX_KEYS = 1000
_MAX_DEPTH = 3  # of objects inside of each other whose keys are known
_FIRST_LINES = 20  # of which most have to be JSON objects
_ARRAY = "where jq is installed, jq -c '.[]' FILE.json > FILE.jsonl makes JSON lines of an array"


class _Survey:
    """What a first look at all lines of a file finds."""

    def __init__(self, reading: Reading) -> None:
        self.keys: dict[str, None] = {}  # in order of appearance; inner ones as ``outer.inner``
        self.count = 0  # rows
        self.check = Utf8Check()
        self.text_types: dict[str, set[str]] = {}  # of each key that may be the texts', of those that are not null
        self.labels: dict[str, LabelCounter] = {}  # of each key that may be the labels'
        self.label_types: dict[str, set[str]] = {}  # the same as for texts
        self.kept: dict[str, JsonTypes] = {}  # of each key that may be one that is kept
        self._counter = reading.counter
        named = (plain_name(name) if name else None for name in reading.columns)
        self._text, self._label, self._id, self._pair = named
        self._kept = {plain_name(name) for name in reading.kept}

    def add(self, record: dict[str, Any]) -> None:
        """Look at the next row; a line without one has no keys."""
        self._register(record, "")
        for key, types in self.text_types.items():
            value = value_in(record, key)
            if value is not None:
                types.add(type(value).__name__)
        for key, counter in self.labels.items():
            value = value_in(record, key)
            counter.add_value(value)
            if value is not None:
                self.label_types[key].add(type(value).__name__)
        for key, kinds in self.kept.items():
            kinds.add(value_in(record, key))
        self.count += 1

    def _register(self, record: dict[str, Any], path: str) -> None:
        for key, value in record.items():
            name = path + key
            if name not in self.keys:
                self._enter(name)
            if isinstance(value, dict) and path.count(".") < _MAX_DEPTH:
                self._register(value, f"{name}.")

    def _enter(self, name: str) -> None:
        plain = plain_name(name)
        # One odd row may have many keys; those that are asked for are always looked for.
        if len(self.keys) < _MAX_KEYS or plain in (self._text, self._label, self._id, self._pair, *self._kept):
            self.keys[name] = None
        if plain in self._kept:
            self.kept[name] = JsonTypes()
        if plain in (self._text, self._pair):
            self.text_types[name] = set()
        if plain == self._label:
            self.labels[name] = self._counter.behind(self.count)
            self.label_types[name] = set()


def jsonl_rows(file: DataFile, reading: Reading) -> Rows:
    """The rows of a file with one JSON object a line; keys that a line lacks are null, blank lines nothing.

    A key inside of an object is named by its path, such as ``review.text``. The whole file is read once here, to know
    its keys and rows. A line that is no JSON object is a fault of its row; where most of the first lines are none, the
    file is of another format.

    Raises:
        DataError: not JSON lines, in another encoding, or without usable columns.
    """
    with file_faults(file.name):
        check_text(file, reading.encoding)
        found = _survey(file, reading)
    if reading.encoding is None and reading.checked:
        found.check.refuse(file.name)
    constants = {name: value for name, value in reading.constants.items() if name not in found.keys}
    names = [*found.keys, *constants]
    used = columns_used(names, reading.columns, file.name) if found.count else reading.columns
    for what, name in (("text", used.text), (PAIR, used.pair)):
        types = found.text_types.get(name or "", set())
        if types and "str" not in types:
            raise DataError(
                f"the {what} column of {file.name} holds {', '.join(sorted(types))}",
                expected="strings",
                remedy=f"name another with --{what}-column",
            )
    _refuse_labels(file, used.label, found, reading.lists)
    kept = _kept(file, reading, used, found, constants)
    if used.label in found.labels:
        reading.counter.absorb(found.labels[used.label])
    else:
        reading.counter.add_same(found.count, constants.get(used.label or ""))

    def batches() -> Iterator[pa.RecordBatch]:
        with file_faults(file.name):
            yield from _batches(file, reading, used, constants, kept)

    transcoded = reading.encoding is not None and not (found.check.ascii and keeps_ascii(reading.encoding))
    settings = {"encoding": str(reading.encoding)} if transcoded else {}
    return Rows(found.count, batches, used, tuple(names), settings=settings, kept=kept)


def _kept(
    file: DataFile, reading: Reading, used: ColumnNames, found: _Survey, constants: Constants
) -> dict[str, KeptColumn]:
    """The columns that are kept, with their types; a file without rows may lack them."""
    names = [*found.keys, *constants]
    if not found.count:
        return {name: KeptColumn(name, pa.null()) for name in reading.kept}
    kept = {}
    for name, own in kept_used(names, reading.kept, used, file.name).items():
        if own in constants:
            kept[name] = constant_column(own, constants[own])
        else:
            found.kept[own].refuse_odd(own, file.name, names)
            kept[name] = found.kept[own].of(own)
    return kept


def _refuse_labels(file: DataFile, label: str | None, found: _Survey, lists: bool) -> None:
    """Raise DataError where no label is a scalar, or a list of some, as for the type of a column in other formats."""
    types = found.label_types.get(label or "", set())
    if types and types <= ({"dict"} if lists else {"dict", "list"}):
        inner = next((name for name in found.keys if name.startswith(f"{label}.")), None)
        raise DataError(
            f"the label column of {file.name} holds {', '.join(sorted(types))}",
            expected="numbers or names of classes",
            remedy="name another with --label-column"
            + (f", such as --label-column {inner}" if inner else ", or read no labels with --label-column ''"),
        )


def _survey(file: DataFile, reading: Reading) -> _Survey:
    found = _Survey(reading)
    faults: list[str] = []  # of the first lines; that they are in another encoding is for `Utf8Check` to say
    for number, line in _lines(file, reading):
        record, fault = parse_line(line, number)
        found.check.add(line)
        if fault and found.count < _FIRST_LINES and "is not UTF-8" not in fault:
            faults.append(fault)
        found.add(record or {})
        if found.count == _FIRST_LINES:
            _refuse_other_formats(file, reading, faults, found.count)
    if found.count < _FIRST_LINES:
        _refuse_other_formats(file, reading, faults, found.count)
    return found


def _refuse_other_formats(file: DataFile, reading: Reading, faults: list[str], lines: int) -> None:
    if 2 * len(faults) > lines:
        with open_text(file, reading.encoding) as stream:
            array = stream.read(_MAX_KEYS).lstrip().startswith(b"[")
        raise DataError(
            f"{file.name}{' is a JSON array' if array else ''}: {faults[0]}",
            expected='one JSON object a line, such as {"text": "..."}',
            remedy=_ARRAY if array else "",
        )


def _batches(
    file: DataFile, reading: Reading, used: ColumnNames, constants: Constants, kept: Mapping[str, KeptColumn]
) -> Iterator[pa.RecordBatch]:
    rows: list[JsonRow] = []
    size = 0
    prefix = reading.made_prefix
    for position, (number, line) in enumerate(_lines(file, reading), reading.made_first):
        record, fault = parse_line(line, number)
        unreadable = JsonRow(None if used.id else prefix + made_id(position), None, None, fault)
        row = unreadable if record is None else row_from(record, used, position, prefix, constants, reading.lists)
        own = record or {}
        rows.append(row._replace(kept=tuple(value_in(own, one.used) for one in kept.values())) if kept else row)
        size += len(line)
        if len(rows) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield _batch(rows, used, constants, kept)
            rows, size = [], 0
    if rows:
        yield _batch(rows, used, constants, kept)


def _batch(
    rows: list[JsonRow], used: ColumnNames, constants: Constants, kept: Mapping[str, KeptColumn]
) -> pa.RecordBatch:
    *columns, values = zip(*rows, strict=True)
    *strings, pairs = (pa.array(column, pa.string()) for column in columns)
    more = {
        name: cells_of(pa.array([constants[one.used]] * len(rows), pa.string()))
        if one.used in constants
        else json_column([row[i] for row in values], one.type)
        for i, (name, one) in enumerate(kept.items())
    }
    return raw_columns(strings, pairs if used.pair else None, more)


def _lines(file: DataFile, reading: Reading) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of each line that is not blank; of a line beyond the limit, only its beginning."""
    with open_text(file, reading.encoding) as stream:
        number = 0
        while line := stream.readline(json_rows.MAX_LINE_BYTES + 1):
            number += 1
            rest = line
            while len(rest) > json_rows.MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = stream.readline(json_rows.MAX_LINE_BYTES + 1)
            if line.strip():
                yield number, line
