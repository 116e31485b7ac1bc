"""The files of a run as they are read and written: with their checksums, and with faults that name the file."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ig_worker import schema
from ig_worker.data.plan import chunk_name, parse_chunk_name
from ig_worker.errors import RunDamagedError
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.filesystem import Storage

CHUNKS, ATTRIBUTIONS, QUARANTINE, AGGREGATES = "chunks", "attributions", "quarantine", "aggregates"
PILOT = "pilot.parquet"
MANIFEST = "run.json"
SUMMARY = "summary.json"

_READERS = 32  # files read at a time from an object store, where each takes two requests of some 20 ms
S = TypeVar("S")
T = TypeVar("T")


class RunFiles:
    """Reads and writes files of a run by their names within it.

    What is not there is a StorageError, and what is not what the run wrote is a RunDamagedError.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def indexes(self, folder: str) -> list[int]:
        """Numbers of the chunks that a folder has files of, in the order of the names."""
        names = self.storage.list(folder, ".parquet")
        return [index for name in names if (index := parse_chunk_name(name.removesuffix(".parquet"))) is not None]

    def write_table(self, name: str, table: pa.Table, metadata: pa.Schema) -> None:
        """Write a Parquet file with the metadata of a schema, and its checksum, in one step."""
        self.storage.write(name, checksummed_parquet.seal(table, metadata))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of a Parquet file, or some of its columns; its checksum is not looked at."""
        data = self._existing(name, self.storage.read(name))
        with self.parsing(name):
            # pq.read_table would import pandas, which takes longer than all else that a status needs.
            return pq.ParquetFile(pa.BufferReader(data)).read(columns=columns)

    def footer(self, name: str) -> pq.FileMetaData:
        """The metadata of a Parquet file; no more of it is read."""
        tail = self._existing(name, self.storage.read_tail(name))
        size = int.from_bytes(tail[-8:-4], "little") + 8  # the footer says in front of the last mark how long it is
        if size > len(tail):
            tail = self._existing(name, self.storage.read_tail(name, size))
        with self.parsing(name):
            return pq.read_metadata(pa.BufferReader(tail))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The content of a file of JSON; None where there is none."""
        data = self.storage.read(name)
        if data is None:
            return None
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.damaged(name, f"is not JSON ({error})") from error
        if not isinstance(content, dict):
            raise self.damaged(name, "holds no JSON object")
        return content

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of JSON in one step."""
        self.storage.write(name, json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")

    def read_each(self, read: Callable[[S], T], which: Iterable[S]) -> list[T]:
        """`read` of each, in order; on an object store many at a time, since waiting is what takes the time there."""
        if self.storage.local:
            return [read(one) for one in which]
        with ThreadPoolExecutor(_READERS) as readers:
            return list(readers.map(read, which))

    def require_chunk(self, name: str, index: int, metadata: Mapping[bytes, bytes]) -> None:
        """Raise RunDamagedError where a file says that it is another chunk."""
        found = metadata.get(schema.META_CHUNK, b"none")
        if found != str(index).encode():
            raise self.damaged(name, f"says that it is chunk {found.decode(errors='replace')}")

    def _existing(self, name: str, data: bytes | None) -> bytes:
        if data is None:
            raise self.storage.error("read", name, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
        return data

    @contextmanager
    def parsing(self, name: str) -> Iterator[None]:
        """What pyarrow finds wrong with bytes that are in memory is a fault of the file, and not of the storage."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise self.damaged(name, f"cannot be read ({' '.join(str(error).split())[:200]})") from error

    def damaged(self, name: str, what: str) -> RunDamagedError:
        """The error that says what is wrong with a file, and how to mend it."""
        job = "jobs.aggregate" if name.startswith(AGGREGATES) else "jobs.explain"
        remedy = f"delete that file and run {job} again to remake it"
        if name == MANIFEST:  # without it nobody knows what made the results
            remedy = "restore that file, or start again with another --run"
        return RunDamagedError(f"{self.storage.describe(name)} {what}", remedy=remedy)


def chunk_file(folder: str, index: int) -> str:
    """Name of a chunk's file within a run."""
    return f"{folder}/{chunk_name(index)}.parquet"


def of_this_version(table: pa.Table, columns: list[str] | None) -> pa.Table:
    """`table` with columns of targets and windows where they are asked for, which schema version 1 did not have.

    There each text had one window and one target, which was no contrast.
    """
    for name, value in (("contrast", None), ("rank", 0), ("windows", 1)):
        place = schema.ATTRIBUTIONS.get_field_index(name)
        if name not in table.schema.names and (columns is None or name in columns):
            field = schema.ATTRIBUTIONS.field(place)
            values = pa.array([value] * table.num_rows, field.type)
            table = table.add_column(min(place, table.num_columns), field, values)
    return table


def without_unknown(table: pa.Table) -> pa.Table:
    """`table` with null in place of labels of -1, which earlier versions wrote for labels that are not known."""
    place = table.schema.get_field_index("label")
    if place < 0 or not pc.any(pc.less(table.column(place), 0)).as_py():
        return table
    known = pc.if_else(pc.less(table.column(place), 0), None, table.column(place))
    return table.set_column(place, table.schema.field(place), known)
