"""The reviews of a run as scripts that the report loads: what is searched at once, what is shown on demand.

A row is a text; what is explained of it besides its first target is in its detail. Rows stream through in details of
`DETAIL_ROWS` and segments of `SEGMENT_ROWS`, cut without regard to the run's chunks.
In memory are one chunk, the postings of one segment, and the run's distinct tokens and words.

* A *detail* holds tokens and attributions of its rows: RUN/report/data/reviews-N-HASH.js, loaded when one is opened.
* A *segment* holds what all of them are searched by: RUN/report/data/index-N-HASH.js. Numbers by row, the first tokens
  of each, the terms that no earlier segment has, and *postings*: for each key the rows that have it. A key is
  ``term << 2 | kind``, so that a word can be told from a piece of another word that is spelt the same.

A term is a token or a word; its number is its place in the terms of all segments. Bytes are laid out in `js_scripts`,
and read by templates/app/data.js.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ig_worker.data.plan import rechunk
from ig_worker.explain.predicted import DEFAULT
from ig_worker.insight.report.js_scripts import packed, packed_varints, script
from ig_worker.insight.report.text_rows import OTHER_ATTRIBUTIONS, by_text
from ig_worker.insight.tables.flat_rows import Flat
from ig_worker.insight.tables.measures import confidence
from ig_worker.insight.tables.run_outputs import threshold_of
from ig_worker.models.words import word_of
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, RANK, SEGMENTS, VALUE, VALUES, outputs_in

DETAIL_ROWS = 250
SEGMENT_ROWS = 5_000  # a multiple of DETAIL_ROWS, below 2¹⁶
OPENING = 28  # ordinary tokens of each row that a list shows
PEAK = 32_767  # an attribution is a whole number of (largest |a| of its row) / PEAK

# A token: special, begins a word, goes on with it, begins the first word of the second of two texts.
SPECIAL, FIRST, CONTINUES, SECOND = 0, 1, 2, 3
WORD, JOINED, PIECE = 0, 1, 2  # a key: word of one token, word of several, token that is not a word by itself
TRUNCATED, LIMIT, FLIPPED = 1, 2, 4  # flags of a row

COLUMNS = [
    "id",
    "label",
    LABEL_LISTS,  # only where a text may have several labels
    VALUE,  # only where the label is a number
    "prediction",
    "target",
    "contrast",
    RANK,
    "probabilities",
    "target_probability",
    "baseline_probability",
    "tokens",
    "word_ids",
    SEGMENTS,  # only of pairs
    "attributions",
    "delta",
    "error_estimate",
    "evaluations",
    "status",
    "truncated",
]
# Of several labels: numbers of those that are predicted and that apply, and how many of each a row has; of the latter
# one more, and 0 where nobody knows.
_LISTS = ("predicted", "predicted_counts", "applies", "applies_counts")
Ints = NDArray[np.int64]
Publish = Callable[[str, str], str]  # (stem, text of a script) -> name of its file


@dataclass
class Terms:
    """Numbers of the tokens and words met so far."""

    numbers: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    told: int = 0  # how many of `names` stand in segments that are published

    def number(self, name: str) -> int:
        found = self.numbers.setdefault(name, len(self.names))
        if found == len(self.names):
            self.names.append(name)
        return found

    def news(self) -> list[str]:
        """Names that no segment has had yet."""
        news, self.told = self.names[self.told :], len(self.names)
        return news


def write_explorer(store: RunStore, publish: Publish, flipped: frozenset[str] = frozenset()) -> list[str]:
    """Publish all reviews; returns the names of the segments, in the order of the rows.

    Args:
        store: the run.
        publish: writes one script.
        flipped: ids of the rows whose prediction has changed since the run that this one was compared with.
    """
    threshold = threshold_of(store)
    terms, names, segment = Terms(), [], _Segment(0, threshold=threshold)
    joined: dict[tuple[int, ...], int] = {}
    for number, rows in enumerate(rechunk(_batches(store), DETAIL_ROWS)):
        tokens = read_tokens(rows, terms)
        name = publish(f"reviews-{number:05d}", script("igReport.reviews", detail(number, rows, tokens)))
        segment.add(rows, tokens, keys_of(tokens, terms, joined), name, flipped)
        if segment.rows == SEGMENT_ROWS:
            names.append(segment.publish(publish, terms))
            segment = _Segment(segment.first + segment.rows, threshold=threshold)
    if segment.rows:
        names.append(segment.publish(publish, terms))
    return names


def _batches(store: RunStore) -> Iterator[pa.RecordBatch]:
    for table in store.results.each(COLUMNS):
        yield from by_text(table.replace_schema_metadata(None)).to_batches()


@dataclass(frozen=True)
class FlatTokens:
    """The tokens of some rows, one after the other. Arrays are int64 [tokens] where nothing else is said."""

    term: Ints
    kind: Ints  # SPECIAL, FIRST, CONTINUES or SECOND
    row: Ints  # from 0
    counts: Ints  # [rows]


def read_tokens(rows: pa.Table, terms: Terms) -> FlatTokens:
    """The tokens of `rows`, new ones entered into `terms`."""
    lists = rows.column("tokens").combine_chunks()
    flat = pc.list_flatten(lists).dictionary_encode()
    known = np.fromiter((terms.number(name) for name in flat.dictionary.to_pylist()), np.int64, len(flat.dictionary))
    row = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    word = pc.list_flatten(rows.column("word_ids").combine_chunks()).to_numpy(zero_copy_only=False)
    goes_on = np.zeros(len(row), bool)
    goes_on[1:] = (word[1:] >= 0) & (word[1:] == word[:-1]) & (row[1:] == row[:-1])
    kind = np.where(word < 0, SPECIAL, np.where(goes_on, CONTINUES, FIRST))
    if SEGMENTS in rows.schema.names:
        second = pc.list_flatten(rows.column(SEGMENTS).combine_chunks()).to_numpy(zero_copy_only=False) == 1
        of_second = np.flatnonzero(second)
        kind[of_second[np.unique(row[of_second], return_index=True)[1]]] = SECOND
    term = known[flat.indices.to_numpy(zero_copy_only=False)] if len(row) else np.zeros(0, np.int64)
    return FlatTokens(term, kind, row, np.bincount(row, minlength=rows.num_rows))


def keys_of(tokens: FlatTokens, terms: Terms, joined: dict[tuple[int, ...], int]) -> Ints:
    """Distinct ``key * SEGMENT_ROWS + row`` of all words and of the tokens that are no word; `joined` is a cache."""
    follows = np.append(tokens.kind[1:] == CONTINUES, False)
    begins = (tokens.kind == FIRST) | (tokens.kind == SECOND)
    single = begins & ~follows
    keys = tokens.term << 2 | np.where(single, WORD, PIECE)
    first = np.flatnonzero(begins & follows)
    ends = np.append(np.flatnonzero(tokens.kind != CONTINUES), len(tokens.kind))
    last = ends[np.searchsorted(ends, first, side="right")]
    words = np.empty(len(first), np.int64)
    numbers = tokens.term.tolist()
    for i, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        pieces = tuple(numbers[begin:end])
        if pieces not in joined:
            joined[pieces] = terms.number(word_of(terms.names[piece] for piece in pieces))
        words[i] = joined[pieces]
    pairs = np.concatenate([keys * SEGMENT_ROWS + tokens.row, (words << 2 | JOINED) * SEGMENT_ROWS + tokens.row[first]])
    return np.unique(pairs)


def detail(number: int, rows: pa.Table, tokens: FlatTokens) -> dict[str, Any]:
    """What is shown of each of some rows, as plain data."""
    whole, peak = _of_peaks(rows.column("attributions"), tokens.counts)
    found = {
        "number": number,
        "counts": packed_varints(tokens.counts),
        "tokens": packed_varints(tokens.term << 2 | tokens.kind),
        "attributions": packed(whole, np.int16),
        "peak": packed(peak, np.float32),
        "probability": packed(_floats(rows, "target_probability"), np.float32),
        "baseline": packed(_floats(rows, "baseline_probability"), np.float32),
        "error": packed(_floats(rows, "error_estimate"), np.float32),  # nan where null
    }
    others = rows.column("other_targets").combine_chunks().value_lengths().to_numpy()
    return found | {"others": _others(rows, np.repeat(tokens.counts, others), others)} if others.any() else found


def _others(rows: pa.Table, lengths: Ints, counts: Ints) -> dict[str, Any]:
    """The same of the further targets; `counts` are those of each row, `lengths` the tokens of each target."""

    def flat(name: str) -> NDArray[np.float64]:
        values = pc.list_flatten(rows.column(name).combine_chunks())
        return np.asarray(values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))

    whole, peak = _of_peaks(rows.column(OTHER_ATTRIBUTIONS), lengths)
    numbers = {"target": "other_targets", "contrast": "other_contrasts"}  # -1: it is no contrast
    floats = {"probability": "probabilities", "baseline": "baselines", "error": "errors", "delta": "deltas"}
    return {
        "counts": packed_varints(counts),
        "attributions": packed(whole, np.int16),
        "peak": packed(peak, np.float32),
        **{name: packed(np.nan_to_num(flat(column), nan=-1), np.int32) for name, column in numbers.items()},
        **{name: packed(flat(f"other_{column}"), np.float32) for name, column in floats.items()},
    }


def _of_peaks(lists: Any, lengths: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Attributions as whole numbers of their target's largest / `PEAK`, and that; `lengths` are of each target."""
    flat = pc.list_flatten(lists.combine_chunks()).to_numpy(zero_copy_only=False)
    values = np.nan_to_num(flat.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    peak = np.zeros(len(lengths))
    np.maximum.at(peak, owner, np.abs(values))
    return np.rint(values / np.where(peak > 0, peak, 1.0)[owner] * PEAK), peak


def _floats(rows: pa.Table, name: str) -> NDArray[np.float64]:
    return rows.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy()


@dataclass
class _Segment:
    """What rows are searched by, gathered detail by detail."""

    first: int
    rows: int = 0
    ids: list[str] = field(default_factory=list)
    pairs: list[Ints] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    threshold: float = DEFAULT  # from which probability on one of several labels is predicted

    def add(self, rows: pa.Table, tokens: FlatTokens, pairs: Ints, name: str, flipped: frozenset[str]) -> None:
        self.pairs.append(pairs + self.rows)  # the row is the lowest part
        self.details.append(name)
        ids = rows.column("id").to_pylist()
        self.ids += ids
        self.rows += rows.num_rows
        numbers = _numbers(rows, tokens, np.array([id in flipped for id in ids]))
        numbers.update(_truths(rows, self.threshold))
        for key, values in numbers.items():
            self.columns.setdefault(key, []).append(values)

    def publish(self, publish: Publish, terms: Terms) -> str:
        columns = {key: np.concatenate(values) for key, values in self.columns.items()}
        keys, rows, counts = postings(np.unique(np.concatenate(self.pairs)))
        content: dict[str, Any] = {
            "first": self.first,
            "rows": self.rows,
            "ids": self.ids,
            "terms": terms.news(),
            "details": self.details,
            "keys": packed_varints(keys),
            "counts": packed_varints(counts),
            "postings": packed_varints(rows),
            **{key: packed(columns[key], np.int32) for key in ("label", "prediction", "target", "contrast")},
            **{key: packed(columns[key], np.float32) for key in ("confidence", "delta", "evaluations")},
            "flags": packed(columns["flags"], np.uint8),
            **{key: packed_varints(columns[key]) for key in ("length", "opening", "opening_counts")},
            **{key: packed_varints(columns[key]) for key in _LISTS if key in columns},
            **{key: packed(columns[key], np.float32) for key in ("predicted_probability", "value") if key in columns},
        }
        return publish(f"index-{self.first // SEGMENT_ROWS:05d}", script("igReport.index", content))


def postings(pairs: Ints) -> tuple[Ints, Ints, Ints]:
    """Keys, rows, and rows a key, of sorted ``key * SEGMENT_ROWS + row``.

    Keys and rows are differences from the one before; the first row of a key is told as it is.
    """
    key, row = np.divmod(pairs, SEGMENT_ROWS)
    keys, begins, counts = np.unique(key, return_index=True, return_counts=True)
    gaps = np.diff(row, prepend=0)
    gaps[begins] = row[begins]
    return np.diff(keys, prepend=0), gaps, counts


def _numbers(rows: pa.Table, tokens: FlatTokens, flipped: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The numbers of each row, [rows], and the opening of all, [tokens shown]."""
    ordinary = np.flatnonzero(tokens.kind != SPECIAL)
    length = np.bincount(tokens.row[ordinary], minlength=rows.num_rows)
    place = np.arange(len(ordinary)) - (np.cumsum(length) - length)[tokens.row[ordinary]]  # in its row
    shown = ordinary[place < OPENING]
    limit = pc.equal(rows.column("status"), "evaluation_limit").to_numpy()
    truncated = rows.column("truncated").to_numpy()
    return {
        "label": rows.column("label").fill_null(-1).to_numpy(),
        "prediction": rows.column("prediction").to_numpy(),
        "target": rows.column("target").to_numpy(),
        "contrast": rows.column("contrast").fill_null(-1).to_numpy(),
        "confidence": _confidence(rows),
        "delta": _floats(rows, "delta"),
        "evaluations": _floats(rows, "evaluations"),
        "length": length,
        "flags": truncated * TRUNCATED + limit * LIMIT + flipped * FLIPPED,
        "opening": tokens.term[shown] << 2 | tokens.kind[shown],
        "opening_counts": np.minimum(length, OPENING),
    }


def _confidence(rows: pa.Table) -> NDArray[np.float64]:
    """Probability of the predicted class; of several labels that of the explained one; of numbers the explained one."""
    if outputs_in(rows.schema.names) == CLASSES:
        return confidence(rows)
    target = rows.column("target").to_numpy()
    return Flat(rows).probability[np.arange(len(target)), target].astype(np.float64)


def _truths(rows: pa.Table, threshold: float) -> dict[str, NDArray[Any]]:
    """What is predicted of rows that have no one class, and what the data say of them."""
    flat = Flat(rows, threshold=threshold)
    if flat.outputs == VALUES:
        return {"value": flat.numbers(VALUE)}
    if flat.outputs != LABELS:
        return {}
    applies = flat.applies & flat.known[:, None]
    return {
        "predicted": np.nonzero(flat.predicted)[1],
        "predicted_counts": flat.predicted.sum(axis=1),
        "predicted_probability": flat.probability[flat.predicted],
        "applies": np.nonzero(applies)[1],
        "applies_counts": np.where(flat.known, applies.sum(axis=1) + 1, 0),
    }
