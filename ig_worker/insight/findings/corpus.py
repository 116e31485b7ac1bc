"""What findings are found in: a run's texts with what is said of each, and which words carry how much attribution.

A text counts once, by the first of its targets. All of it is in memory, some 3 kB a text of 190 tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from ig_worker.explain.predicted import DEFAULT, is_predicted
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, VALUE, VALUES

KEPT = "kept."  # before the name of a column of the data set, which may be called as one of `Corpus.texts`

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Corpus:
    """Attributes:
    texts: a row a text, in the order of the data: id, label (labels, value), prediction, target, contrast,
        confidence (nan where texts have no one class), length (ordinary tokens), total (of |attribution|), last_tenth
        (part of the ordinary tokens' |attribution| in the last tenth of them; null of pairs), delta, error_estimate,
        target_probability, baseline_probability, evaluations, status, truncated, windows, and the columns of the data
        set that were kept, `KEPT` before their names.
    probability: float32 [texts, outputs].
    terms: words, and phrases of two and three of them, by spelling.
    size: words of each term, int8 [terms].
    entries: a row for each text and term in it, by text and then by term: text, term, count (occurrences), push (sum
        of their attributions), last (sum of the attributions of their last words).
    outputs: what the model says, one of `schema.OUTPUTS`.
    class_names: of the outputs.
    threshold: from which probability on one of several labels is predicted.
    kept: names of the columns of the data set that were kept.
    least: texts that a phrase is in at least.
    """

    texts: pa.Table
    probability: NDArray[np.float32]
    terms: pa.Array
    size: NDArray[np.int8]
    entries: pa.Table
    outputs: str = CLASSES
    class_names: Sequence[str] = ()
    threshold: float = DEFAULT
    kept: Sequence[str] = field(default=())
    least: int = 2

    def __len__(self) -> int:
        return int(self.texts.num_rows)

    def name(self, number: int) -> str:
        """What an output is called."""
        return self.class_names[number] if number < len(self.class_names) else f"class {number}"

    def numbers(self, name: str) -> Floats:
        """A column of `texts`, float64 [texts]; nulls become nan."""
        return np.asarray(self.texts.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy(), np.float64)

    def ids(self, which: NDArray[np.int64] | Bools) -> list[str]:
        """Ids of some texts, given as numbers or as a mask."""
        numbers = np.flatnonzero(which) if which.dtype == bool else which
        return list(self.texts.column("id").take(pa.array(numbers)).to_pylist())

    @cached_property
    def label(self) -> Floats:
        """nan where it is not known, [texts]."""
        return self.numbers("label")

    @cached_property
    def prediction(self) -> NDArray[np.int64]:
        return np.asarray(self.texts.column("prediction").to_numpy(), np.int64)

    @cached_property
    def target(self) -> NDArray[np.int64]:
        """What is explained, [texts]."""
        return np.asarray(self.texts.column("target").to_numpy(), np.int64)

    @cached_property
    def predicted(self) -> Bools:
        """Of several labels, whether each is predicted, [texts, labels]."""
        return np.asarray(is_predicted(self.probability, self.threshold))

    @cached_property
    def applies(self) -> Bools:
        """Of several labels, whether the data say so of each, [texts, labels]; nothing of a text not `labelled`."""
        lists = self.texts.column(LABEL_LISTS).combine_chunks()
        found = np.zeros(self.probability.shape, bool)
        numbers = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
        found[pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), numbers] = True
        return found

    @cached_property
    def labelled(self) -> Bools:
        """Whether the data say what is right, [texts]."""
        name = {LABELS: LABEL_LISTS, VALUES: VALUE}.get(self.outputs, "label")
        return np.asarray(self.texts.column(name).is_valid().to_numpy())

    @cached_property
    def error(self) -> Floats:
        """Of numbers: |prediction - what the data say|, [texts]."""
        said = self.probability[np.arange(len(self)), self.target]
        return np.abs(said - self.numbers(VALUE))

    @cached_property
    def wrong(self) -> Bools:
        """Whether what is said of a text is wrong, [texts]; False where nothing is known.

        Of several labels: any of them. Of numbers: the error is among the largest tenth.
        """
        if self.outputs == LABELS:
            return np.asarray(self.labelled & (self.predicted != self.applies).any(axis=1))
        if self.outputs == VALUES:
            known = self.error[self.labelled]
            limit = np.quantile(known, 0.9) if len(known) else np.inf
            return np.asarray(self.labelled & (self.error > limit))
        return np.asarray(self.labelled & (self.label != self.prediction))

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """Number of what the model says of a text, [texts]: labels dealt out anew would be as good within each.

        The class; of several labels the set of them, where it is among the eleven most frequent ones; of numbers the
        fifth.
        """
        if self.outputs == LABELS:
            _, code, count = np.unique(self.predicted, axis=0, return_inverse=True, return_counts=True)
            place = np.empty(len(count), np.int64)
            place[np.argsort(-count, kind="stable")] = np.arange(len(count))
            return np.minimum(place[code.reshape(-1)], 11)
        if self.outputs == VALUES:
            said = self.probability[np.arange(len(self)), self.target]
            return np.searchsorted(np.quantile(said, [0.2, 0.4, 0.6, 0.8]), said).astype(np.int64)
        return self.prediction

    @cached_property
    def binary(self) -> bool:
        """Whether an attribution for one class is minus one for the other."""
        return self.outputs == CLASSES and self.probability.shape[1] == 2

    @cached_property
    def term_numbers(self) -> dict[str, int]:
        return {term: number for number, term in enumerate(self.terms.to_pylist())}

    @cached_property
    def documents(self) -> NDArray[np.int64]:
        """Texts that each term is in, [terms]."""
        return np.bincount(self.entry_term, minlength=len(self.terms))

    @cached_property
    def entry_text(self) -> NDArray[np.int32]:
        return np.asarray(self.entries.column("text").to_numpy())

    @cached_property
    def entry_term(self) -> NDArray[np.int32]:
        return np.asarray(self.entries.column("term").to_numpy())

    @cached_property
    def present(self) -> sparse.csr_matrix:
        """Which terms are in which texts, 1 or 0, float32 [texts, terms]."""
        return self.matrix(np.ones(self.entries.num_rows, np.float32))

    def matrix(self, values: NDArray[np.float32]) -> sparse.csr_matrix:
        """A value for each of `entries` as a sparse matrix, [texts, terms]."""
        begins = np.searchsorted(self.entry_text, np.arange(len(self) + 1))
        return sparse.csr_matrix((values, self.entry_term, begins), shape=(len(self), len(self.terms)))

    def entry_share(self, name: str = "push") -> NDArray[np.float32]:
        """`push` or `last` as a part of all |attribution| of its text, [entries]."""
        total = self.numbers("total")[self.entry_text]
        value = self.entries.column(name).to_numpy()
        return np.asarray(value / np.where(total > 0, total, 1.0), np.float32)

    def towards(self, number: int) -> NDArray[np.float32]:
        """Sign of an attribution of each text when it is read as one for output `number`, [texts]; 0: it is none."""
        if self.outputs == VALUES or not self.binary:
            return (self.target == number).astype(np.float32)
        return np.where(self.target == number, np.float32(1), np.float32(-1))


def half_of(ids: Sequence[str]) -> Bools:
    """One half of the texts, drawn by a hash of their ids: what is found in it is tested on the other, [texts].

    It depends on nothing but the ids, so the same texts are drawn however the run is cut into chunks.
    """
    import zlib

    return np.fromiter((zlib.crc32(b"half:" + id.encode()) & 1 for id in ids), bool, len(ids))
