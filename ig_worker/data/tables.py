"""Readers of Parquet and CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pt

from ig_worker.data.columns import ColumnNames, check_types, columns_used, document_batch, resliced
from ig_worker.data.files import DataFile, Rows, brief, file_faults
from ig_worker.errors import DataError

_BATCH_ROWS = 2048
_BATCH_BYTES = 32 << 20  # of texts
_CSV_BLOCK_BYTES = 16 << 20  # also the longest row that can be read
_MAX_COLUMNS = 10_000  # of a CSV file: Arrow's time for each is no trifle
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parquet_rows(file: DataFile, wanted: ColumnNames) -> Rows:
    """The rows of a Parquet file, which is read once here: damage inside it is a fault of the file.

    Raises:
        DataError: not Parquet, or without usable columns.
    """
    with file_faults(file.name), file.open() as stream, pq.ParquetFile(stream) as parquet:
        fields = parquet.schema_arrow
        used = columns_used(fields.names, wanted, file.name)
        text, label, row_id = (None if name is None else fields.field(name).type for name in used)
        check_types(text, row_id, label, file.name)
    with file_faults(file.name), file.open() as stream, _open_parquet(stream, used) as parquet:
        count = sum(batch.num_rows for batch in parquet.iter_batches(_BATCH_ROWS, columns=used.present()))

    def batches() -> Iterator[pa.RecordBatch]:
        with file_faults(file.name), file.open() as stream, _open_parquet(stream, used) as parquet:
            found = parquet.iter_batches(_BATCH_ROWS, columns=used.present())
            yield from _documents(_shorter(found, used.text), used)

    return Rows(count, batches)


def _open_parquet(stream: pa.NativeFile, used: ColumnNames) -> pq.ParquetFile:
    # A few bytes of a dictionary can stand for more text than memory holds: it is written out piece by piece.
    return pq.ParquetFile(stream, read_dictionary=[used.text])


def _shorter(batches: Iterator[pa.RecordBatch], text: str) -> Iterator[pa.RecordBatch]:
    """`batches` cut so that the texts in each are hardly more than `_BATCH_BYTES`."""
    for batch in batches:
        column = batch.column(text)
        if pt.is_dictionary(column.type):
            sizes = pc.binary_length(column.dictionary).take(column.indices)
        else:
            sizes = pc.binary_length(column)
        pieces = np.cumsum(pc.fill_null(sizes, 0).to_numpy(zero_copy_only=False), dtype=np.int64) // _BATCH_BYTES
        ends = [*(np.flatnonzero(np.diff(pieces)) + 1), batch.num_rows]
        for start, end in zip([0, *ends], ends, strict=False):
            yield batch.slice(start, end - start)


def csv_rows(file: DataFile, wanted: ColumnNames) -> Rows:
    """The rows of a CSV file with a header line, in UTF-8, comma separated; quoted fields may hold line breaks.

    The whole file is read here. Rows of another length than the header, or a quote that nothing closes, mean that the
    quoting is broken; then no row after it can be trusted, so that is a fault of the file. A text that is not UTF-8 is
    a fault of its row. An empty cell is an empty text, or a null label. A blank line is nothing.

    Raises:
        DataError: not CSV, ragged, or without usable columns.
    """
    names, count = _survey_csv(file)
    used = columns_used(names, wanted, file.name)
    with file_faults(file.name), file.open_stream() as stream, _open_csv(stream, used) as reader:
        parsed = sum(batch.num_rows for batch in reader)
    if parsed != count:
        raise _broken_quotes(file, f"it could be read as {parsed} rows or as {count}")

    def batches() -> Iterator[pa.RecordBatch]:
        with file_faults(file.name), file.open_stream() as stream, _open_csv(stream, used) as reader:
            yield from _documents(resliced(reader, _BATCH_ROWS), used)

    return Rows(count, batches)


def _survey_csv(file: DataFile) -> tuple[list[str], int]:
    """(columns, rows) of a CSV file whose quotes are in order.

    Arrow takes any closing quote, even the end of the file, for the end of a cell: one that is missing would make one
    text of all rows from there on.
    """
    with file_faults(file.name), file.open_stream() as raw, io.BufferedReader(raw, 1 << 20) as stream, _long_cells():
        rows = csv.reader(_csv_lines(stream, file), strict=True)
        header: list[str] = []
        count = ended = 0  # rows, and the line in which the last of them ends
        try:
            for row in rows:
                if not header:
                    header = row
                else:
                    count += bool(row)
                ended = rows.line_num
        except csv.Error as error:
            raise _broken_quotes(file, f"in the row that begins in line {ended + 1}: {brief(error)}") from error
    if len(header) > _MAX_COLUMNS:
        raise DataError(f"{file.name} has {len(header)} columns", expected=f"at most {_MAX_COLUMNS}")
    return [name.encode("latin-1").decode(errors="replace") for name in header], count


def _csv_lines(stream: io.BufferedReader, file: DataFile) -> Iterator[str]:
    """Lines, each byte a character: quotes and commas are the same in every encoding that a cell may have."""
    if stream.peek(3).startswith(_BYTE_ORDER_MARK):
        stream.read(3)
    text = io.TextIOWrapper(stream, encoding="latin-1", newline="")
    while line := text.readline(_CSV_BLOCK_BYTES + 1):
        if len(line) > _CSV_BLOCK_BYTES:
            raise DataError(f"{file.name} has a line of more than {_CSV_BLOCK_BYTES} bytes", expected="shorter rows")
        yield line


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module otherwise takes a cell of 128 KiB for a mistake."""
    usual = csv.field_size_limit(_CSV_BLOCK_BYTES)
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


def _open_csv(stream: pa.NativeFile, used: ColumnNames) -> pacsv.CSVStreamingReader:
    columns = used.present()
    return pacsv.open_csv(
        stream,
        # One thread: only then does Arrow know, and tell, the number of a broken row.
        read_options=pacsv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        # As bytes, so that one text in another encoding does not cost the file.
        convert_options=pacsv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.binary()),
            strings_can_be_null=False,
        ),
    )


def _documents(batches: Iterator[pa.RecordBatch], used: ColumnNames) -> Iterator[pa.RecordBatch]:
    first_row = 0
    for batch in batches:
        text, label, row_id = (None if name is None else batch.column(name) for name in used)
        yield document_batch(text, label, row_id, first_row)
        first_row += batch.num_rows
