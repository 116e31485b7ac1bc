"""Reader of CSV files, and of their kin with tabs or semicolons."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from ig_worker.data.columns import ColumnNames, Columns, Kept, column_of, columns_of, columns_used, raw_batch, resliced
from ig_worker.data.faults import shown
from ig_worker.data.files import DataFile, brief, file_faults
from ig_worker.data.kept_columns import kept_used
from ig_worker.data.kept_types import CellTypes, cells_of
from ig_worker.data.reading import Reading, Rows
from ig_worker.data.sniff import Utf8Check, keeps_ascii
from ig_worker.data.spelling import MAYBE_NOTHING, NOTHING
from ig_worker.data.streams import check_text, open_text
from ig_worker.errors import DataError

_BATCH_ROWS = 2048
_BLOCK_BYTES = 16 << 20  # also the longest row that can be read
_MAX_COLUMNS = 10_000  # Arrow's time for each is no trifle
_DELIMITERS = (",", ";", "\t", "|")
_EXCEL = "sep="  # the first line of a file that was made for Excel may say how cells are separated


@dataclass(frozen=True)
class _Dialect:
    """How the bytes of one file become cells."""

    delimiter: str
    skipped: int  # lines before the header
    note: str  # what was assumed, for people; empty where the file or the user says it


def csv_rows(file: DataFile, reading: Reading) -> Rows:
    """The rows of a CSV file with a header line; quoted fields may hold line breaks.

    Cells are separated by commas (in a ``.tsv`` file by tabs), unless the file, the header or the user says otherwise.
    The whole file is read here. Rows of another length than the header, or a quote that nothing closes, mean that the
    quoting is broken; then no row after it can be trusted, so that is a fault of the file. A text that is not UTF-8 is
    a fault of its row. An empty cell is an empty text, or a null label; one of the words `spelling.NOTHING` is null. A
    blank line is nothing.

    Raises:
        DataError: not CSV, ragged, in another encoding, or without usable columns.
    """
    with file_faults(file.name):
        check_text(file, reading.encoding)
        dialect = _dialect(file, reading)
        names, count, check = _survey(file, reading, dialect)
    if reading.encoding is None and reading.checked:
        check.refuse(file.name)
    constants = {name: value for name, value in reading.constants.items() if name not in names}
    used = columns_used([*names, *constants], reading.columns, file.name)
    kept = kept_used([*names, *constants], reading.kept, used, file.name)
    inside = [name for name in dict.fromkeys([*used.present(), *kept.values()]) if name in names]

    def batches() -> Iterator[pa.RecordBatch]:
        with (
            file_faults(file.name),
            open_text(file, reading.encoding) as stream,
            _open_csv(stream, inside, dialect) as reader,
        ):
            yield from reader

    def in_use(parts: Iterator[pa.RecordBatch]) -> Iterator[tuple[Columns, Kept]]:
        for batch in parts:
            cells = {name: cells_of(column_of(batch, own, constants)) for name, own in kept.items()}
            yield columns_of(batch, used, constants), cells

    parsed, missing, types = _looked_through(in_use(batches()), reading)
    if parsed != count:
        raise _broken_quotes(file, f"it could be read as {parsed} rows or as {count}")
    settings = _settings(reading, dialect, check, missing)
    notes = [dialect.note, *missing.notes(file.name)] if dialect.note else missing.notes(file.name)
    again = partial(_raw_batches, lambda: in_use(resliced(batches(), _BATCH_ROWS)), reading)
    found = {name: types[name].of(own) for name, own in kept.items()}
    return Rows(count, again, used, (*names, *constants), settings=settings, notes=tuple(notes), kept=found)


def _looked_through(
    parts: Iterator[tuple[Columns, Kept]], reading: Reading
) -> tuple[int, _Missing, dict[str, CellTypes]]:
    """Number of rows, how many of them say nothing, and types of the columns that are kept; labels are counted."""
    rows, missing, types = 0, _Missing(), {name: CellTypes() for name in reading.kept}
    for columns, kept in parts:
        reading.counter.add(len(columns.text), columns.label)
        missing.add(columns)
        for name, cells in kept.items():
            types[name].add(cells)
        rows += len(columns.text)
    return rows, missing, types


def _raw_batches(parts: Callable[[], Iterator[tuple[Columns, Kept]]], reading: Reading) -> Iterator[pa.RecordBatch]:
    """Batches as readers give them, with words for nothing as nulls."""
    first_row = reading.made_first
    for columns, kept in parts():
        batch = raw_batch(_with_nulls(columns), first_row, reading.made_prefix, kept)
        yield batch
        first_row += batch.num_rows


def _settings(reading: Reading, dialect: _Dialect, check: Utf8Check, missing: _Missing) -> dict[str, str]:
    """What determines the rows besides the bytes of the file."""
    settings = {} if dialect.delimiter == "," else {"delimiter": dialect.delimiter}
    if reading.encoding is not None and not (check.ascii and keeps_ascii(reading.encoding)):
        settings["encoding"] = reading.encoding
    if any(taken for _, taken in missing.rows):
        settings["words for nothing"] = "null"
    return settings


class _Missing:
    """Counts the texts and ids that are only a word for nothing."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[str, bool]] = Counter()  # (texts or ids, whether they are taken for missing) -> rows
        self._first: dict[tuple[str, bool], str] = {}

    def add(self, columns: Columns) -> None:
        """Look at the next batch."""
        for what, column in (("texts", columns.text), ("second texts", columns.pair), ("ids", columns.id)):
            for missing, words in ((True, NOTHING), (False, MAYBE_NOTHING)):
                found = None if column is None else column.filter(_is_any(column, words))
                if found:
                    self.rows[what, missing] += len(found)
                    self._first.setdefault((what, missing), found.cast(pa.string())[0].as_py())

    def notes(self, name: str) -> list[str]:
        """What was assumed of them, for people."""
        return [
            f"{what} of {name} ({rows:,} row{'' if rows == 1 else 's'}) that are only a word such as "
            f"{shown(self._first[what, missing])} are taken for {'missing' if missing else what}"
            for (what, missing), rows in self.rows.items()
        ]


def _is_any(column: pa.Array, words: tuple[str, ...]) -> pa.Array:
    return pc.is_in(column.cast(pa.binary()), pa.array([word.encode() for word in words], pa.binary()))


def _with_nulls(columns: Columns) -> Columns:
    """Null in place of texts and ids that are only a word for nothing; what labels mean is for `labels` to say."""
    text, row_id, pair = (
        None if column is None else pc.if_else(_is_any(column, NOTHING), pa.scalar(None, column.type), column)
        for column in (columns.text, columns.id, columns.pair)
    )
    return Columns(text, columns.label, row_id, pair)


def _dialect(file: DataFile, reading: Reading) -> _Dialect:
    """How a file is written, from its first lines and from what the user says."""
    with open_text(file, reading.encoding) as stream:
        lines = _lines(stream, file)
        skipped, line = 0, next(lines, "")
        said = line.rstrip("\r\n")[len(_EXCEL) :] if line.lower().startswith(_EXCEL) else ""
        if len(said) == 1:
            skipped, line = 1, next(lines, "")
        while line and not line.strip():
            line = next(lines, "")
    usual = "\t" if file.suffixes[0] in (".tsv", ".tab") else ","
    chosen = reading.delimiter or (said if len(said) == 1 else usual)
    if reading.delimiter or skipped or _has_text(line, chosen, reading.columns):
        return _Dialect(chosen, skipped, "")
    # Only where one other mark gives the very column that is asked for, and more than that one.
    several = [mark for mark in _DELIMITERS if len(_header(line, mark)) > 1]
    fitting = [mark for mark in several if _has_text(line, mark, reading.columns)]
    if not fitting and chosen not in several:  # then at least its columns can be told
        fitting = several
    if len(fitting) != 1:
        return _Dialect(chosen, skipped, "")
    return _Dialect(fitting[0], skipped, f"the cells of {file.name} are taken to be separated by {fitting[0]!r}")


def _header(line: str, delimiter: str) -> list[str]:
    return [_utf8(name) for name in next(csv.reader([line], delimiter=delimiter), [])]


def _has_text(line: str, delimiter: str, wanted: ColumnNames) -> bool:
    """Whether a header names the column of texts, if its names are separated like that."""
    try:
        return bool(columns_used(_header(line, delimiter), ColumnNames(wanted.text, None, None), "").text)
    except DataError:
        return False


def _survey(file: DataFile, reading: Reading, dialect: _Dialect) -> tuple[list[str], int, Utf8Check]:
    """(columns, rows, encoding of the lines) of a CSV file whose quotes are in order.

    Arrow takes any closing quote, even the end of the file, for the end of a cell: one that is missing would make one
    text of all rows from there on.
    """
    check = Utf8Check()
    with open_text(file, reading.encoding) as stream, _long_cells():
        lines = _lines(stream, file, check.add)
        for _ in range(dialect.skipped):
            next(lines)
        rows = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
        header: list[str] = []
        count, spaced = 0, False
        ended = dialect.skipped  # the line in which the last row ends
        try:
            for row in rows:
                if not header:
                    header = row
                    _check_header(file, header)
                    spaced = any(name.startswith(" ") for name in header[1:])
                else:
                    count += bool(row)
                    if spaced and any(cell.startswith(' "') for cell in row):
                        raise csv.Error("a blank before a quote, which makes the quote a part of the text")
                ended = dialect.skipped + rows.line_num
        except csv.Error as error:
            raise _broken_quotes(file, f"in the row that begins in line {ended + 1}: {brief(error)}") from error
    return [_utf8(name) for name in header], count, check


def _check_header(file: DataFile, header: list[str]) -> None:
    if len(header) > _MAX_COLUMNS:
        raise DataError(f"{file.name} has {len(header)} columns", expected=f"at most {_MAX_COLUMNS}")


def _utf8(name: str) -> str:
    """The name of a column, of which each byte was made a character."""
    return name.encode("latin-1").decode(errors="replace")


def _lines(
    stream: io.BufferedReader, file: DataFile, seen: Callable[[bytes], None] = lambda line: None
) -> Iterator[str]:
    """Lines, each byte a character: quotes and commas are the same in UTF-8 and in broken UTF-8."""
    text = io.TextIOWrapper(stream, encoding="latin-1", newline="")
    while line := text.readline(_BLOCK_BYTES + 1):
        if len(line) > _BLOCK_BYTES:
            raise DataError(f"{file.name} has a line of more than {_BLOCK_BYTES} bytes", expected="shorter rows")
        seen(line.encode("latin-1"))
        yield line


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module otherwise takes a cell of 128 KiB for a mistake."""
    usual = csv.field_size_limit(_BLOCK_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _broken_quotes(file: DataFile, what: str) -> DataError:
    return DataError(
        f"the quotes in {file.name} are broken ({what})",
        expected='a quote before and after each cell that needs them, and "" for a quote inside',
        remedy="mend or export it again",
    )


def _open_csv(stream: io.BufferedReader, columns: list[str], dialect: _Dialect) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        stream,
        # One thread: only then does Arrow know, and tell, the number of a broken row.
        read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False, skip_rows=dialect.skipped),
        parse_options=pacsv.ParseOptions(newlines_in_values=True, delimiter=dialect.delimiter),
        # As bytes, so that one text in another encoding does not cost the file.
        convert_options=pacsv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.binary()),
            strings_can_be_null=False,
        ),
    )
