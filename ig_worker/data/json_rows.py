"""One line of JSON lines as a row. All pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ig_worker.data.columns import PAIR, ColumnNames, made_id
from ig_worker.data.faults import shown
from ig_worker.data.files import brief
from ig_worker.data.label_lists import cell_text
from ig_worker.data.spelling import spelling

MAX_LINE_BYTES = 64 << 20

Constants = Mapping[str, str | None]  # columns whose value the file's place says


class JsonRow(NamedTuple):
    """What a line says; null where it says nothing, or nothing that can be read."""

    id: str | None
    text: str | None
    label: str | None  # its spelling; of several, the text of a cell
    fault: str | None
    pair: str | None = None
    kept: tuple[Any, ...] = ()  # values of further columns


def parse_line(line: bytes, number: int) -> tuple[dict[str, Any] | None, str | None]:
    """(JSON object, fault) of line `number` (from 1); one of the two is None."""
    if len(line) > MAX_LINE_BYTES:
        return None, f"line {number} is longer than {MAX_LINE_BYTES} bytes"
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return None, f"line {number} is not UTF-8 (byte {error.start})"
    except (ValueError, RecursionError) as error:
        return None, f"line {number} is not JSON ({brief(error)})"
    if not isinstance(record, dict):
        return None, f"line {number} is not a JSON object"
    return record, None


def row_from(
    record: dict[str, Any],
    used: ColumnNames,
    position: int,
    made_prefix: str = "",
    constants: Constants | None = None,
    lists: bool = False,
) -> JsonRow:
    """The row that `record` makes at `position` (from 0); the first field that is wrong is its fault."""
    record = {**record, **constants} if constants else record
    label, label_fault = _label(value_in(record, used.label), lists) if used.label else (None, None)
    text, text_fault = _string(value_in(record, used.text), "text")
    pair, pair_fault = _string(value_in(record, used.pair), PAIR) if used.pair else (None, None)
    row_id, id_fault = _id(value_in(record, used.id)) if used.id else (made_prefix + made_id(position), None)
    return JsonRow(row_id, text, label, id_fault or text_fault or pair_fault or label_fault, pair)


def value_in(record: dict[str, Any], name: str) -> Any:
    """What `record` has under a key, or inside of its objects under a path of keys; None where it has nothing there.

    NaN, which Python writes into JSON though it is none, is nothing.
    """
    if name in record or "." not in name:
        value = record.get(name)
        return None if isinstance(value, float) and math.isnan(value) else value
    outer, _, inner = name.partition(".")
    found = record.get(outer)
    return value_in(found, inner) if isinstance(found, dict) else None


def _label(value: object, lists: bool) -> tuple[str | None, str | None]:
    try:
        return cell_text(value) if lists else spelling(value), None
    except TypeError as error:
        return None, str(error)


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
