"""How much a model leans on each word towards a class, what the labels say of the word, and what like words have.

The lean of a word is the mean, over the texts that it is in, of its signed part of all |attribution| of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.schema import LABELS, VALUES

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GROUP = 10  # words that are taken together before the fit: one of them alone says little
_FOLDS = 10


@dataclass(frozen=True)
class View:
    """One class (or label), and what is said of it, each [texts].

    Attributes:
        number: of the output.
        sign: of an attribution that is read as one for the class; 0 where another class is explained.
        known: whether the label is known.
        label: whether the class is right; False where nothing is known.
        predicted: whether the model says so.
        probability: that the model gives the class, float32.
    """

    number: int
    sign: NDArray[np.float32]
    known: Bools
    label: Bools
    predicted: Bools
    probability: NDArray[np.float32]

    @property
    def tells(self) -> bool:
        """Whether some texts are known to have the class, and others not to have it."""
        return bool(0 < self.label.sum() < self.known.sum())

    @property
    def base(self) -> float:
        """Part of the texts that have the class."""
        return float(self.label.sum() / max(int(self.known.sum()), 1))

    @property
    def stratum(self) -> Ints:
        """In which of equal parts of the known texts a text is by its probability, [texts].

        There are 5 to 50 of some 200 texts: the narrower they are, the less is told again that the model knows.
        """
        parts = min(max(int(self.known.sum()) // 200, 5), 50)
        bounds = np.quantile(self.probability[self.known], np.arange(1, parts) / parts)
        return np.searchsorted(bounds, self.probability).astype(np.int64)


def view_of(corpus: Corpus, number: int) -> View:
    """One output. Of a number nothing is known that would be right or wrong."""
    known = corpus.labelled & (corpus.outputs != VALUES)
    if corpus.outputs == LABELS:
        label, predicted = corpus.applies[:, number], corpus.predicted[:, number]
    else:
        label, predicted = corpus.label == number, corpus.prediction == number
    return View(number, corpus.towards(number), known, known & label, predicted, corpus.probability[:, number])


def views(corpus: Corpus) -> Iterator[View]:
    """Each class that some labelled texts have and others have not.

    Two classes that exclude each other are two views of the same texts, with signs that are opposite.
    """
    every = (view_of(corpus, number) for number in range(corpus.probability.shape[1]))
    return (view for view in every if view.tells)


@dataclass(frozen=True)
class Words:
    """Words that are in enough texts, as sparse matrices [texts, words].

    Attributes:
        term: number of each among the corpus's terms, [words].
        present: 1 where it is in the text.
        share: sum of its attributions as a part of all |attribution| of the text.
        square: that squared; side: its sign.
        part: occurrences as a part of all words of the text.
    """

    term: Ints
    present: sparse.csr_matrix
    share: sparse.csr_matrix
    square: sparse.csr_matrix
    side: sparse.csr_matrix
    part: sparse.csr_matrix


def words_of(corpus: Corpus, least: int) -> Words:
    """Words in `least` texts or more."""
    is_word = corpus.size[corpus.entry_term] == 1
    count = corpus.entries.column("count").to_numpy()
    lengths = np.bincount(corpus.entry_text[is_word], weights=count[is_word], minlength=len(corpus))
    kept = (corpus.size == 1) & (corpus.documents >= least)
    chosen = np.flatnonzero(kept[corpus.entry_term])
    text = corpus.entry_text[chosen]
    column = (np.cumsum(kept) - 1).astype(np.int32)[corpus.entry_term[chosen]]
    begins = np.searchsorted(text, np.arange(len(corpus) + 1))
    share = corpus.entry_share()[chosen].astype(np.float64)

    def matrix(values: NDArray[np.floating]) -> sparse.csr_matrix:
        shape = (len(corpus), int(kept.sum()))
        return sparse.csr_matrix((values.astype(np.float64), column, begins), shape=shape)

    return Words(
        np.flatnonzero(kept),
        matrix(np.ones(len(chosen))),
        matrix(share),
        matrix(share**2),
        matrix(np.sign(share)),
        matrix(count[chosen] / lengths[text]),
    )


@dataclass(frozen=True)
class Leans:
    """What is known of each word towards one class, each [words].

    Attributes:
        texts: with the word in which the class is explained.
        lean: see the module; error: its standard error.
        towards: part of these texts in which it pushes towards the class.
        typical: what part it would have if every word of a text had the same.
        sizes, hits: labelled texts with the word, and those of them that have the class, [halves, words].
    """

    texts: Floats
    lean: Floats
    error: Floats
    towards: Floats
    typical: Floats
    sizes: Ints
    hits: Ints

    @property
    def rates(self) -> Floats:
        """Part of the texts with the word that have the class, [halves, words]."""
        return np.asarray(self.hits / np.maximum(self.sizes, 1))


def leans(words: Words, view: View, half: Bools) -> Leans:
    """Of all words; the first of the two halves is where `half` is not, [texts]."""
    explained = np.abs(view.sign).astype(np.float64)
    n = words.present.T @ explained
    lean = words.share.T @ view.sign.astype(np.float64) / np.maximum(n, 1)
    squares = words.square.T @ explained
    variance = np.maximum(squares - n * lean**2, 0) / np.maximum(n - 1, 1)
    sides = [view.known & ~half, view.known & half]
    return Leans(
        n,
        lean,
        np.sqrt(variance / np.maximum(n, 1)),
        (1 + words.side.T @ view.sign.astype(np.float64) / np.maximum(n, 1)) / 2,
        words.part.T @ explained / np.maximum(n, 1),
        np.rint([words.present.T @ side.astype(np.float64) for side in sides]).astype(np.int64),
        np.rint([words.present.T @ (side & view.label).astype(np.float64) for side in sides]).astype(np.int64),
    )


def like_words(x: Floats, y: Floats, weight: Floats, folds: Ints) -> Floats:
    """What words with such an x have of y at least: a rising fit less two standard errors, [words].

    Isotonic regression (Barlow et al. 1972) over groups of neighbours in x. The scatter among the words of a group says
    how far its mean is known, since two words of one lean may differ by much. A word is left out of its own fit with
    its tenth of the words. nan where there are too few words.
    """
    found = np.full(len(x), np.nan)
    for fold in range(_FOLDS):
        inside, others = folds == fold, np.flatnonzero((folds != fold) & (weight > 0))
        if len(others) >= 2 * _GROUP:
            at, value = _rising(x[others], y[others], weight[others])
            found[inside] = np.interp(x[inside], at, value)
    return found


def _rising(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Where the groups are, and the fit less two standard errors there, both [groups]."""
    order = np.argsort(x, kind="stable")
    group = np.minimum(np.arange(len(x)) // _GROUP, len(x) // _GROUP - 1)
    x, y, weight = x[order], y[order], weight[order]
    whole = np.bincount(group, weights=weight)
    mean = np.bincount(group, weights=weight * y) / whole
    spread = np.bincount(group, weights=(weight * (y - mean[group])) ** 2) * _GROUP / (_GROUP - 1)
    fit = optimize.isotonic_regression(mean, weights=whole)
    block = np.repeat(np.arange(len(fit.blocks) - 1), np.diff(fit.blocks))
    error = np.sqrt(np.bincount(block, weights=spread)) / np.bincount(block, weights=whole)
    return np.bincount(group, weights=x) / np.bincount(group), fit.x - 2 * error[block]


def folds_of(terms: list[str]) -> Ints:
    """One of ten parts for each word, by a hash of its spelling."""
    import zlib

    return np.fromiter((zlib.crc32(b"fold:" + term.encode()) % _FOLDS for term in terms), np.int64, len(terms))
