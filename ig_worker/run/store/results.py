"""RUN/attributions and RUN/quarantine: the commit that makes a chunk exactly-once.

The quarantine file, named by its content, is written first. The attributions file, even with no rows, is the one
marker: its footer names the quarantined positions and that quarantine file, and readers ignore any other. So a crash
at any instant leaves nothing of a chunk, or all of it, and two workers that commit one chunk write the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker import schema
from ig_worker.data.plan import chunk_name
from ig_worker.errors import RunStoppedError
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.manifest import Manifest
from ig_worker.run.store.run_files import (
    ATTRIBUTIONS,
    QUARANTINE,
    RunFiles,
    chunk_file,
    of_this_version,
    without_unknown,
)


@dataclass(frozen=True, slots=True)
class Commit:
    """The footer of one committed attributions file."""

    index: int
    rows: int  # rows of the data set that are explained
    quarantined: tuple[int, ...]  # positions within the chunk
    quarantine_file: str  # empty where nothing was quarantined
    fingerprint: str


class Quarantine:
    """The files of rows that could not be explained. Those count that a committed attributions file names."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    def write(self, index: int, rows: pa.Table, fingerprint: str) -> str:
        """Write the quarantined rows of a chunk; returns the file's name, empty where there are none."""
        if not rows.num_rows:
            return ""
        data = checksummed_parquet.seal(rows, schema.with_metadata(schema.QUARANTINE, fingerprint=fingerprint))
        name = f"{chunk_name(index)}-{_short_hash(data)}.parquet"
        self._files.storage.write(f"{QUARANTINE}/{name}", data)
        return name

    def read(self, name: str) -> pa.Table:
        """Rows of one file."""
        return self._files.read_table(f"{QUARANTINE}/{name}").replace_schema_metadata(None)

    def is_named_by_content(self, name: str) -> bool:
        """Whether a file holds what it was named for."""
        data = self._files.storage.read(f"{QUARANTINE}/{name}")
        return data is not None and name.endswith(f"-{_short_hash(data)}.parquet")

    def names(self) -> set[str]:
        """Names of the files, whether a marker names them or not."""
        return set(self._files.storage.list(QUARANTINE, ".parquet"))


class Results:
    """The explained rows of a run, and the commits."""

    def __init__(self, files: RunFiles, manifest: Manifest, quarantine: Quarantine) -> None:
        self._files, self._manifest, self._quarantine = files, manifest, quarantine

    def commit(self, index: int, explained: pa.Table, quarantined: pa.Table, fingerprint: str) -> Commit:
        """Publish a chunk's result: quarantine first, then the attributions file that makes it count.

        Raises:
            RunStoppedError: the run goes on with other settings by now, without whoever calls this.
        """
        bound = (self._manifest.read() or {}).get("fingerprint", fingerprint)
        if bound != fingerprint:
            raise RunStoppedError(f"{self._files.storage.place} goes on with other settings since this was begun")
        name = self._quarantine.write(index, quarantined, fingerprint)
        positions = tuple(sorted(quarantined.column("position").to_pylist()))
        metadata = schema.with_metadata(
            explained.schema,
            fingerprint=fingerprint,
            chunk=str(index),
            quarantined=json.dumps(positions),
            quarantine_file=name,
            texts=str(_texts(explained)),
        )
        self._files.write_table(_file(index), explained, metadata)
        return Commit(index, _texts(explained), positions, name, fingerprint)

    def commits(self) -> dict[int, Commit]:
        """Footers of all committed attributions files, by chunk."""
        indexes = self._files.indexes(ATTRIBUTIONS)
        return dict(zip(indexes, self._files.read_each(self.read_commit, indexes), strict=True))

    def indexes(self) -> list[int]:
        """Numbers of the chunks with a committed attributions file, in order; no file is opened."""
        return sorted(self._files.indexes(ATTRIBUTIONS))

    def read_commit(self, index: int) -> Commit:
        """The footer of one committed attributions file."""
        name = _file(index)
        footer = self._files.footer(name)
        metadata = footer.metadata or {}
        self._files.require_chunk(name, index, metadata)
        try:
            return Commit(
                index=index,
                rows=int(metadata.get(schema.META_TEXTS, footer.num_rows)),
                quarantined=tuple(json.loads(metadata[schema.META_QUARANTINED])),
                quarantine_file=metadata[schema.META_QUARANTINE_FILE].decode(),
                fingerprint=sys.intern(metadata[schema.META_FINGERPRINT].decode()),  # nearly always the same
            )
        except (KeyError, ValueError) as error:
            raise self._files.damaged(name, f"has no valid footer of a run ({error!r})") from error

    def read(self, index: int, columns: list[str] | None = None) -> pa.Table:
        """Rows of one committed attributions file, schema `schema.attributions` (or those of `columns` that it has).

        A text has a row for each of its targets; those follow each other, in the order of `rank`.
        """
        return of_this_version(without_unknown(self._files.read_table(_file(index), columns)), columns)

    def each(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Committed attributions, one table a chunk, in the order of the chunks."""
        for index in self.indexes():
            yield self.read(index, columns)

    def quarantined(self, commits: Mapping[int, Commit] | None = None) -> pa.Table:
        """All rows in quarantine, schema `schema.QUARANTINE`.

        Args:
            commits: what `commits` has just given; None reads it.
        """
        commits = self.commits() if commits is None else commits
        names = [commit.quarantine_file for _, commit in sorted(commits.items()) if commit.quarantine_file]
        tables = self._files.read_each(self._quarantine.read, names)
        # Schema.empty_table would import pandas, which takes longer than all else here.
        return pa.concat_tables([pa.Table.from_batches([], schema=schema.QUARANTINE), *tables])

    def schema(self, index: int) -> pa.Schema:
        """Columns of one committed attributions file."""
        return self._files.footer(_file(index)).schema.to_arrow_schema().remove_metadata()

    def id_bounds(self, index: int) -> tuple[str, str] | None:
        """Least and greatest id of one committed attributions file, from its footer; None where that does not say."""
        footer = self._files.footer(_file(index))
        column = footer.schema.names.index("id")
        found = [footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups)]
        if not found or any(bounds is None or not bounds.has_min_max for bounds in found):
            return None
        return min(bounds.min for bounds in found), max(bounds.max for bounds in found)


def _file(index: int) -> str:
    return chunk_file(ATTRIBUTIONS, index)


def _texts(explained: pa.Table) -> int:
    return int(pc.sum(pc.equal(explained.column("rank"), 0)).as_py() or 0)


def _short_hash(data: bytes | pa.Buffer) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
