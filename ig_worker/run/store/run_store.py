"""The files of one run (DESIGN: "A run directory"): what is where, and the commit that makes a chunk exactly-once.

The quarantine file, named by its content, is written first. The attributions file, even with no rows, is the one
marker: its footer names the quarantined positions and that quarantine file, and readers ignore any other. So a crash
at any instant leaves nothing of a chunk, or all of it, and two workers that commit one chunk write the same.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ig_worker import schema
from ig_worker.data.plan import chunk_name, parse_chunk_name
from ig_worker.errors import RunDamagedError, RunStoppedError, UsageError
from ig_worker.run.config import fingerprint
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.filesystem import Storage

CHUNKS, ATTRIBUTIONS, QUARANTINE, AGGREGATES = "chunks", "attributions", "quarantine", "aggregates"
MANIFEST = "run.json"
SUMMARY = "summary.json"
REPORT = "report/index.html"

_READERS = 32  # files read at a time from an object store, where each takes two requests of some 20 ms
S = TypeVar("S")
T = TypeVar("T")
Faults = dict[int, tuple[str, str]]  # position in the chunk -> (reason code, one line for a person)


@dataclass(frozen=True, slots=True)
class Commit:
    """The footer of one committed attributions file."""

    index: int
    rows: int  # rows explained
    quarantined: tuple[int, ...]  # positions within the chunk
    quarantine_file: str  # empty where nothing was quarantined
    fingerprint: str


class RunStore:
    """Reads and writes the files of the run at `place` (local path or URI)."""

    def __init__(self, place: str) -> None:
        self.storage = Storage(place)
        self.place = self.storage.place  # for people: without the secrets that a URI may carry
        self.uri = place

    # The manifest, run.json: the only file that changes.

    def read_manifest(self) -> dict[str, Any] | None:
        """The content of run.json, or None where there is none."""
        data = self.storage.read(MANIFEST)
        if data is None:
            return None
        manifest = self._parse(MANIFEST, data)
        if manifest.get("schema_version") != schema.VERSION:
            raise self._damaged(
                MANIFEST,
                f"has schema version {manifest.get('schema_version')!r}, this program reads {schema.VERSION!r}",
            )
        return manifest

    def manifest(self) -> dict[str, Any]:
        """The content of run.json of a run that has to exist."""
        manifest = self.read_manifest()
        if manifest is None:
            raise UsageError(
                f"{self.place} is not a run: it has no {MANIFEST}",
                remedy="give the --run of an earlier jobs.explain or jobs.prepare",
            )
        return manifest

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        content = {**manifest, "schema_version": schema.VERSION}
        text = json.dumps({**content, "checksum": manifest_checksum(content)}, indent=2, sort_keys=True)
        self.storage.write(MANIFEST, text.encode() + b"\n")

    def read_summary(self) -> dict[str, Any]:
        """The content of summary.json: how the last start ended; empty where none has."""
        data = self.storage.read(SUMMARY)
        return {} if data is None else self._parse(SUMMARY, data)

    def write_summary(self, summary: dict[str, Any]) -> None:
        self.storage.write(SUMMARY, json.dumps(summary, indent=2, sort_keys=True).encode() + b"\n")

    # Input chunks.

    def write_chunk(self, index: int, rows: pa.Table, faults: Faults, data: str = "") -> None:
        """Write an input chunk.

        Args:
            index: of the chunk.
            rows: with the columns of `schema.INPUT`.
            faults: the rows already known to be unexplainable.
            data: fingerprint of the sharded data set, in the footer where others have the run's.
        """
        text = json.dumps({str(position): list(fault) for position, fault in sorted(faults.items())})
        metadata = schema.with_metadata(schema.INPUT, chunk=str(index), faults=text, fingerprint=data)
        self._write_table(_parquet(CHUNKS, index), rows.select(schema.INPUT.names).cast(schema.INPUT), metadata)

    def read_chunk(self, index: int) -> tuple[pa.Table, Faults]:
        """Rows of an input chunk, and those of them known to be unexplainable.

        Raises:
            RunDamagedError: it does not hold what was written, or is another chunk.
        """
        name = _parquet(CHUNKS, index)
        table = self._read_table(name)
        with self._parsing(name):
            whole = checksummed_parquet.intact(table)
        if not whole:  # or rows that nobody wrote would be explained, and nothing found wrong with them
            raise self._damaged(name, "does not hold what was written: its checksum differs")
        self._require_chunk(name, index, table.schema.metadata)
        raw = json.loads(table.schema.metadata.get(schema.META_FAULTS, b"{}"))
        return _without_unknown(table), {int(position): (reason, detail) for position, (reason, detail) in raw.items()}

    def chunk_rows(self, index: int) -> int:
        """Number of rows of an input chunk, from its footer."""
        return int(self._footer(_parquet(CHUNKS, index)).num_rows)

    def delete_chunk(self, index: int) -> None:
        self.storage.delete(_parquet(CHUNKS, index))

    # Results.

    def commit(self, index: int, explained: pa.Table, quarantined: pa.Table, fingerprint: str) -> Commit:
        """Publish a chunk's result: quarantine first, then the attributions file that makes it count.

        Raises:
            RunStoppedError: the run goes on with other settings by now, without whoever calls this.
        """
        bound = (self.read_manifest() or {}).get("fingerprint", fingerprint)
        if bound != fingerprint:
            raise RunStoppedError(f"{self.place} goes on with other settings since this was begun")
        name = ""
        if quarantined.num_rows:
            data = checksummed_parquet.seal(
                quarantined, schema.with_metadata(schema.QUARANTINE, fingerprint=fingerprint)
            )
            name = f"{chunk_name(index)}-{_short_hash(data)}.parquet"
            self.storage.write(f"{QUARANTINE}/{name}", data)
        positions = tuple(sorted(quarantined.column("position").to_pylist()))
        metadata = schema.with_metadata(
            explained.schema,
            fingerprint=fingerprint,
            chunk=str(index),
            quarantined=json.dumps(positions),
            quarantine_file=name,
        )
        self._write_table(_parquet(ATTRIBUTIONS, index), explained, metadata)
        return Commit(index, explained.num_rows, positions, name, fingerprint)

    def commits(self) -> dict[int, Commit]:
        """Footers of all committed attributions files, by chunk."""
        indexes = self._indexes(ATTRIBUTIONS)
        return dict(zip(indexes, self._read_each(self.read_commit, indexes), strict=True))

    def committed(self) -> list[int]:
        """Numbers of the chunks with a committed attributions file, in order; no file is opened."""
        return sorted(self._indexes(ATTRIBUTIONS))

    def read_commit(self, index: int) -> Commit:
        """The footer of one committed attributions file."""
        name = _parquet(ATTRIBUTIONS, index)
        footer = self._footer(name)
        metadata = footer.metadata or {}
        self._require_chunk(name, index, metadata)
        try:
            return Commit(
                index=index,
                rows=int(footer.num_rows),
                quarantined=tuple(json.loads(metadata[schema.META_QUARANTINED])),
                quarantine_file=metadata[schema.META_QUARANTINE_FILE].decode(),
                fingerprint=sys.intern(metadata[schema.META_FINGERPRINT].decode()),  # nearly always the same
            )
        except (KeyError, ValueError) as error:
            raise self._damaged(name, f"has no valid footer of a run ({error!r})") from error

    def read_attributions(self, index: int, columns: list[str] | None = None) -> pa.Table:
        """Rows of one committed attributions file, schema `schema.ATTRIBUTIONS` (or its `columns`)."""
        return _without_unknown(self._read_table(_parquet(ATTRIBUTIONS, index), columns))

    def attributions_schema(self, index: int) -> pa.Schema:
        """Columns of one committed attributions file."""
        return self._footer(_parquet(ATTRIBUTIONS, index)).schema.to_arrow_schema().remove_metadata()

    def id_bounds(self, index: int) -> tuple[str, str] | None:
        """Least and greatest id of one committed attributions file, from its footer; None where that does not say."""
        footer = self._footer(_parquet(ATTRIBUTIONS, index))
        column = footer.schema.names.index("id")
        found = [footer.row_group(i).column(column).statistics for i in range(footer.num_row_groups)]
        if not found or any(bounds is None or not bounds.has_min_max for bounds in found):
            return None
        return min(bounds.min for bounds in found), max(bounds.max for bounds in found)

    def iter_attributions(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Committed attributions, one table a chunk, in the order of the chunks."""
        for index in self.committed():
            yield self.read_attributions(index, columns)

    def read_quarantine(self, commits: Mapping[int, Commit] | None = None) -> pa.Table:
        """All quarantined rows that a committed attributions file names, schema `schema.QUARANTINE`.

        Args:
            commits: what `commits` has just given; None reads it.
        """
        commits = self.commits() if commits is None else commits
        names = [commit.quarantine_file for _, commit in sorted(commits.items()) if commit.quarantine_file]
        tables = self._read_each(self.read_quarantine_file, names)
        # Schema.empty_table would import pandas, which takes longer than all else here.
        return pa.concat_tables([pa.Table.from_batches([], schema=schema.QUARANTINE), *tables])

    def read_quarantine_file(self, name: str) -> pa.Table:
        """Rows of one file in RUN/quarantine."""
        return self._read_table(f"{QUARANTINE}/{name}").replace_schema_metadata(None)

    def is_named_by_content(self, name: str) -> bool:
        """Whether a file in RUN/quarantine holds what it was named for."""
        data = self.storage.read(f"{QUARANTINE}/{name}")
        return data is not None and name.endswith(f"-{_short_hash(data)}.parquet")

    def quarantine_files(self) -> set[str]:
        """Names of the files in RUN/quarantine, whether a marker names them or not."""
        return set(self.storage.list(QUARANTINE, ".parquet"))

    def chunk_indexes(self) -> set[int]:
        """Numbers of the input chunks that are there."""
        return set(self._indexes(CHUNKS))

    def _indexes(self, folder: str) -> list[int]:
        """Numbers of the chunks that a folder has files of, in the order of the names."""
        names = self.storage.list(folder, ".parquet")
        return [index for name in names if (index := parse_chunk_name(name.removesuffix(".parquet"))) is not None]

    def _read_each(self, read: Callable[[S], T], which: Iterable[S]) -> list[T]:
        """`read` of each, in order; on an object store many at a time, since waiting is what takes the time there."""
        if self.storage.local:
            return [read(one) for one in which]
        with ThreadPoolExecutor(_READERS) as readers:
            return list(readers.map(read, which))

    # Everything derived from the results.

    def write_aggregate(self, name: str, table: pa.Table) -> str:
        """Write RUN/aggregates/NAME.parquet; returns its place."""
        target = f"{AGGREGATES}/{name}.parquet"
        self._write_table(target, table, table.schema)
        return self.storage.describe(target)

    def read_aggregate(self, name: str) -> pa.Table | None:
        """RUN/aggregates/NAME.parquet, or None where there is none."""
        target = f"{AGGREGATES}/{name}.parquet"
        return self._read_table(target) if self.storage.exists(target) else None

    def write_text(self, name: str, text: str) -> str:
        """Write a text file such as the report; returns its place."""
        self.storage.write(name, text.encode("utf-8", errors="replace"))
        return self.storage.describe(name)

    def _write_table(self, name: str, table: pa.Table, metadata: pa.Schema) -> None:
        self.storage.write(name, checksummed_parquet.seal(table, metadata))

    def _read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        data = self._existing(name, self.storage.read(name))
        with self._parsing(name):
            # pq.read_table would import pandas, which takes longer than all else that a status needs.
            return pq.ParquetFile(pa.BufferReader(data)).read(columns=columns)

    def _footer(self, name: str) -> pq.FileMetaData:
        tail = self._existing(name, self.storage.read_tail(name))
        size = int.from_bytes(tail[-8:-4], "little") + 8  # the footer says in front of the last mark how long it is
        if size > len(tail):
            tail = self._existing(name, self.storage.read_tail(name, size))
        with self._parsing(name):
            return pq.read_metadata(pa.BufferReader(tail))

    def _require_chunk(self, name: str, index: int, metadata: Mapping[bytes, bytes]) -> None:
        found = metadata.get(schema.META_CHUNK, b"none")
        if found != str(index).encode():
            raise self._damaged(name, f"says that it is chunk {found.decode(errors='replace')}")

    def _existing(self, name: str, data: bytes | None) -> bytes:
        if data is None:
            raise self.storage.error("read", name, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        return data

    @contextmanager
    def _parsing(self, name: str) -> Iterator[None]:
        """What pyarrow finds wrong with bytes that are in memory is a fault of the file, and not of the storage."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(name, f"cannot be read ({' '.join(str(error).split())[:200]})") from error

    def _parse(self, name: str, data: bytes) -> dict[str, Any]:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, f"is not JSON ({error})") from error
        if not isinstance(content, dict):
            raise self._damaged(name, "holds no JSON object")
        return content

    def _damaged(self, name: str, what: str) -> RunDamagedError:
        job = "jobs.aggregate" if name.startswith(AGGREGATES) else "jobs.explain"
        remedy = f"delete that file and run {job} again to remake it"
        if name == MANIFEST:  # without it nobody knows what made the results
            remedy = "restore that file, or start again with another --run"
        return RunDamagedError(f"{self.storage.describe(name)} {what}", remedy=remedy)


def manifest_checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of run.json's content but for the checksum itself."""
    return fingerprint({key: value for key, value in manifest.items() if key != "checksum"})


def _parquet(folder: str, index: int) -> str:
    return f"{folder}/{chunk_name(index)}.parquet"


def _short_hash(data: bytes | pa.Buffer) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _without_unknown(table: pa.Table) -> pa.Table:
    """`table` with null in place of labels of -1, which earlier versions wrote for labels that are not known."""
    place = table.schema.get_field_index("label")
    if place < 0 or not pc.any(pc.less(table.column(place), 0)).as_py():
        return table
    known = pc.if_else(pc.less(table.column(place), 0), None, table.column(place))
    return table.set_column(place, table.schema.field(place), known)
