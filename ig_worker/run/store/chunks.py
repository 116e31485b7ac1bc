"""RUN/chunks: the rows that a run explains, cut into chunks."""

from __future__ import annotations

import json

import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import RowFault, RowFaults
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.run_files import CHUNKS, RunFiles, chunk_file, without_unknown


class InputChunks:
    """The input chunks of a run."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def write(self, index: int, rows: pa.Table, faults: RowFaults, data: str = "") -> None:
        """Write an input chunk.

        Args:
            index: of the chunk.
            rows: with the columns of `schema.inputs`, with or without second texts and further columns.
            faults: the rows already known to be unexplainable.
            data: fingerprint of the sharded data set, in the footer where others have the run's.
        """
        text = json.dumps({str(position): [fault.reason, fault.detail] for position, fault in sorted(faults.items())})
        kept = map(rows.schema.field, schema.kept_in(rows.schema))
        columns = schema.inputs("pair" in rows.schema.names, schema.outputs_in(rows.schema.names), kept)
        metadata = schema.with_metadata(columns, chunk=str(index), faults=text, fingerprint=data)
        self._files.write_table(_file(index), rows.select(columns.names).cast(columns), metadata)

    def read(self, index: int) -> tuple[pa.Table, RowFaults]:
        """Rows of an input chunk, and those of them known to be unexplainable.

        Raises:
            RunDamagedError: it does not hold what was written, or is another chunk.
        """
        name = _file(index)
        table = self._files.read_table(name)
        with self._files.parsing(name):
            whole = checksummed_parquet.intact(table)
        if not whole:  # or rows that nobody wrote would be explained, and nothing found wrong with them
            raise self._files.damaged(name, "does not hold what was written: its checksum differs")
        self._files.require_chunk(name, index, table.schema.metadata)
        return without_unknown(table), _faults(table)

    def ids(self, index: int) -> tuple[list[str], RowFaults]:
        """Ids of the rows of an input chunk, and those known to be unexplainable; its checksum is not looked at."""
        table = self._files.read_table(_file(index), ["id"])
        return table.column("id").to_pylist(), _faults(table)

    def rows(self, index: int) -> int:
        """Number of rows of an input chunk, from its footer."""
        return int(self._files.footer(_file(index)).num_rows)

    def indexes(self) -> set[int]:
        """Numbers of the input chunks that are there."""
        return set(self._files.indexes(CHUNKS))

    def delete(self, index: int) -> None:
        """Remove an input chunk, as of a data set that was given up."""
        self._files.storage.delete(_file(index))


def _faults(table: pa.Table) -> RowFaults:
    raw = json.loads(table.schema.metadata.get(schema.META_FAULTS, b"{}"))
    return {int(position): RowFault(reason, detail) for position, (reason, detail) in raw.items()}


def _file(index: int) -> str:
    return chunk_file(CHUNKS, index)
