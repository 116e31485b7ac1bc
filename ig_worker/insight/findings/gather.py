"""From a run's files to a `Corpus`: partials of some chunks at a time, here or on Ray, put together in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker import schema
from ig_worker.insight.findings.corpus import KEPT, Corpus
from ig_worker.insight.tables import ngrams
from ig_worker.insight.tables.aggregate import slices_of, two_passes
from ig_worker.insight.tables.flat_rows import COLUMNS, Flat
from ig_worker.insight.tables.positions import TAIL
from ig_worker.insight.tables.run_outputs import outputs_of, threshold_of
from ig_worker.run.deadline import Deadline
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.steps.map_chunks import Chunks
from ig_worker.run.store.run_store import RunStore

_PLAIN = (
    "id",
    "label",
    schema.LABEL_LISTS,
    schema.VALUE,
    "prediction",
    "target",
    "contrast",
    "delta",
    "error_estimate",
    "target_probability",
    "baseline_probability",
    "evaluations",
    "status",
    "truncated",
    "windows",
)
_READ = sorted({*COLUMNS, *_PLAIN})


@dataclass(frozen=True)
class Part:
    """Some texts: those of `Corpus`, with terms as they are spelt."""

    texts: pa.Table
    probability: np.ndarray
    entries: pa.Table  # term is a dictionary of strings


def gather(
    store: RunStore,
    progress: Callable[[int, int], None] | None = None,
    config: ApplyConfig | None = None,
    deadline: Deadline | None = None,
) -> Corpus:
    """All texts of a run.

    Args:
        store: the run.
        progress: called with (chunks read, chunks to read), where each chunk is read twice.
        config: who reads them; None: this process, or a local Ray for a big run.
        deadline: when actors have to be done with it.

    Raises:
        UsageError: no row is explained yet, or no such cluster.
        RunStoppedError: the actors failed again and again, or the deadline has passed.
        RunDamagedError: a file of the run is not what the run wrote.
    """
    least, gathered = two_passes(store, progress, config, deadline, part_of, list)
    manifest = store.manifest.existing()
    names = (manifest.get("data") or {}).get("class_names")
    return together(gathered, least, outputs_of(store), threshold_of(store), names if isinstance(names, list) else ())


def part_of(store: RunStore, chunks: Chunks, frequent: np.ndarray) -> Part:
    """The texts of some chunks; `frequent` are the slots of n-grams that may be listed, packed into bits."""
    mask, threshold = np.unpackbits(frequent).astype(bool), threshold_of(store)
    read = [*_READ, *schema.kept_in(store.results.schema(chunks[0]))]
    return _joined([part(Flat(table, mask, threshold)) for table in slices_of(store, chunks, read)])


def part(flat: Flat) -> Part:
    """The texts of one table of attributions."""
    flat = flat.texts
    table, count = flat.table, flat.table.num_rows
    columns = {name: table.column(name) for name in _PLAIN if name in table.schema.names}
    columns |= {KEPT + name: table.column(name) for name in schema.kept_in(table.schema)}
    columns["confidence"] = pa.array(flat.confidence)
    columns["length"] = pa.array(flat.length.astype(np.int32))
    columns["total"] = pa.array(np.bincount(flat.row, weights=np.abs(flat.attribution), minlength=count))
    columns["last_tenth"] = pa.array(_last_tenth(flat), from_pandas=True)
    return Part(pa.table(columns), flat.probability, _entries(flat))


def _last_tenth(flat: Flat) -> np.ndarray:
    """Part of the ordinary tokens' |attribution| that lies in their last tenth, [texts].

    nan where there is none, and of pairs: either text of a pair may be the one that was cut.
    """
    count = flat.table.num_rows
    if flat.pairs:
        return np.full(count, np.nan)
    row, size = flat.row[flat.ordinary], np.abs(flat.attribution[flat.ordinary])
    whole = np.bincount(row, weights=size, minlength=count)
    late = np.bincount(row, weights=size * (flat.place >= TAIL), minlength=count)
    return np.divide(late, whole, out=np.full(count, np.nan), where=whole > 0)


def _entries(flat: Flat) -> pa.Table:
    """A row for each text and term in it; terms of one text stand in no order."""
    found = [_of_terms(flat, np.arange(len(flat.word_row)), flat.word, 1)]
    found += [_of_terms(flat, *ngrams.occurrences(flat, n), n) for n in ngrams.SIZES]
    return pa.concat_tables(found).unify_dictionaries()


def _of_terms(flat: Flat, first: np.ndarray, term: pa.DictionaryArray, size: int) -> pa.Table:
    """Terms of so many words, that begin with the words `first`."""
    value, code = flat.word_attribution, term.indices.to_numpy().astype(np.int64)
    width = max(len(term.dictionary), 1)
    keys, key = np.unique(flat.word_row[first].astype(np.int64) * width + code, return_inverse=True)
    key = key.reshape(-1)

    def total(values: np.ndarray) -> pa.Array:
        return pa.array(np.bincount(key, weights=values, minlength=len(keys)).astype(np.float32))

    return pa.table(
        {
            "text": pa.array((keys // width).astype(np.int32)),
            "term": pa.DictionaryArray.from_arrays(pa.array((keys % width).astype(np.int32)), term.dictionary),
            "size": pa.array(np.full(len(keys), size, np.int8)),
            "count": pa.array(np.bincount(key, minlength=len(keys)).astype(np.int32)),
            "push": total(sum(value[first + k] for k in range(size))),
            "last": total(value[first + size - 1]),
        }
    )


def _joined(parts: Sequence[Part]) -> Part:
    """The texts of all parts, one after the other."""
    before = np.cumsum([0, *(part.texts.num_rows for part in parts)])
    moved = [
        part.entries.set_column(0, "text", pc.add(part.entries.column("text"), pa.scalar(int(first), pa.int32())))
        for part, first in zip(parts, before[:-1], strict=True)
    ]
    return Part(
        pa.concat_tables([part.texts for part in parts]),
        np.concatenate([part.probability for part in parts]),
        pa.concat_tables(moved).unify_dictionaries().combine_chunks(),
    )


def together(
    parts: Sequence[Part], least: int, outputs: str, threshold: float, class_names: Sequence[str] = ()
) -> Corpus:
    """The corpus of all parts, in their order.

    Args:
        parts: of the run, in the order of the data.
        least: texts that a phrase is in at least; others are left out.
        outputs, threshold, class_names: see `Corpus`.
    """
    whole = _joined(parts)
    terms, number, size = _terms(whole.entries)
    text = whole.entries.column("text").to_numpy()
    kept = (size == 1) | (np.bincount(number, minlength=len(terms)) >= least)
    terms, size, renumbered = terms.filter(pa.array(kept)), size[kept], np.cumsum(kept) - 1
    which = np.flatnonzero(kept[number])
    which = which[np.lexsort((number[which], text[which]))]
    entries = whole.entries.select(["count", "push", "last"]).take(pa.array(which))
    entries = entries.add_column(0, "term", pa.array(renumbered[number[which]].astype(np.int32)))
    entries = entries.add_column(0, "text", pa.array(text[which])).combine_chunks()
    names = tuple(str(name) for name in class_names)
    texts = whole.texts.combine_chunks()
    kept_columns = tuple(name.removeprefix(KEPT) for name in texts.schema.names if name.startswith(KEPT))
    return Corpus(texts, whole.probability, terms, size, entries, outputs, names, threshold, kept_columns, least)


def _terms(entries: pa.Table) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Distinct terms by size and spelling: they, the number of that of each entry, and the words of each.

    A phrase and a word may be spelt alike only where a tokenizer's words have blanks; they are two terms all the same.
    """
    column = entries.column("term").combine_chunks()
    column = column if isinstance(column, pa.DictionaryArray) else column.chunk(0)
    names = column.dictionary
    place = np.empty(len(names), np.int64)
    place[pc.sort_indices(names).to_numpy()] = np.arange(len(names))
    key = entries.column("size").to_numpy().astype(np.int64) * max(len(names), 1) + place[column.indices.to_numpy()]
    keys, number = np.unique(key, return_inverse=True)
    by_place = pc.take(names, pc.sort_indices(names))
    return (
        by_place.take(pa.array(keys % max(len(names), 1))),
        number.reshape(-1),
        (keys // max(len(names), 1)).astype(np.int8),
    )
