"""The one door for documents: from what a user calls a data set to a restartable stream of its rows.

What the files themselves are at fault for, and what their labels mean, is decided by `open_documents`, before anything
starts. What a single row is at fault for travels in that row's ``fault`` column (see `faults`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ig_worker.data.archives import archive_of, corpus
from ig_worker.data.columns import PAIR
from ig_worker.data.faults import FAULT_COLUMN, documents, shown
from ig_worker.data.files import printable, suffixes_of, without_query
from ig_worker.data.kept_columns import kept_names
from ig_worker.data.kept_types import converted, type_of_all
from ig_worker.data.label_map import read_label_map
from ig_worker.data.labels import LabelCounter, Labelling
from ig_worker.data.reading import Source
from ig_worker.data.several import table_rows
from ig_worker.data.splits import SPLIT
from ig_worker.data.truths import Truths, label_counter, labels_meaning
from ig_worker.errors import DataError
from ig_worker.schema import CLASSES

_READER_VERSION = 1  # raised whenever equal files would give other rows than before


@dataclass(frozen=True)
class DataSpec:
    """Which documents, as the command line says it."""

    # "demo", "imdb", or a path or URI of a file or folder, or a pattern with "*"; several of them are read as one.
    dataset: str | tuple[str, ...]
    split: str = SPLIT  # of demo, imdb, .npz, and folders with named splits; other files are read whole
    limit: int | None = None  # at most so many rows, after `offset`
    offset: int = 0  # rows to skip
    text_column: str = "text"
    label_column: str = "label"  # "" for no labels
    id_column: str = "id"
    pair_column: str | None = None  # of second texts; None or "" where each row has one text
    keep_columns: str | tuple[str, ...] | None = None  # further ones that the rows keep; see `kept_columns.kept_names`
    imdb_decode: str = "full"  # "2021", "2022" or "full"
    word_index: str | None = None  # path or URI; by default imdb_word_index.json beside the .npz
    label_map: str | None = None  # what labels mean; see `label_map`
    encoding: str | None = None  # of CSV and JSON lines; None expects UTF-8
    delimiter: str | None = None  # between the cells of CSV; None finds it


@dataclass(frozen=True)
class Documents:
    """Documents that can be read, from the first row, as often as wanted."""

    name: str  # for people, such as "imdb.npz (test split)"
    digest: str  # sha256 hex of all that determines the rows
    content: str = field(default="", kw_only=True)  # sha256 hex of the files' bytes, however they are read
    batches: Callable[[], Iterator[pa.RecordBatch]]  # batches of `faults.documents`, a few thousand rows at most
    class_names: tuple[str, ...] = ()  # by class number, where the model or the data set names them
    rows: int = 0  # rows that `batches` yields in all
    # Of these rows: what each means, and how often it occurs.
    labels: Truths = field(default_factory=Labelling)
    outputs: str = CLASSES  # what the labels are: of `schema.OUTPUTS`
    kept: tuple[pa.Field, ...] = ()  # further columns that the rows keep
    splits: tuple[str, ...] = ()  # that the data set has, where it has any
    notes: tuple[str, ...] = ()  # what was assumed, for people

    @property
    def kept_line(self) -> str:
        """The further columns that the rows keep, with their types, such as ``source: string, year: int64``."""
        return ", ".join(f"{field.name}: {field.type}" for field in self.kept)

    def first(self, count: int) -> list[tuple[str | None, str | None, int | None]]:
        """(text, second text, class number) of at most the first `count` rows, each None where there is none."""
        left, rows = count, []
        for batch in self.batches():
            head = batch.slice(0, left)
            found = [
                head.column(name).to_pylist() if name in head.schema.names else [None] * head.num_rows
                for name in ("text", PAIR, "label")
            ]
            rows += list(zip(*found, strict=True))
            left -= head.num_rows
            if not left:
                break
        return rows


def open_documents(spec: DataSpec, classes: Sequence[str] | None = None, outputs: str = CLASSES) -> Documents:
    """The documents that `spec` names, checked as far as that is possible without a model.

    Args:
        spec: which.
        classes: names of the model's classes, by number: every label has to be one of them, or to say nothing. None
            where no model is known yet.
        outputs: what the model says of a text, and so what its labels are: of `schema.OUTPUTS`.

    Raises:
        DataError: a file is missing, of an unknown format, damaged or without usable columns; the split, limit or
            offset leave no rows; labels are no classes.
        UsageError: ``imdb_decode`` is unknown.
    """
    _check_numbers(spec)
    kept_names(spec.keep_columns)
    label_map = read_label_map(spec.label_map)
    window = spec.offset, None if spec.limit is None else spec.offset + spec.limit
    counter = label_counter(outputs, window, classes or (), label_map)
    source = _open(spec, counter)
    count = source.rows.count
    _check_count(source, spec.offset)
    end = count if spec.limit is None else min(count, spec.offset + spec.limit)
    _check_first_rows(source, spec.encoding)
    labels = labels_meaning(counter, source.name, classes, source.class_names, label_map)
    kept = tuple(pa.field(name, type_of_all([one])) for name, one in source.rows.kept.items())
    return Documents(
        name=source.name,
        digest=_digest(source, spec.offset, end, labels),
        content=hashlib.sha256(json.dumps(source.content).encode()).hexdigest(),
        batches=lambda: _numbered(_window(source, spec.offset, end), labels, outputs, kept),
        class_names=labels.class_names,
        rows=end - spec.offset,
        labels=labels,
        outputs=outputs,
        kept=kept,
        splits=source.splits,
        notes=(*source.notes, *labels.notes),
    )


def _check_count(source: Source, offset: int) -> None:
    """Raise DataError where there are no rows, or none after the offset."""
    if not source.rows.count:
        columns = ", ".join(map(shown, source.rows.columns[:20]))
        raise DataError(
            f"{source.name} has no rows{f', only the columns {columns}' if columns else ''}",
            expected="at least one",
            remedy="choose another --dataset",
        )
    if offset >= source.rows.count:
        raise DataError(f"--offset is {offset}", expected=f"less than the {source.rows.count} rows of {source.name}")


def _open(spec: DataSpec, counter: LabelCounter) -> Source:
    datasets = (spec.dataset,) if isinstance(spec.dataset, str) else spec.dataset
    alone = next((name for name in datasets if name in ("demo", "imdb") or _suffix(name) == ".npz"), None)
    if len(datasets) > 1 and alone is not None:
        raise DataError(
            f"--dataset names {printable(alone)} among others", expected="it alone, or files of tables and lines"
        )
    hub = next((name for name in datasets if name.startswith("hf:")), None)
    if hub is not None:
        raise DataError(
            f"--dataset {hub} needs the extra for the Hugging Face hub, which this version does not have",
            remedy="export the data set to Parquet (Dataset.to_parquet) or to a folder (save_to_disk) and pass that",
        )
    if alone is None:
        found = table_rows(datasets, spec, counter)
        return Source(
            found.name, found.rows, found.content, found.settings, found.rows.class_names, found.splits, found.notes
        )
    only_of_files = {"encoding": spec.encoding, "delimiter": spec.delimiter, "pair-column": spec.pair_column or None}
    for name, value in only_of_files.items():
        if value is not None:
            raise DataError(f"--{name} is {value!r}, which {printable(alone)} does not have", remedy="leave it out")
    return corpus(spec, counter) if alone == "demo" else archive_of(spec, alone, counter)


def _suffix(place: str) -> str:
    return suffixes_of(without_query(place))[0]


def _digest(source: Source, first: int, end: int, labels: Truths) -> str:
    decisive = {
        "reader": _READER_VERSION,
        "content": source.content,
        "settings": source.settings,
        "rows": [first, end],  # not the limit: one that cuts nothing off changes nothing
    }
    if said := labels.decisive():
        decisive["labels"] = said
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _numbered(
    batches: Iterator[pa.RecordBatch], labels: Truths, outputs: str, kept: Sequence[pa.Field]
) -> Iterator[pa.RecordBatch]:
    """Batches of `faults.documents`: with class numbers, or what else labels mean, in place of labels."""
    for batch in batches:
        ids, texts, raw, notes, *more = batch.columns
        pairs, values = more[: len(more) - len(kept)], more[len(more) - len(kept) :]
        values = [converted(column, field.type) for column, field in zip(values, kept, strict=True)]
        found, faults = labels.columns(raw)
        if faults:  # of the file's values only: what could not be read at all has been noted before
            told = notes.to_pylist()
            notes = pa.array([told[row] or faults.get(row) for row in range(len(told))], pa.string())
        schema = documents(bool(pairs), outputs, kept)
        yield pa.RecordBatch.from_arrays([ids, texts, *pairs, *found, *values, notes], schema=schema)


def _window(source: Source, first: int, end: int) -> Iterator[pa.RecordBatch]:
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


def _check_first_rows(source: Source, encoding: str | None) -> None:
    """Raise DataError where no text, or no id, of the first rows can be read: then another column is meant."""
    batch = next(iter(source.rows.batches()), None)
    notes = [] if batch is None or batch.num_rows < 2 else batch.column(FAULT_COLUMN).to_pylist()
    in_utf8 = ", or another encoding with --encoding" if encoding else ", or write it in UTF-8"
    for what, expected, remedy in (
        ("text", "texts in UTF-8", in_utf8),
        (PAIR, "texts in UTF-8", in_utf8),
        ("id", "strings or integers", ", or make ids with --id-column ''"),
    ):
        faults = [note for note in notes if note and note.startswith(f"{what} ")]
        if notes and len(faults) == len(notes):
            raise DataError(
                f"no {what} in the first {len(notes)} rows of {source.name} can be read; the first: {faults[0]}",
                expected=expected,
                remedy=f"name another column with --{what}-column{remedy}",
            )
