"""Readers of Parquet files, and of the Arrow files that Hugging Face's ``save_to_disk`` writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pyarrow.types as pt

from ig_worker.data.arrow_frames import check_frames
from ig_worker.data.column_types import check_types
from ig_worker.data.columns import (
    ColumnNames,
    column_of,
    columns_of,
    columns_used,
    names_in,
    raw_batch,
    resliced,
    type_in,
)
from ig_worker.data.files import DataFile, file_faults
from ig_worker.data.kept_columns import constant_column, kept_of, kept_used
from ig_worker.data.kept_types import KeptColumn, stored_type
from ig_worker.data.reading import Reading, Rows
from ig_worker.data.saved import class_names_of
from ig_worker.data.sniff import HEAD, refuse_other_format

_BATCH_ROWS = 2048
_BATCH_BYTES = 32 << 20  # of texts
_FEATURES = b"huggingface"  # key of the metadata in which Hugging Face's library keeps its own types, as JSON

Batches = Callable[[], Iterator[pa.RecordBatch]]


def parquet_rows(file: DataFile, reading: Reading) -> Rows:
    """The rows of a Parquet file, which is read once here: damage inside it is a fault of the file.

    Raises:
        DataError: not Parquet, or without usable columns.
    """
    with file_faults(file.name), file.open() as stream:
        refuse_other_format(stream.read(HEAD), file.name, b"PAR1")
    with file_faults(file.name), file.open() as stream, pq.ParquetFile(stream) as parquet:
        schema = parquet.schema_arrow
    used, kept, inside = _used(schema, reading, file.name)

    def batches() -> Iterator[pa.RecordBatch]:
        # A few bytes of a dictionary can stand for more text than memory holds: it is written out piece by piece.
        as_dictionary = [name for name in {used.text, used.pair, *_strings(kept)} if name in inside]
        with (
            file_faults(file.name),
            file.open() as stream,
            pq.ParquetFile(stream, read_dictionary=as_dictionary) as parquet,
        ):
            yield from parquet.iter_batches(_BATCH_ROWS, columns=inside)

    return _rows(file, schema, (used, kept), reading, batches)


def arrow_rows(file: DataFile, reading: Reading) -> Rows:
    """The rows of an Arrow file in the stream format, which is read once here.

    Raises:
        DataError: of another format, compressed, or without usable columns.
    """
    with file_faults(file.name), file.open() as stream:
        refuse_other_format(stream.read(HEAD), file.name)
        check_frames(stream, file.name, file.size)
    with file_faults(file.name), file.open_stream() as stream, ipc.open_stream(stream) as reader:
        schema = reader.schema
    used, kept, inside = _used(schema, reading, file.name)
    tops = sorted(
        {schema.get_field_index(name.partition(".")[0] if name not in schema.names else name) for name in inside}
    )
    options = ipc.IpcReadOptions(included_fields=tops, use_threads=False)

    def batches() -> Iterator[pa.RecordBatch]:
        with (
            file_faults(file.name),
            file.open_stream() as stream,
            ipc.open_stream(stream, options=options) as reader,
        ):
            for batch in reader:
                batch.validate(full=True)  # Arrow takes what is in such a file on trust
                yield from resliced(iter([batch]), _BATCH_ROWS)

    return _rows(file, schema, (used, kept), reading, batches)


def _used(schema: pa.Schema, reading: Reading, where: str) -> tuple[ColumnNames, dict[str, KeptColumn], list[str]]:
    """(what a file and its place call the wanted columns, those that are kept, those of both that are in the file)."""
    own = names_in(schema)
    names = [*own, *(name for name in reading.constants if name not in own)]
    used = columns_used(names, reading.columns, where)
    text, label, row_id, pair = (
        None if name is None else type_in(schema, name) if name in own else pa.string() for name in used
    )
    check_types(text, row_id, label, where, pair, reading.lists)
    kept = {
        name: KeptColumn(found, stored_type(type_in(schema, found), found, where))
        if found in own
        else constant_column(found, reading.constants[found])
        for name, found in kept_used(names, reading.kept, used, where).items()
    }
    wanted = dict.fromkeys([*used.present(), *(one.used for one in kept.values())])
    return used, kept, [name for name in wanted if name in own]


def _rows(
    file: DataFile,
    schema: pa.Schema,
    wanted: tuple[ColumnNames, dict[str, KeptColumn]],
    reading: Reading,
    batches: Batches,
) -> Rows:
    used, kept = wanted
    own = names_in(schema)
    constants = {name: value for name, value in reading.constants.items() if name not in own}
    count = 0
    for batch in batches():
        reading.counter.add(batch.num_rows, columns_of(batch, used, constants).label)
        count += batch.num_rows

    def documents() -> Iterator[pa.RecordBatch]:
        first_row = reading.made_first
        long = [name for name in (used.text, used.pair, *_strings(kept)) if name is not None]
        for batch in batches():
            for start, end in _pieces([column_of(batch, name, constants) for name in long]):
                piece = batch.slice(start, end - start)
                more = kept_of(piece, kept, constants, file.name)
                yield raw_batch(columns_of(piece, used, constants), first_row + start, reading.made_prefix, more)
            first_row += batch.num_rows

    return Rows(count, documents, used, (*own, *constants), class_names_in(schema, used.label), kept=kept)


def _strings(kept: Mapping[str, KeptColumn]) -> list[str]:
    return [one.used for one in kept.values() if pt.is_string(one.type)]


def _pieces(columns: Sequence[pa.Array]) -> Iterator[tuple[int, int]]:
    """(start, end) of pieces of columns of strings, so that each is hardly more than `_BATCH_BYTES` in all of them."""
    rows = len(columns[0])
    sizes = np.zeros(rows, np.int64)
    for column in columns:
        own = _sizes(column.dictionary).take(column.indices) if pt.is_dictionary(column.type) else _sizes(column)
        sizes += pc.fill_null(own, 0).to_numpy(zero_copy_only=False)
    pieces = np.cumsum(sizes) // _BATCH_BYTES
    ends = [*(np.flatnonzero(np.diff(pieces)) + 1), rows]
    yield from zip([0, *ends], ends, strict=False)


def _sizes(text: pa.Array) -> pa.Array:
    if pt.is_string_view(text.type) or pt.is_binary_view(text.type):
        text = text.cast(pa.large_binary())
    return pc.binary_length(text)


def class_names_in(schema: pa.Schema, label: str | None) -> tuple[str, ...]:
    """Names of the classes of a label column, by number, that Hugging Face's library noted; empty without."""
    try:
        return class_names_of(json.loads((schema.metadata or {})[_FEATURES])["info"], label)
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
