"""The attributions of some rows as flat arrays, laid out once for all measures."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.explain.predicted import DEFAULT, is_predicted
from ig_worker.models.words import MARKED, UNKNOWN
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, RANK, SEGMENTS, VALUE, outputs_in

COLUMNS = (
    "label",
    LABEL_LISTS,  # only where a text may have several labels
    VALUE,  # only where the label is a number
    RANK,  # only where a text may have several rows, one for each target
    "prediction",
    "target",
    "probabilities",
    "tokens",
    "word_ids",
    SEGMENTS,  # only of pairs
    "attributions",
    "delta",
    "error_estimate",
    "evaluations",
    "status",
    "truncated",
)
OUTCOMES = ("right", "wrong", "unlabelled")  # of a row: whether the prediction is the label
NOBODY = -1  # in place of a predicted class: the explained label is not predicted


class Flat:
    """A table of `schema.attributions` (at least those of `COLUMNS` that it has), flattened.

    Args:
        table: the rows.
        frequent: which slots of `ngrams` may hold n-grams that are listed, bool [ngrams.SLOTS]; None: all of them.
        threshold: of several labels, those with this probability or more are predicted.
    """

    def __init__(self, table: pa.Table, frequent: np.ndarray | None = None, threshold: float = DEFAULT) -> None:
        self.table, self.frequent, self.threshold = table, frequent, threshold
        self.outputs = outputs_in(table.schema.names)

    @cached_property
    def texts(self) -> Flat:
        """The first row of each text, for what is counted by text and not by what is explained of it."""
        first = first_of_texts(self.table)
        return self if first is self.table else Flat(first, self.frequent, self.threshold)

    # Of the rows, [rows].

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers as float64; nulls become nan."""
        return self.table.column(name).to_numpy().astype(np.float64)

    def integers(self, name: str) -> np.ndarray:
        """A column of integers as int64; nulls become −1."""
        return self.table.column(name).fill_null(-1).to_numpy().astype(np.int64)

    @cached_property
    def predicted_class(self) -> np.ndarray:
        """The predicted class, int64 [rows]; of several labels the explained one where it is predicted, or `NOBODY`."""
        if self.outputs != LABELS:
            return self.integers("prediction")
        target = self.integers("target")
        return np.where(self.predicted[np.arange(len(target)), target], target, NOBODY)

    @cached_property
    def outcome(self) -> np.ndarray:
        """Index into `OUTCOMES`, int8 [rows]: of several labels, whether what is said of the explained one is right."""
        if self.outputs == LABELS:
            row, target = np.arange(self.table.num_rows), self.integers("target")
            wrong = (self.predicted[row, target] != self.applies[row, target]).astype(np.int8)
            return np.where(self.known, wrong, np.int8(2))
        label = self.table.column("label").to_numpy(zero_copy_only=False).astype(np.float64)
        wrong = (label != self.integers("prediction")).astype(np.int8)
        return np.where(np.isnan(label), np.int8(2), wrong)

    @cached_property
    def verdict(self) -> np.ndarray:
        """Index into `OUTCOMES`, int8 [rows]: whether all that is said of a text is right."""
        if self.outputs != LABELS:
            return self.outcome
        wrong = (self.predicted != self.applies).any(axis=1).astype(np.int8)
        return np.where(self.known, wrong, np.int8(2))

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class; nan where texts have no one class."""
        return confidence(self.table) if self.outputs == CLASSES else np.full(self.table.num_rows, np.nan)

    # Of texts that may have several labels, [rows, labels].

    @cached_property
    def probability(self) -> np.ndarray:
        """float32"""
        values = _flat(self.table, "probabilities")
        return values.reshape(self.table.num_rows, len(values) // max(self.table.num_rows, 1))

    @cached_property
    def predicted(self) -> np.ndarray:
        """Whether each label is predicted, bool."""
        return is_predicted(self.probability, self.threshold)

    @cached_property
    def applies(self) -> np.ndarray:
        """Whether the data say so of each label, bool; nothing of a row that is not `known`."""
        lists = _whole(self.table, LABEL_LISTS)
        found = np.zeros(self.probability.shape, bool)
        numbers = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
        found[pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), numbers] = True
        return found

    @cached_property
    def known(self) -> np.ndarray:
        """Whether the data say which labels a text has, bool [rows]."""
        return self.table.column(LABEL_LISTS).is_valid().to_numpy()

    # Of the tokens, [tokens].

    @cached_property
    def row(self) -> np.ndarray:
        return pc.list_parent_indices(_whole(self.table, "word_ids")).to_numpy(zero_copy_only=False)

    @cached_property
    def token(self) -> pa.DictionaryArray:
        return pc.list_flatten(_whole(self.table, "tokens")).dictionary_encode()

    @cached_property
    def attribution(self) -> np.ndarray:
        return _flat(self.table, "attributions").astype(np.float64)

    @cached_property
    def word_id(self) -> np.ndarray:
        return _flat(self.table, "word_ids")

    @property
    def pairs(self) -> bool:
        """Whether each row has two texts."""
        return SEGMENTS in self.table.schema.names

    @cached_property
    def segment(self) -> np.ndarray:
        """0 for tokens of a row's first text, 1 of its second, −1 for special tokens."""
        return _flat(self.table, SEGMENTS) if self.pairs else np.minimum(self.word_id, 0)

    @cached_property
    def unknown(self) -> np.ndarray:
        return self.codes(UNKNOWN) == self.token.indices.to_numpy()

    def codes(self, token: str) -> int:
        """Number of a token in the dictionary of `token`, −1 where it does not occur."""
        return int(self.token.dictionary.index(pa.scalar(token, pa.string())).as_py())

    # Of the ordinary tokens, those that are in a word, [ordinary].

    @cached_property
    def ordinary(self) -> np.ndarray:
        """Their numbers among the tokens."""
        return np.flatnonzero(self.word_id >= 0)

    @cached_property
    def length(self) -> np.ndarray:
        """Ordinary tokens of each row, [rows]."""
        return np.bincount(self.row[self.ordinary], minlength=self.table.num_rows)

    @cached_property
    def place(self) -> np.ndarray:
        """Where a token stands among the ordinary ones of its row, from 0 to less than 1."""
        first = np.cumsum(self.length) - self.length
        row = self.row[self.ordinary]
        return (np.arange(len(row)) - first[row]) / self.length[row]

    # Of the words, [words].

    @cached_property
    def _word_starts(self) -> np.ndarray:
        at = self.ordinary
        row, word = self.row[at], self.word_id[at]
        first = np.ones(len(row), bool)
        first[1:] = (row[1:] != row[:-1]) | (word[1:] != word[:-1]) | (at[1:] != at[:-1] + 1)
        return np.flatnonzero(first)

    @cached_property
    def word_row(self) -> np.ndarray:
        return self.row[self.ordinary][self._word_starts]

    @cached_property
    def word_text(self) -> np.ndarray:
        """Number of the text that a word is of: equal within a text only, and rising."""
        return self.word_row.astype(np.int64) * 2 + self.segment[self.ordinary][self._word_starts]

    @cached_property
    def word_attribution(self) -> np.ndarray:
        """Sums over the pieces of each word."""
        values = self.attribution[self.ordinary]
        return np.add.reduceat(values, self._word_starts) if len(values) else np.zeros(0)

    @cached_property
    def word(self) -> pa.DictionaryArray:
        """The words: their pieces put together."""
        codes = self.token.indices.to_numpy()[self.ordinary]
        starts = self._word_starts
        pieces = np.diff(np.append(starts, len(codes)))
        first, several = codes[starts].astype(np.int64), np.flatnonzero(pieces > 1)
        known = self.token.dictionary
        joined = self._joined(codes, starts[several], pieces[several])
        # A word of several pieces may be spelt like a token; one string has one number.
        number = pc.index_in(joined.dictionary, value_set=known).to_numpy(zero_copy_only=False).astype(np.float64)
        new = np.isnan(number)
        number[new] = len(known) + np.arange(new.sum())
        first[several] = number[joined.indices.to_numpy()].astype(np.int64)
        names = pa.concat_arrays([known, joined.dictionary.filter(pa.array(new))])
        return pa.DictionaryArray.from_arrays(pa.array(first.astype(np.int32)), names)

    def _joined(self, codes: np.ndarray, starts: np.ndarray, pieces: np.ndarray) -> pa.DictionaryArray:
        """Words of several pieces, given the numbers of the pieces, where each word starts, and how many it has."""
        offsets = np.append(0, np.cumsum(pieces))
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], pieces)
        inner = pc.replace_substring_regex(self.token.dictionary, MARKED, "")
        both = pa.concat_arrays([self.token.dictionary, inner])
        taken = codes[np.repeat(starts, pieces) + within] + np.where(within > 0, len(inner), 0)
        lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), both.take(pa.array(taken)))
        return pc.binary_join(lists, "").dictionary_encode()


def first_of_texts(table: pa.Table) -> pa.Table:
    """The rows with the first target of each text; the same table where it has one row for each text."""
    return table.filter(pc.equal(table.column(RANK), 0)) if RANK in table.schema.names else table


def confidence(table: pa.Table) -> np.ndarray:
    """Probability of the predicted class, float64 [rows]."""
    lists = _whole(table, "probabilities")
    flat = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float64)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return flat[np.cumsum(lengths) - lengths + table.column("prediction").to_numpy()]


def _whole(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()


def _flat(table: pa.Table, name: str) -> np.ndarray:
    return pc.list_flatten(_whole(table, name)).to_numpy(zero_copy_only=False)
