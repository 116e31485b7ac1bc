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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ig_worker import schema
from ig_worker.data.plan import chunk_name, parse_chunk_name
from ig_worker.errors import RunDamagedError, UsageError
from ig_worker.run.digest import content_digest
from ig_worker.run.storage import Storage

CHUNKS, ATTRIBUTIONS, QUARANTINE, AGGREGATES = "chunks", "attributions", "quarantine", "aggregates"
MANIFEST = "run.json"
SUMMARY = "summary.json"
REPORT = "report/index.html"

Faults = dict[int, tuple[str, str]]  # position in the chunk -> (reason code, one line for a person)


@dataclass(frozen=True)
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

    def write_chunk(self, index: int, rows: pa.Table, faults: Faults) -> None:
        """Write an input chunk; `faults` are the rows already known to be unexplainable."""
        text = json.dumps({str(position): list(fault) for position, fault in sorted(faults.items())})
        metadata = schema.with_metadata(schema.INPUT, chunk=str(index), faults=text)
        self._write_table(_parquet(CHUNKS, index), rows.select(schema.INPUT.names).cast(schema.INPUT), metadata)

    def read_chunk(self, index: int) -> tuple[pa.Table, Faults]:
        """Rows of an input chunk, and those of them known to be unexplainable."""
        table = self._read_table(_parquet(CHUNKS, index))
        raw = json.loads((table.schema.metadata or {}).get(schema.META_FAULTS, b"{}"))
        return table, {int(position): (reason, detail) for position, (reason, detail) in raw.items()}

    def chunk_rows(self, index: int) -> int:
        """Number of rows of an input chunk, from its footer."""
        return int(self._footer(_parquet(CHUNKS, index)).num_rows)

    # Results.

    def commit(self, index: int, explained: pa.Table, quarantined: pa.Table, fingerprint: str) -> Commit:
        """Publish a chunk's result: quarantine first, then the attributions file that makes it count."""
        name = ""
        if quarantined.num_rows:
            data = _serialise(quarantined, schema.with_metadata(schema.QUARANTINE, fingerprint=fingerprint))
            name = f"{chunk_name(index)}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
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
        found = {}
        for name in self.storage.list(ATTRIBUTIONS, ".parquet"):
            index = parse_chunk_name(name.removesuffix(".parquet"))
            if index is not None:
                found[index] = self.read_commit(index)
        return found

    def read_commit(self, index: int) -> Commit:
        """The footer of one committed attributions file."""
        name = _parquet(ATTRIBUTIONS, index)
        footer = self._footer(name)
        metadata = footer.metadata or {}
        if metadata.get(schema.META_CHUNK) != str(index).encode():
            raise self._damaged(name, f"says that it is chunk {metadata.get(schema.META_CHUNK, b'none').decode()}")
        try:
            return Commit(
                index=index,
                rows=int(footer.num_rows),
                quarantined=tuple(json.loads(metadata[schema.META_QUARANTINED])),
                quarantine_file=metadata[schema.META_QUARANTINE_FILE].decode(),
                fingerprint=metadata[schema.META_FINGERPRINT].decode(),
            )
        except (KeyError, ValueError) as error:
            raise self._damaged(name, f"has no valid footer of a run ({error!r})") from error

    def read_attributions(self, index: int, columns: list[str] | None = None) -> pa.Table:
        """Rows of one committed attributions file, schema `schema.ATTRIBUTIONS` (or its `columns`)."""
        return self._read_table(_parquet(ATTRIBUTIONS, index), columns)

    def iter_attributions(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Committed attributions, one table a chunk, in the order of the chunks."""
        for index in sorted(self.commits()):
            yield self.read_attributions(index, columns)

    def read_quarantine(self) -> pa.Table:
        """All quarantined rows that a committed attributions file names, schema `schema.QUARANTINE`."""
        names = [commit.quarantine_file for _, commit in sorted(self.commits().items()) if commit.quarantine_file]
        tables = [self.read_quarantine_file(name) for name in names]
        # Schema.empty_table would import pandas, which takes longer than all else here.
        return pa.concat_tables([pa.Table.from_batches([], schema=schema.QUARANTINE), *tables])

    def read_quarantine_file(self, name: str) -> pa.Table:
        """Rows of one file in RUN/quarantine."""
        return self._read_table(f"{QUARANTINE}/{name}").replace_schema_metadata(None)

    def quarantine_files(self) -> set[str]:
        """Names of the files in RUN/quarantine, whether a marker names them or not."""
        return set(self.storage.list(QUARANTINE, ".parquet"))

    def chunk_indexes(self) -> set[int]:
        """Numbers of the input chunks that are there."""
        names = self.storage.list(CHUNKS, ".parquet")
        return {index for name in names if (index := parse_chunk_name(name.removesuffix(".parquet"))) is not None}

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

    def fault_of(self, name: str) -> str:
        """What is wrong with a Parquet file of this run, to the last byte; empty where nothing is."""
        data = self.storage.read(name)
        if data is None:
            return "is gone"
        try:
            table = pq.ParquetFile(pa.BufferReader(data)).read()
            metadata = table.schema.metadata or {}
            digest = content_digest(table, metadata)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            return f"cannot be read ({' '.join(str(error).split())[:200]})"
        if metadata.get(schema.META_VERSION) != schema.VERSION.encode():
            found = metadata.get(schema.META_VERSION, b"none").decode(errors="replace")
            return f"has schema version {found}, this program reads {schema.VERSION}"
        if metadata.get(schema.META_CONTENT) != digest.encode():
            return "does not hold what was written: its checksum differs"
        expected = _expected_schema(name, table.schema)
        if not table.schema.equals(expected):
            return f"has other columns than {', '.join(expected.names)}"
        again = _serialise(table, expected.with_metadata(metadata))
        # Bytes that no reader looks at; another version of pyarrow may write the same otherwise.
        if metadata.get(schema.META_WRITER) == pa.__version__.encode() and again.to_pybytes() != data:
            return "holds what was written, but not byte for byte"
        return ""

    def _write_table(self, name: str, table: pa.Table, metadata: pa.Schema) -> None:
        self.storage.write(name, _serialise(table, metadata))

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
        except ValueError as error:
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
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _expected_schema(name: str, found: pa.Schema) -> pa.Schema:
    """What a file in CHUNKS, ATTRIBUTIONS or QUARANTINE has to hold."""
    folder = name.partition("/")[0]
    if folder != ATTRIBUTIONS:
        return {CHUNKS: schema.INPUT, QUARANTINE: schema.QUARANTINE}[folder]
    kept = found.field("hidden_attributions").type if "hidden_attributions" in found.names else None
    return schema.attributions(None if kept is None else kept.value_type.list_size)


def _parquet(folder: str, index: int) -> str:
    return f"{folder}/{chunk_name(index)}.parquet"


def _serialise(table: pa.Table, target: pa.Schema) -> pa.Buffer:
    """`table` as a Parquet file with the schema and the metadata of `target`, and with its own checksum."""
    content = table.cast(target.remove_metadata())
    metadata = {**(target.metadata or {}), schema.META_WRITER: pa.__version__.encode()}
    metadata[schema.META_CONTENT] = content_digest(content, metadata).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(content.replace_schema_metadata(metadata), sink, compression="zstd")
    return sink.getvalue()
