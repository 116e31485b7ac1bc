"""A table as the bytes of a Parquet file with its own checksum, and whether such bytes are still what was written."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from ig_worker import schema
from ig_worker.run.store.table_digest import content_digest


def seal(table: pa.Table, target: pa.Schema) -> pa.Buffer:
    """`table` as a Parquet file with the schema and the metadata of `target`, and with its own checksum."""
    content = table.cast(target.remove_metadata())
    metadata = {**(target.metadata or {}), schema.META_WRITER: pa.__version__.encode()}
    metadata[schema.META_CONTENT] = content_digest(content, metadata).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(content.replace_schema_metadata(metadata), sink, compression="zstd")
    return sink.getvalue()


def intact(table: pa.Table) -> bool:
    """Whether a table that was read whole holds the values that it was sealed with."""
    metadata = table.schema.metadata or {}
    return metadata.get(schema.META_CONTENT) == content_digest(table, metadata).encode()


def fault_of(data: bytes, expected: Callable[[pa.Schema], pa.Schema]) -> str:
    """What is wrong with the bytes of a Parquet file, to the last of them; empty where nothing is.

    Args:
        data: the file.
        expected: the schema that it should have, given the one that it has.
    """
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        metadata = table.schema.metadata or {}
        whole = intact(table)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        return f"cannot be read ({' '.join(str(error).split())[:200]})"
    found = metadata.get(schema.META_VERSION, b"none").decode(errors="replace")
    if found not in schema.READABLE:
        return f"has schema version {found}, this program reads {' and '.join(schema.READABLE)}"
    if not whole:
        return "does not hold what was written: its checksum differs"
    wanted = expected(table.schema)
    if not table.schema.equals(wanted):
        return f"has other columns than {', '.join(wanted.names)}"
    again = seal(table, wanted.with_metadata(metadata))
    # Bytes that no reader looks at; another version of pyarrow may write the same otherwise.
    if metadata.get(schema.META_WRITER) == pa.__version__.encode() and again.to_pybytes() != data:
        return "holds what was written, but not byte for byte"
    return ""
