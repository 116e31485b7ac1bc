"""RUN/pilot.parquet: the explained rows of the pilot, in the order of the hashes of their ids.

The run's identity names their digest, so what another attempt or other settings left there counts as nothing.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from ig_worker import schema
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.run_files import PILOT, RunFiles
from ig_worker.run.store.table_digest import content_digest


class PilotRows:
    """The explained rows of a run's pilot."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def write(self, rows: pa.Table) -> str:
        """Write rows of `schema.attributions` in one step; returns their digest."""
        self._files.write_table(PILOT, rows, schema.with_metadata(_schema(rows)))
        return _digest(rows)

    def read(self, digest: str) -> pa.Table | None:
        """The rows that have this digest, schema `schema.attributions`; None where they are gone, or are others."""
        data = self._files.storage.read(PILOT)
        if data is None:
            return None
        try:
            rows = pq.ParquetFile(pa.BufferReader(data)).read()
            fits = checksummed_parquet.intact(rows) and _digest(rows) == digest
        except (pa.ArrowException, OSError, ValueError):
            return None
        return rows.replace_schema_metadata(None) if fits else None


def _digest(rows: pa.Table) -> str:
    return content_digest(rows.cast(_schema(rows)), {})


def _schema(rows: pa.Table) -> pa.Schema:
    names = rows.schema.names
    return schema.attributions(pairs=schema.SEGMENTS in names, outputs=schema.outputs_in(names))
