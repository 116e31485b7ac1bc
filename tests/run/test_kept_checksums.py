"""The checksum of a file covers columns of all types that a run keeps."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ig_worker import schema
from ig_worker.run.store.checksummed_parquet import intact, seal

FAR = 2**62  # milliseconds: a year that Python does not have
VALUES = [
    pa.array(["a", None, "b"]),
    pa.array([True, None, False]),
    pa.array([1, None, 2], pa.int8()),
    pa.array([2**64 - 1, None, 2**64 - 2], pa.uint64()),
    pa.array([0.5, None, float("nan")], pa.float32()),
    pa.array([1, None, 2], pa.date32()),
    pa.array([1, None, FAR], pa.timestamp("ms")),
    pa.array([1, None, 2], pa.timestamp("ns", "UTC")),
]


@pytest.mark.parametrize("column", VALUES, ids=lambda column: str(column.type))
def test_the_checksum_of_a_file_knows_every_value_of_every_type(column: pa.Array) -> None:
    def of(values: pa.Array) -> pa.Table:
        return pa.table({"id": ["x", "y", "z"], "source": values})

    def read(values: pa.Array) -> pa.Table:
        table = of(values)
        sealed = seal(table, schema.with_metadata(table.schema, chunk="0"))
        return pq.ParquetFile(pa.BufferReader(sealed)).read()

    found = read(column)
    assert found.schema.field("source").type == column.type
    assert intact(found)
    assert intact(pa.concat_tables([found.slice(0, 1), found.slice(1)])), "whatever pieces it is in"
    for order in ([1, 0, 2], [0, 2, 1], [0, 0, 2], [0, 1, 1]):
        assert not intact(of(column.take(order)).replace_schema_metadata(found.schema.metadata)), order
