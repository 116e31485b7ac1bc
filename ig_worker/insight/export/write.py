"""Writes an export: the rows of a run in another tool's format, whole or not there.

What an earlier export has left is removed first, and no file appears before it is whole. The one without which no
reader takes the folder for an export comes last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import IO

import pyarrow as pa

from ig_worker.insight.export import hf, jsonl, lit, spreadsheet
from ig_worker.insight.export.folder import Folder
from ig_worker.insight.export.run_rows import RunRows
from ig_worker.run.store.run_folder import Shelf
from ig_worker.run.store.run_store import RunStore

HF, CSV, JSONL, LIT = FORMATS = ("hf", "csv", "jsonl", "lit")
Progress = Callable[[int, int], None]  # takes (chunks written, chunks to write)

# Patterns of the names of each one's files, those without which it is none first.
_OWN = {
    HF: (hf.STATE, hf.INFO, hf.SHARDS),
    CSV: (spreadsheet.FILE,),
    JSONL: (jsonl.FILE,),
    LIT: (lit.FILE, lit.SPEC),
}


@dataclass(frozen=True)
class Written:
    """What a format has written."""

    rows: int  # one for each target of a text
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what else a person should know, a line each


@dataclass(frozen=True)
class Export:
    """What has been exported, and what is left out."""

    place: str  # of the folder, for people
    texts: int
    quarantined: int  # texts that could not be explained
    unexplained_chunks: int  # that nobody has explained yet
    written: Written


def write_export(
    store: RunStore, format: str, out: str = "", overwrite: bool = False, progress: Progress | None = None
) -> Export:
    """Write all explained rows of a run to a folder.

    Args:
        store: the run.
        format: one of `FORMATS`.
        out: the folder, a path or URI; empty: RUN/export/FORMAT.
        overwrite: take also a folder that is not an earlier export's of that format. Files with the names of this one's
            are replaced there, and no other is touched.
        progress: is told how far it is.

    Raises:
        UsageError: no row is explained, or the folder is another's.
        StorageError: the folder cannot be written.
        RunDamagedError: a file of the run is not what the run wrote.
    """
    rows = RunRows(store)
    shape = rows.shape
    folder = Folder(out or Shelf(store.uri).place_of(f"export/{format}"), format)
    told = {"run": store.place, "fingerprint": rows.manifest.get("fingerprint"), "outputs": shape.outputs}
    told |= {"class_names": shape.names, "threshold": shape.threshold, "quarantined": rows.quarantined}
    folder.begin(_OWN[format], told, overwrite)
    written = _WRITERS[format](folder, rows, progress or _nothing)
    counts = {"texts": rows.texts, "rows": written.rows, "files": written.files}
    folder.finish({**told, **counts})
    return Export(folder.place, rows.texts, rows.quarantined, rows.unexplained_chunks, written)


def _write_hf(folder: Folder, rows: RunRows, progress: Progress) -> Written:
    shape, digest = rows.shape, hashlib.sha256()
    schema = hf.arrow_schema(shape)
    count, files = 0, list[str]()
    batches = (batch for table in _each(rows, hf.columns(shape), progress) for batch in hf.batches(table, schema))
    batch = next(batches, None)
    while batch is not None:
        files.append(hf.shard(len(files)))
        size = 0
        with folder.stream(files[-1]) as stream, pa.ipc.new_stream(_Hashed(stream, digest), schema) as writer:
            while batch is not None and (not size or size + batch.nbytes <= hf.MOST_BYTES):
                writer.write_batch(batch)
                size, count = size + batch.nbytes, count + batch.num_rows
                batch = next(batches, None)
    folder.write(hf.INFO, json.dumps(hf.info(shape, f"Attributions of {count} rows, by ig-worker")).encode())
    folder.write(hf.STATE, json.dumps(hf.state(files, digest.hexdigest()[:16])).encode())
    return Written(count, (*files, hf.INFO, hf.STATE))


def _write_csv(folder: Folder, rows: RunRows, progress: Progress) -> Written:
    shape, count, cut = rows.shape, 0, 0
    place = spreadsheet.head(shape).index("cut")
    with folder.stream(spreadsheet.FILE) as stream:
        stream.write(spreadsheet.beginning(shape).encode())
        for table in _each(rows, spreadsheet.columns(shape), progress):
            lines = spreadsheet.lines(table, shape)
            stream.write(spreadsheet.text_of(lines).encode())
            count, cut = count + len(lines), cut + sum(bool(line[place]) for line in lines)
    limit, most = spreadsheet.MOST_CHARACTERS, spreadsheet.MOST_ROWS
    notes = {
        f"rows with cells above {limit:,} characters: {cut:,}; their column cut says which": cut,
        f"a sheet holds {most:,} rows": count > most,
    }
    return Written(count, (spreadsheet.FILE,), tuple(note for note, holds in notes.items() if holds))


def _write_jsonl(folder: Folder, rows: RunRows, progress: Progress) -> Written:
    with folder.stream(jsonl.FILE) as stream:
        count = sum(
            _write_lines(stream, jsonl, rows, table) for table in _each(rows, jsonl.columns(rows.shape), progress)
        )
    return Written(count, (jsonl.FILE,))


def _write_lit(folder: Folder, rows: RunRows, progress: Progress) -> Written:
    shape, count = rows.shape, 0
    ranges: lit.Ranges = {}
    with folder.stream(lit.FILE) as stream:
        for table in _each(rows, lit.columns(shape), progress):
            count += _write_lines(stream, lit, rows, table)
            ranges = lit.ranges(table, shape, ranges)
        folder.write(lit.SPEC, lit.spec_text(lit.spec(shape, ranges)))  # before the examples are there
    return Written(count, (lit.FILE, lit.SPEC))


def _write_lines(stream: IO[bytes], format: ModuleType, rows: RunRows, table: pa.Table) -> int:
    """Write the lines of a format; returns how many."""
    lines = format.lines(table, rows.shape)
    stream.write("".join(f"{line}\n" for line in lines).encode())
    return len(lines)


def _each(rows: RunRows, columns: list[str], progress: Progress) -> Iterator[pa.Table]:
    """Some rows after the other; `progress` is told of a chunk when the next one is asked for."""
    for done, table in rows.tables(columns):
        progress(done - 1, len(rows.chunks))
        yield table
    progress(len(rows.chunks), len(rows.chunks))


def _nothing(done: int, total: int) -> None:
    """Tells nobody."""


class _Hashed:
    """A file whose bytes go into a digest as well."""

    closed = False

    def __init__(self, stream: IO[bytes], digest: hashlib._Hash) -> None:
        self._stream, self._digest = stream, digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


_WRITERS: dict[str, Callable[[Folder, RunRows, Progress], Written]] = {
    HF: _write_hf,
    CSV: _write_csv,
    JSONL: _write_jsonl,
    LIT: _write_lit,
}
