"""The one door for documents: from what a user calls a data set to a restartable stream of its rows.

What the file itself is at fault for is refused by `open_documents`, before anything starts. What a single row is at
fault for travels in that row's ``fault`` column (see `faults`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ig_worker.data import imdb
from ig_worker.data.columns import ColumnNames
from ig_worker.data.demo import demo_rows
from ig_worker.data.faults import DOCUMENTS, FAULT_COLUMN
from ig_worker.data.files import DataFile, Rows, file_faults, find_file, without_secrets
from ig_worker.data.jsonlines import jsonl_rows
from ig_worker.data.safe_npz import read_reviews
from ig_worker.data.tables import csv_rows, parquet_rows
from ig_worker.errors import DataError, did_you_mean

SPLITS = ("train", "test")
_READER_VERSION = 1  # raised whenever equal files would give other rows than before
_MAX_WORD_INDEX_BYTES = 64 << 20


@dataclass(frozen=True)
class DataSpec:
    """Which documents, as the command line says it."""

    dataset: str  # "demo", "imdb", or a path or URI ending in .npz, .parquet, .csv, .jsonl or .ndjson
    split: str = "test"  # demo, imdb and .npz have "train" and "test"; other files are read whole
    limit: int | None = None  # at most so many rows, after `offset`
    offset: int = 0  # rows to skip
    text_column: str = "text"
    label_column: str = "label"
    id_column: str = "id"
    imdb_decode: str = "full"  # "2021", "2022" or "full"
    word_index: str | None = None  # path or URI; by default imdb_word_index.json beside the .npz


@dataclass(frozen=True)
class Documents:
    """Documents that can be read, from the first row, as often as wanted."""

    name: str  # for people, such as "imdb.npz (test split)"
    digest: str  # sha256 hex of all that determines the rows
    batches: Callable[[], Iterator[pa.RecordBatch]]  # batches of `faults.DOCUMENTS`, a few thousand rows at most
    class_names: tuple[str, ...] = ()  # by class number, where the data set knows them
    rows: int = 0  # rows that `batches` yields in all


@dataclass(frozen=True)
class _Source:
    name: str
    rows: Rows
    content: tuple[str, ...]  # hashes of the bytes read
    settings: dict[str, str | None] = field(default_factory=dict)  # of `DataSpec`, as far as they determine the rows
    class_names: tuple[str, ...] = ()


def open_documents(spec: DataSpec) -> Documents:
    """The documents that `spec` names, checked as far as that is possible without looking at each row.

    Raises:
        DataError: the file is missing, of an unknown format, damaged or without usable columns; the split, limit or
            offset leave no rows.
        UsageError: ``imdb_decode`` is unknown.
    """
    _check_numbers(spec)
    source = _open(spec)
    count = source.rows.count
    if not count:
        raise DataError(f"{source.name} has no rows", expected="at least one", remedy="choose another --dataset")
    if spec.offset >= count:
        raise DataError(f"--offset is {spec.offset}", expected=f"less than the {count} rows of {source.name}")
    end = count if spec.limit is None else min(count, spec.offset + spec.limit)
    _check_first_labels(source)
    return Documents(
        name=source.name,
        digest=_digest(source, spec.offset, end),
        batches=lambda: _window(source, spec.offset, end),
        class_names=source.class_names,
        rows=end - spec.offset,
    )


# Dispatch: a new format is one function (file, columns) -> Rows and one line here.

_TABLES: dict[str, Callable[[DataFile, ColumnNames], Rows]] = {
    ".parquet": parquet_rows,
    ".csv": csv_rows,
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
}


def _open(spec: DataSpec) -> _Source:
    if spec.dataset == "demo":
        return _demo(spec)
    if spec.dataset == "imdb":
        reviews, words = (imdb.keras_file(remote) for remote in (imdb.REVIEWS_FILE, imdb.WORD_INDEX_FILE))
        return _archive(spec, find_file(str(reviews)), spec.word_index or str(words))
    if spec.dataset.startswith("hf:"):
        raise DataError(
            f"--dataset {spec.dataset} needs the extra for the Hugging Face hub, which this version does not have",
            remedy="export the data set to Parquet (Dataset.to_parquet) and pass that file",
        )
    suffix = _suffix(spec.dataset)
    if suffix not in (".npz", *_TABLES):
        raise DataError(
            f"--dataset {without_secrets(spec.dataset)} is of no known format",
            expected=f"demo, imdb, or a file ending in .npz, {', '.join(_TABLES)}",
            remedy=did_you_mean(spec.dataset, ("demo", "imdb")) or "rename or convert it",
        )
    file = find_file(spec.dataset)
    return _archive(spec, file, spec.word_index) if suffix == ".npz" else _table(spec, file, suffix)


def _suffix(place: str) -> str:
    path = place.partition("?")[0] if "://" in place else place
    return Path(path).suffix.lower()


def _demo(spec: DataSpec) -> _Source:
    _check_split(spec)
    rows, digest = demo_rows(spec.split)
    return _Source(f"demo ({spec.split} split)", rows, (digest,), {"split": spec.split}, imdb.CLASS_NAMES)


def _archive(spec: DataSpec, file: DataFile, word_index: str | None) -> _Source:
    _check_split(spec)
    imdb.check_decode(spec.imdb_decode)
    words_file = _word_index_file(file, word_index)
    with file_faults(file.name), file.open() as stream:
        splits = read_reviews(stream, file.name)
    with file_faults(words_file.name), words_file.open() as stream:
        index = imdb.parse_word_index(stream.read(_MAX_WORD_INDEX_BYTES), words_file.name)
    words = imdb.rank_words(index, spec.imdb_decode)
    return _Source(
        name=f"{file.path.rpartition('/')[2]} ({spec.split} split)",
        rows=Rows(
            count=len(splits[spec.split].labels),
            batches=lambda: imdb.review_batches(splits, spec.split, words, spec.imdb_decode),
        ),
        content=(file.digest(), words_file.digest()),
        settings={"split": spec.split, "imdb_decode": spec.imdb_decode},
        class_names=imdb.CLASS_NAMES,
    )


def _word_index_file(file: DataFile, word_index: str | None) -> DataFile:
    if word_index is not None:
        return find_file(word_index)
    beside = file.beside(imdb.WORD_INDEX_FILE.name)
    try:
        return find_file(beside)
    except DataError as error:
        raise DataError(
            f"{file.name} holds numbers of words, and the word index {beside} does not exist",
            remedy="put Keras' imdb_word_index.json there or name it with --word-index",
        ) from error


def _table(spec: DataSpec, file: DataFile, suffix: str) -> _Source:
    columns = ColumnNames(spec.text_column, spec.label_column, spec.id_column)
    rows = _TABLES[suffix](file, columns)
    settings = dict(zip(("text_column", "label_column", "id_column"), columns, strict=True))
    return _Source(file.short_name, rows, (file.digest(),), settings)


def _digest(source: _Source, first: int, end: int) -> str:
    decisive = {
        "reader": _READER_VERSION,
        "content": source.content,
        "settings": source.settings,
        "rows": [first, end],  # not the limit: one that cuts nothing off changes nothing
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _window(source: _Source, first: int, end: int) -> Iterator[pa.RecordBatch]:
    """Rows `first` to `end` (exclusive) of `source`, which is read no further than that."""
    start = 0  # position of the batch's first row
    for batch in source.rows.batches():
        skipped = max(0, first - start)
        if skipped < batch.num_rows:
            yield batch.slice(skipped, min(batch.num_rows, end - start) - skipped)
        start += batch.num_rows
        if start >= end:
            return
    raise DataError(
        f"{source.name} has {start} rows now and had {source.rows.count} when it was opened",
        expected="a file that stays the same",
        remedy="run again when nothing writes to it",
    )


def _check_numbers(spec: DataSpec) -> None:
    if spec.limit is not None and spec.limit < 1:
        raise DataError(f"--limit is {spec.limit}", expected="at least 1", remedy="leave it out for all rows")
    if spec.offset < 0:
        raise DataError(f"--offset is {spec.offset}", expected="at least 0")


def _check_split(spec: DataSpec) -> None:
    if spec.split not in SPLITS:
        raise DataError(f"--split is {spec.split!r}", expected=" or ".join(SPLITS))


def _check_first_labels(source: _Source) -> None:
    """A file none of whose first labels is an integer was meant otherwise: better said now than row by row."""
    batch = next(iter(source.rows.batches()), pa.RecordBatch.from_pylist([], schema=DOCUMENTS))
    faults = [fault for fault in batch.column(FAULT_COLUMN).to_pylist() if fault and fault.startswith("label ")]
    if batch.num_rows > 1 and len(faults) == batch.num_rows:
        raise DataError(
            f"no label in the first {batch.num_rows} rows of {source.name} is an integer; the first: {faults[0]}",
            expected="class numbers from 0",
            remedy="map the names to 0, 1, ... or name another column with --label-column",
        )
