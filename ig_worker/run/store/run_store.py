"""A run, by what lies in it (DESIGN: "A run directory")."""

from __future__ import annotations

import pyarrow as pa

from ig_worker.run.store.chunks import InputChunks
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.manifest import Manifest, Summary
from ig_worker.run.store.pilot_rows import PilotRows
from ig_worker.run.store.results import Quarantine, Results
from ig_worker.run.store.run_files import AGGREGATES, RunFiles

REPORT = "report/index.html"


class RunStore:
    """Reads and writes the files of the run at `place` (local path or URI)."""

    def __init__(self, place: str) -> None:
        self.storage = Storage(place)
        self.place = self.storage.place  # for people: without the secrets that a URI may carry
        self.uri = place
        files = RunFiles(self.storage)
        self.manifest = Manifest(files)
        self.summary = Summary(files)
        self.chunks = InputChunks(files)
        self.quarantine = Quarantine(files)
        self.results = Results(files, self.manifest, self.quarantine)
        self.pilot = PilotRows(files)
        self.aggregates = Aggregates(files)

    def write_text(self, name: str, text: str) -> str:
        """Write a text file such as the report; returns its place."""
        self.storage.write(name, text.encode("utf-8", errors="replace"))
        return self.storage.describe(name)


class Aggregates:
    """RUN/aggregates: the tables that are derived from the results, by their names."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def write(self, name: str, table: pa.Table) -> str:
        """Write a table; returns its place."""
        target = f"{AGGREGATES}/{name}.parquet"
        self._files.write_table(target, table, table.schema)
        return self._files.storage.describe(target)

    def read(self, name: str) -> pa.Table | None:
        """A table, or None where there is none.

        Raises:
            RunDamagedError: it cannot be read.
        """
        target = f"{AGGREGATES}/{name}.parquet"
        return self._files.read_table(target) if self._files.storage.exists(target) else None
