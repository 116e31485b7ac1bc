"""Data sets that are known by name or kind, and bring their splits and classes along: the demo corpus, and IMDB's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from ig_worker.data import imdb
from ig_worker.data.columns import DEFAULT_COLUMNS
from ig_worker.data.demo import demo_rows, length_of
from ig_worker.data.faults import shown
from ig_worker.data.files import DataFile, file_faults, find_file, printable
from ig_worker.data.kept_columns import FLAG, kept_names, kept_used
from ig_worker.data.kept_types import KeptColumn
from ig_worker.data.labels import LabelCounter
from ig_worker.data.reading import Rows, Source
from ig_worker.data.safe_npz import read_reviews
from ig_worker.errors import DataError

if TYPE_CHECKING:
    from ig_worker.data.sources import DataSpec

SPLITS = ("train", "test")
_LENGTH = "length"  # the demo's further column
_MAX_WORD_INDEX_BYTES = 64 << 20


def corpus(spec: DataSpec, counter: LabelCounter) -> Source:
    """The made-up corpus.

    Raises:
        DataError: there is no such split.
    """
    _check_split(spec)
    rows, digest = demo_rows(spec.split)
    for batch in rows.batches():
        counter.add(batch.num_rows, batch.column("label"))
    settings: dict[str, object] = {"split": spec.split}
    if names := kept_names(spec.keep_columns):
        rows = _with_lengths(rows, names)
        settings["keep_columns"] = names
    return Source(f"demo ({spec.split} split)", rows, (digest,), settings, imdb.CLASS_NAMES, SPLITS)


def _with_lengths(rows: Rows, names: tuple[str, ...]) -> Rows:
    """The demo's rows with the one further column that they have, which `names` has to be."""
    kept_used([*DEFAULT_COLUMNS.present(), _LENGTH], names, DEFAULT_COLUMNS, "demo")
    (name,) = names

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows.batches():
            lengths = [length_of(text) for text in batch.column("text").to_pylist()]
            yield batch.append_column(name, pa.array(lengths, pa.string()))

    return replace(rows, batches=batches, kept={name: KeptColumn(_LENGTH, pa.string())})


def archive_of(spec: DataSpec, name: str, counter: LabelCounter) -> Source:
    """Keras' IMDB reviews: Keras' own files for ``imdb``, else the ``.npz`` at the place `name`.

    Raises:
        DataError: a file is missing or damaged, or there is no such split.
        UsageError: ``imdb_decode`` is unknown.
    """
    if names := kept_names(spec.keep_columns):
        raise DataError(
            f"{FLAG} names {', '.join(map(shown, names))}, and {printable(name)} has only texts and labels",
            remedy="leave it out",
        )
    if name != "imdb":
        return _archive(spec, find_file(name), spec.word_index, counter)
    reviews, words = (imdb.keras_file(remote) for remote in (imdb.REVIEWS_FILE, imdb.WORD_INDEX_FILE))
    return _archive(spec, find_file(str(reviews)), spec.word_index or str(words), counter)


def _archive(spec: DataSpec, file: DataFile, word_index: str | None, counter: LabelCounter) -> Source:
    _check_split(spec)
    imdb.check_decode(spec.imdb_decode)
    words_file = _word_index_file(file, word_index)
    with file_faults(file.name), file.open() as stream:
        splits = read_reviews(stream, file.name)
    with file_faults(words_file.name), words_file.open() as stream:
        index = imdb.parse_word_index(stream.read(_MAX_WORD_INDEX_BYTES), words_file.name)
    words = imdb.rank_words(index, spec.imdb_decode)
    counter.add(len(splits[spec.split].labels), imdb.review_labels(splits, spec.split))
    return Source(
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


def _check_split(spec: DataSpec) -> None:
    if spec.split not in SPLITS:
        raise DataError(f"--split is {spec.split!r}", expected=" or ".join(SPLITS))
