"""Columns as they come from files, made into batches of one form: found by name, odd values made faults.

A value that is wrong in its row only (bytes that are not UTF-8) becomes null, with a line in the row's fault column.
Labels stay as they are: what they mean is for `labels` to say. Which types can be read at all says `column_types`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ig_worker.data.faults import FAULT_COLUMN, FaultLines, shown
from ig_worker.errors import DataError

DEFAULT_LABEL_COLUMN = "label"
DEFAULT_ID_COLUMN = "id"

# What people call such columns: for suggestions only.
_TEXT_NAMES = (
    "text",
    "review",
    "sentence",
    "content",
    "body",
    "comment",
    "message",
    "tweet",
    "document",
    "description",
)
_PAIR_NAMES = tuple(
    "pair text_pair hypothesis sentence2 sentence_b text2 text_b question2 answer passage context".split()
)
_LABEL_NAMES = ("label", "sentiment", "target", "class", "category", "polarity", "stars", "rating", "score", "y")
_MARKS = ",;\t|"  # that usually separate the cells of CSV
_INVISIBLE = "\ufeff\u200b"  # a byte order mark, and a blank without width

RAW = ("id", "text", "label", FAULT_COLUMN)  # columns of the batches that readers give
PAIR = "pair"  # one more behind them, where a row has two texts; and behind that those of `kept`
Kept = Mapping[str, pa.Array]  # columns that a run keeps, by its names for them


class ColumnNames(NamedTuple):
    """What a file calls its columns; None for one that it does not have, or that nobody wants."""

    text: str
    label: str | None
    id: str | None
    pair: str | None = None  # of the second texts

    def present(self) -> list[str]:
        """The columns to read, each once."""
        return list(dict.fromkeys(name for name in self if name is not None))


DEFAULT_COLUMNS = ColumnNames("text", DEFAULT_LABEL_COLUMN, DEFAULT_ID_COLUMN)


def made_id(position: int) -> str:
    """The id of the row at `position` (from 0) of a file without ids."""
    return f"row-{position:08d}"


def strings_from(column: pa.Array, what: str) -> tuple[pa.Array, FaultLines]:
    """(valid UTF-8 strings, faults) of a column of strings or bytes; a cell that is not UTF-8 becomes null.

    Parquet readers do not look whether strings are UTF-8, and anything that touches such a cell later would fail.
    """
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pt.is_fixed_size_binary(column.type) or pt.is_binary_view(column.type):
        column = column.cast(pa.binary())
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


class Columns(NamedTuple):
    """The columns of a file's batch; None for each that it does not have."""

    text: pa.Array
    label: pa.Array | None
    id: pa.Array | None
    pair: pa.Array | None = None


def raw_batch(columns: Columns, first_row: int, made_prefix: str = "", kept: Kept | None = None) -> pa.RecordBatch:
    """One batch of `RAW`, with second texts also of `PAIR`, from a file's columns; the labels stay as they are.

    Args:
        columns: texts as strings or bytes, labels of any scalar type, ids as strings, bytes or integers. Without labels
            they are null, without ids ids are made.
        first_row: number in the id that is made for the first row.
        made_prefix: how ids that are made begin.
        kept: further columns, by the names that the run has for them.
    """
    rows = len(columns.text)
    texts, text_faults = strings_from(columns.text, "text")
    ids, id_faults = _ids(columns.id, rows, first_row, made_prefix)
    pairs, pair_faults = (None, {}) if columns.pair is None else strings_from(columns.pair, PAIR)
    faults = pair_faults | text_faults | id_faults
    labels = pa.nulls(rows) if columns.label is None else columns.label
    notes = pa.array([faults.get(row) for row in range(rows)], pa.string()) if faults else pa.nulls(rows, pa.string())
    return raw_columns([ids, texts, labels, notes], pairs, kept)


def raw_columns(columns: Sequence[pa.Array], pairs: pa.Array | None, kept: Kept | None = None) -> pa.RecordBatch:
    """Columns of `RAW` as a batch; behind them second texts where there are any, and the columns that are kept."""
    more = {} if pairs is None else {PAIR: pairs}
    more |= kept or {}
    return pa.RecordBatch.from_arrays([*columns, *more.values()], names=[*RAW, *more])


def _ids(row_id: pa.Array | None, rows: int, first_row: int, made_prefix: str) -> tuple[pa.Array, FaultLines]:
    if row_id is None:
        return pa.array([made_prefix + made_id(first_row + row) for row in range(rows)], pa.string()), {}
    if pt.is_integer(row_id.type):
        return pc.cast(row_id, pa.string()), {}
    return strings_from(row_id, "id")


def columns_of(batch: pa.RecordBatch, used: ColumnNames, constants: Mapping[str, str | None]) -> Columns:
    """The columns in use of a file's batch; `constants` are those whose value the file's place says."""
    return Columns(*(None if name is None else column_of(batch, name, constants) for name in used))


def column_of(batch: pa.RecordBatch, name: str, constants: Mapping[str, str | None]) -> pa.Array:
    """One column of a file's batch, by the name that `names_in` gave it."""
    if name in constants:
        return pa.repeat(pa.scalar(constants[name], pa.string()), batch.num_rows)
    if name in batch.schema.names:
        column = batch.column(name)
    else:
        top, *fields = name.split(".")
        column = pc.struct_field(batch.column(top), fields)
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def names_in(schema: pa.Schema) -> list[str]:
    """Names of a file's columns; fields of structures by their path, such as ``review.text``."""
    found: list[str] = []

    def enter(field: pa.Field, path: str) -> None:
        found.append(path)
        if pt.is_struct(field.type):
            for inner in field.type:
                enter(inner, f"{path}.{inner.name}")

    for field in schema:
        enter(field, field.name)
    return found


def type_in(schema: pa.Schema, name: str) -> pa.DataType:
    """Type of a column that `names_in` has named."""
    if name in schema.names:
        kind = schema.field(name).type
    else:
        top, *fields = name.split(".")
        kind = schema.field(top).type
        for inner in fields:
            kind = kind.field(inner).type
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def columns_used(names: Sequence[str], wanted: ColumnNames, where: str) -> ColumnNames:
    """What a file calls the wanted columns: by the same name, or by the only one that differs in case or blanks.

    The default label and id columns may be missing; second texts are read where a column of them is named.

    Args:
        names: the columns of the file.
        wanted: as the user calls them; an empty name wants none.
        where: the file, for messages.

    Raises:
        DataError: the text column, or one that is not the default, is missing; a name is there twice; or both texts
            are to come from one column.
    """
    defaults = ColumnNames("", DEFAULT_LABEL_COLUMN, DEFAULT_ID_COLUMN, "")
    flags = ("--text-column", "--label-column", "--id-column", "--pair-column")
    found: list[str | None] = []
    for name, default, flag in zip(wanted, defaults, flags, strict=True):
        column = column_called(names, name, where) if name else None
        if column is None and (name or flag == "--text-column") and name != default:
            raise no_column(names, name or "", where, flag)
        found.append(column)
    if found[-1] is not None and found[-1] == found[0]:
        raise DataError(
            f"--pair-column is {shown(wanted.pair)}, which is the column of the first texts, too",
            expected=f"another column of {where}",
        )
    return ColumnNames(found[0] or "", *found[1:])


def column_called(names: Sequence[str], name: str, where: str) -> str | None:
    """What a file calls a column: by the same name, or by the only one that differs in case or blanks; None without.

    Raises:
        DataError: such a name is there twice.
    """
    alike = [name] if name in names else [n for n in names if plain_name(n) == plain_name(name)]
    if sum(names.count(n) for n in set(alike)) > 1:
        said = ", ".join(map(shown, alike)) if len(set(alike)) > 1 else f"called {shown(alike[0])}"
        raise DataError(
            f"{where} has {sum(names.count(n) for n in set(alike))} columns {said}", remedy="rename all but one"
        )
    return alike[0] if alike else None


def plain_name(name: str) -> str:
    """The name of a column without what people do not see: case, blanks around it, a byte order mark."""
    return name.strip().strip(_INVISIBLE).strip().casefold()


def no_column(names: Sequence[str], name: str, where: str, flag: str) -> DataError:
    """The error that says that a file has no such column, with those that it has and the one that is meant."""
    headless = any(len(n) > 40 or n.isdecimal() for n in names)
    header = " (is there a line of column names at its top?)" if headless else ""
    usual = {"--text-column": _TEXT_NAMES, "--pair-column": _PAIR_NAMES}.get(flag, ())
    suggestion = None if headless else suggested(names, name, usual)
    uncut = len(names) == 1 and any(mark in names[0] for mark in _MARKS)
    if uncut or any(n.startswith(("{", "[", "<")) for n in names):  # the lines of another format
        suggestion = None
    return DataError(
        f"{where} has no column {shown(name)}{header}",
        expected=f"one of its columns: {', '.join(map(shown, names[:20]))}" + (" ..." if len(names) > 20 else ""),
        remedy=f"name it with {flag}{f', such as {flag} {suggestion}' if suggestion else ''}"
        + (", or cut the lines by another --delimiter" if uncut else ""),
    )


def suggested(names: Sequence[str], wanted: str, usual: Sequence[str] = _LABEL_NAMES) -> str | None:
    """The column that is most likely meant by `wanted`, by a usual name of such columns or by a similar one."""
    plain = {plain_name(name): name for name in reversed(names)}
    for candidate in (wanted, *usual):
        same = candidate.casefold().removesuffix("s")
        close = [name for name in reversed(plain) if name.rpartition(".")[2].removesuffix("s") == same]
        if close:
            return plain[close[0]]
    near = difflib.get_close_matches(plain_name(wanted), plain, 1, 0.7)
    inside = [name for name in plain if any(part in name for part in usual if len(part) > 3)]
    return plain[(near or inside)[0]] if near or inside else None


def resliced(batches: Iterator[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """`batches` cut to at most `batch_rows` rows each."""
    for batch in batches:
        for start in range(0, batch.num_rows, batch_rows):
            yield batch.slice(start, batch_rows)
