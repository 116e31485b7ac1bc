"""Readers of Parquet and CSV files."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ig_worker.data.columns import ColumnNames, check_types, columns_used, document_batch, resliced
from ig_worker.data.files import DataFile, Rows, file_faults

_BATCH_ROWS = 2048
_CSV_BLOCK_BYTES = 16 << 20  # also the longest row that can be read


def parquet_rows(file: DataFile, wanted: ColumnNames) -> Rows:
    """The rows of a Parquet file.

    Raises:
        DataError: not Parquet, or without usable columns.
    """
    with file_faults(file.name), file.open() as stream, pq.ParquetFile(stream) as parquet:
        count, fields = parquet.metadata.num_rows, parquet.schema_arrow
    used = columns_used(fields.names, wanted, file.name)
    text, label, row_id = (None if name is None else fields.field(name).type for name in used)
    check_types(text, row_id, label, file.name)

    def batches() -> Iterator[pa.RecordBatch]:
        with file_faults(file.name), file.open() as stream, pq.ParquetFile(stream) as parquet:
            yield from _documents(parquet.iter_batches(batch_size=_BATCH_ROWS, columns=used.present()), used)

    return Rows(count, batches)


def csv_rows(file: DataFile, wanted: ColumnNames) -> Rows:
    """The rows of a CSV file with a header line, in UTF-8, comma separated; quoted fields may hold line breaks.

    The whole file is read once here: rows of another length than the header mean that the quoting is broken, and then
    no row after it can be trusted, so that is a fault of the file. A text that is not UTF-8 is a fault of its row. An
    empty cell is an empty text, or a null label.

    Raises:
        DataError: not CSV, ragged, or without usable columns.
    """
    with file_faults(file.name), file.open_stream() as stream, _open_csv(stream, None) as reader:
        names = reader.schema.names
    used = columns_used(names, wanted, file.name)
    with file_faults(file.name), file.open_stream() as stream, _open_csv(stream, used) as reader:
        count = sum(batch.num_rows for batch in reader)

    def batches() -> Iterator[pa.RecordBatch]:
        with file_faults(file.name), file.open_stream() as stream, _open_csv(stream, used) as reader:
            yield from _documents(resliced(reader, _BATCH_ROWS), used)

    return Rows(count, batches)


def _open_csv(stream: pa.NativeFile, used: ColumnNames | None) -> pacsv.CSVStreamingReader:
    columns = used.present() if used else []
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
