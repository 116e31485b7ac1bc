"""The one door for documents: from what a user calls a data set to a restartable stream of its rows.

What the files themselves are at fault for, and what their labels mean, is decided by `open_documents`, before anything
starts. What a single row is at fault for travels in that row's ``fault`` column (see `faults`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ig_worker.data import imdb
from ig_worker.data.columns import PAIR
from ig_worker.data.demo import demo_rows
from ig_worker.data.faults import FAULT_COLUMN, documents, shown
from ig_worker.data.files import DataFile, file_faults, find_file, printable, suffixes_of, without_query
from ig_worker.data.label_lists import ListCounter, ListLabelling, number_lists, with_marks
from ig_worker.data.label_map import LabelMap, read_label_map
from ig_worker.data.label_numbers import ValueCounter, ValueLabelling, value_labels
from ig_worker.data.labels import LabelCounter, Labelling, number_labels
from ig_worker.data.reading import Rows
from ig_worker.data.safe_npz import read_reviews
from ig_worker.data.several import table_rows
from ig_worker.data.splits import SPLIT
from ig_worker.errors import DataError
from ig_worker.schema import CLASSES, LABELS, VALUES

SPLITS = ("train", "test")  # of demo, imdb and .npz files
_READER_VERSION = 1  # raised whenever equal files would give other rows than before
_MAX_WORD_INDEX_BYTES = 64 << 20


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
    labels: Labelling | ListLabelling | ValueLabelling = field(default_factory=Labelling)
    outputs: str = CLASSES  # what the labels are: of `schema.OUTPUTS`
    splits: tuple[str, ...] = ()  # that the data set has, where it has any
    notes: tuple[str, ...] = ()  # what was assumed, for people

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


@dataclass(frozen=True)
class _Source:
    name: str
    rows: Rows
    content: tuple[str, ...]  # hashes of the bytes read
    settings: Mapping[str, object] = field(default_factory=dict)  # of `DataSpec`, as far as they determine the rows
    class_names: tuple[str, ...] = ()  # by the data set's own numbers
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
    label_map = read_label_map(spec.label_map)
    counter = _counter(spec, outputs, classes or (), label_map)
    source = _open(spec, counter)
    count = source.rows.count
    _check_count(source, spec.offset)
    end = count if spec.limit is None else min(count, spec.offset + spec.limit)
    _check_first_rows(source, spec.encoding)
    labels = _meaning(counter, source, classes, label_map)
    return Documents(
        name=source.name,
        digest=_digest(source, spec.offset, end, labels),
        content=hashlib.sha256(json.dumps(source.content).encode()).hexdigest(),
        batches=lambda: _numbered(_window(source, spec.offset, end), labels, outputs),
        class_names=labels.class_names,
        rows=end - spec.offset,
        labels=labels,
        outputs=outputs,
        splits=source.splits,
        notes=(*source.notes, *labels.notes),
    )


def _counter(spec: DataSpec, outputs: str, classes: Sequence[str], label_map: LabelMap | None) -> LabelCounter:
    """What counts the labels while all rows are read."""
    window = spec.offset, None if spec.limit is None else spec.offset + spec.limit
    if outputs == LABELS:
        return ListCounter(*window, with_marks([*classes, *(label_map.entries if label_map else ())]))
    if outputs == VALUES and label_map is not None:
        raise DataError(
            f"--label-map is {spec.label_map}, and the model gives a number",
            expected="labels that are numbers themselves",
        )
    return ValueCounter(*window) if outputs == VALUES else LabelCounter(*window)


def _meaning(
    counter: LabelCounter, source: _Source, classes: Sequence[str] | None, label_map: LabelMap | None
) -> Labelling | ListLabelling | ValueLabelling:
    if isinstance(counter, ValueCounter):
        return value_labels(counter, source.name, classes or ())
    if isinstance(counter, ListCounter):
        return number_lists(counter, source.name, classes or (), source.class_names, label_map)
    return number_labels(counter, source.name, classes, source.class_names, label_map)


def _check_count(source: _Source, offset: int) -> None:
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


def _open(spec: DataSpec, counter: LabelCounter) -> _Source:
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
        return _Source(
            found.name, found.rows, found.content, found.settings, found.rows.class_names, found.splits, found.notes
        )
    only_of_files = {"encoding": spec.encoding, "delimiter": spec.delimiter, "pair-column": spec.pair_column or None}
    for name, value in only_of_files.items():
        if value is not None:
            raise DataError(f"--{name} is {value!r}, which {printable(alone)} does not have", remedy="leave it out")
    return _demo(spec, counter) if alone == "demo" else _archive_of(spec, alone, counter)


def _suffix(place: str) -> str:
    return suffixes_of(without_query(place))[0]


def _demo(spec: DataSpec, counter: LabelCounter) -> _Source:
    _check_split(spec)
    rows, digest = demo_rows(spec.split)
    for batch in rows.batches():
        counter.add(batch.num_rows, batch.column("label"))
    return _Source(f"demo ({spec.split} split)", rows, (digest,), {"split": spec.split}, imdb.CLASS_NAMES, SPLITS)


def _archive_of(spec: DataSpec, name: str, counter: LabelCounter) -> _Source:
    if name != "imdb":
        return _archive(spec, find_file(name), spec.word_index, counter)
    reviews, words = (imdb.keras_file(remote) for remote in (imdb.REVIEWS_FILE, imdb.WORD_INDEX_FILE))
    return _archive(spec, find_file(str(reviews)), spec.word_index or str(words), counter)


def _archive(spec: DataSpec, file: DataFile, word_index: str | None, counter: LabelCounter) -> _Source:
    _check_split(spec)
    imdb.check_decode(spec.imdb_decode)
    words_file = _word_index_file(file, word_index)
    with file_faults(file.name), file.open() as stream:
        splits = read_reviews(stream, file.name)
    with file_faults(words_file.name), words_file.open() as stream:
        index = imdb.parse_word_index(stream.read(_MAX_WORD_INDEX_BYTES), words_file.name)
    words = imdb.rank_words(index, spec.imdb_decode)
    counter.add(len(splits[spec.split].labels), imdb.review_labels(splits, spec.split))
    return _Source(
        name=f"{file.short_name} ({spec.split} split)",
        rows=Rows(
            count=len(splits[spec.split].labels),
            batches=lambda: imdb.review_batches(splits, spec.split, words, spec.imdb_decode),
        ),
        content=(file.digest(), words_file.digest()),
        settings={"split": spec.split, "imdb_decode": spec.imdb_decode},
        class_names=imdb.CLASS_NAMES,
        splits=SPLITS,
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


def _digest(source: _Source, first: int, end: int, labels: Labelling | ListLabelling | ValueLabelling) -> str:
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
    batches: Iterator[pa.RecordBatch], labels: Labelling | ListLabelling | ValueLabelling, outputs: str
) -> Iterator[pa.RecordBatch]:
    """Batches of `faults.documents`: with class numbers, or what else labels mean, in place of labels."""
    for batch in batches:
        ids, texts, raw, notes, *pairs = batch.columns
        found, faults = labels.columns(raw)
        if faults:  # of the file's values only: what could not be read at all has been noted before
            told = notes.to_pylist()
            notes = pa.array([told[row] or faults.get(row) for row in range(len(told))], pa.string())
        yield pa.RecordBatch.from_arrays([ids, texts, *pairs, *found, notes], schema=documents(bool(pairs), outputs))


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


def _check_first_rows(source: _Source, encoding: str | None) -> None:
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
