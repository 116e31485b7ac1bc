"""What may be said of a text to tell it from others: that it has a word, is long, comes from somewhere.

Every condition is a column of a sparse matrix, so that a search counts what all of them hold of at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from ig_worker.insight.findings.corpus import KEPT, Corpus
from ig_worker.insight.format import measured
from ig_worker.schema import CLASSES

Bools = NDArray[np.bool_]

MOST_VALUES = 50  # of a kept column of strings
_TENTHS = np.arange(1, 10) / 10
_CONFIDENCES = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Condition:
    """One thing that may hold of a text.

    Attributes:
        about: ``word``, ``phrase``, ``length``, ``confidence``, ``truncated``, or the name of a kept column.
        text: for people, such as ``word = "not"`` or ``length > 200``.
    """

    about: str
    text: str


@dataclass(frozen=True)
class Conditions:
    """All conditions of a run: what they are, and of which texts each holds, bool [texts, conditions]."""

    names: list[Condition]
    holds: sparse.csr_matrix

    def mask(self, number: int) -> Bools:
        """Of which texts one holds, [texts]."""
        return np.asarray(self.by_condition[:, [number]].toarray()).reshape(-1) > 0

    @property
    def by_condition(self) -> sparse.csc_matrix:
        found = self.__dict__.get("_by_condition")
        if found is None:
            found = self.holds.tocsc()
            object.__setattr__(self, "_by_condition", found)
        return found


def conditions(corpus: Corpus, least: int) -> Conditions:
    """Those that hold of at least `least` texts and leave out as many; of several that hold of the same texts, one."""
    names, columns = [], []
    for condition, mask in _of_numbers(corpus):
        names.append(condition)
        columns.append(mask)
    dense = sparse.csr_matrix(np.array(columns, np.float32).T) if columns else sparse.csr_matrix((len(corpus), 0))
    present = corpus.present
    often = np.flatnonzero((corpus.documents >= least) & (corpus.documents <= len(corpus) - least))
    terms, size = corpus.terms.take(pa.array(often)).to_pylist(), corpus.size[often]
    names += [_of_term(term, words) for term, words in zip(terms, size.tolist(), strict=True)]
    holds = sparse.hstack([dense, present[:, often]], format="csc", dtype=np.float32)
    kept = _distinct(holds, least)
    return Conditions([names[i] for i in kept], holds[:, kept].tocsr())


def _of_term(term: str, words: int) -> Condition:
    about = "word" if words == 1 else "phrase"
    return Condition(about, f'{about} = "{term}"')


def _distinct(holds: sparse.csc_matrix, least: int) -> list[int]:
    """Columns that hold often enough and are not an earlier one over again."""
    counts, found, seen = np.diff(holds.indptr), [], set()
    holds.sort_indices()
    for i, count in enumerate(counts.tolist()):
        if not least <= count <= holds.shape[0] - least:
            continue
        key = hash(holds.indices[holds.indptr[i] : holds.indptr[i + 1]].tobytes())
        if (count, key) not in seen:
            seen.add((count, key))
            found.append(i)
    return found


def _of_numbers(corpus: Corpus) -> Iterator[tuple[Condition, Bools]]:
    """Conditions that are no words."""
    yield from _thresholds("length", corpus.numbers("length"))
    if corpus.outputs == CLASSES:
        for at in _CONFIDENCES:
            above = corpus.numbers("confidence") >= at
            yield Condition("confidence", f"confidence < {at}"), ~above
            yield Condition("confidence", f"confidence >= {at}"), above
    yield Condition("truncated", "truncated"), np.asarray(corpus.texts.column("truncated").to_numpy(), bool)
    for name in corpus.kept:
        yield from _of_column(name, corpus.texts.column(KEPT + name).combine_chunks())


def _of_column(name: str, column: pa.Array) -> Iterator[tuple[Condition, Bools]]:
    """Conditions of a kept column: its values where there are few, else that it is above or below a number."""
    if column.null_count:
        yield Condition(name, f"{name} is empty"), np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64(), safe=False) if column.type.bit_width == 64 else column.cast(pa.int32())
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    values = pc.unique(column.drop_null())
    if is_number and len(values) > 10:
        numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
        yield from _thresholds(name, numbers)
    elif len(values) <= MOST_VALUES:
        for value in values:
            holds = pc.equal(column, value).fill_null(False).to_numpy(zero_copy_only=False)
            shown = measured(value.as_py()) if is_number else f'"{value.as_py()}"'
            yield Condition(name, f"{name} = {shown}"), np.asarray(holds, bool)


def _thresholds(name: str, numbers: NDArray[np.float64]) -> Iterator[tuple[Condition, Bools]]:
    """That a number is above, or not above, each of its tenths, rounded to what people say."""
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return
    whole = bool((known == np.rint(known)).all())
    for at in sorted({_round(value, whole) for value in np.quantile(known, _TENTHS)}):
        above = numbers > at
        yield Condition(name, f"{name} > {measured(at)}"), above
        yield Condition(name, f"{name} <= {measured(at)}"), numbers <= at


def _round(value: float, whole: bool) -> float:
    """Two significant digits."""
    found = float(f"{value:.2g}")
    return float(round(found)) if whole else found
