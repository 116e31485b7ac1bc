"""The attribution of a word where a phrase ends in it, and where the word stands otherwise.

Everything is by text: a text has the mean over the occurrences in it, as a part of all its |attribution|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ig_worker.insight.findings.corpus import Corpus

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Whole = NDArray[np.int64] | NDArray[np.int32]


@dataclass(frozen=True)
class Occurrences:
    """Entries of words or of phrases, each [entries]: text, number of the term, and push of an occurrence, float32."""

    text: Whole
    number: Whole
    push: NDArray[np.float32]

    def of(self, which: Bools) -> Occurrences:
        """Some of the entries."""
        return Occurrences(self.text[which], self.number[which], self.push[which])


@dataclass(frozen=True)
class Phrases:
    """Phrases, and their last words in the same texts.

    Attributes:
        term: number of each phrase among the corpus's terms, [phrases].
        word: number of its last word among the terms, [phrases].
        words: all words, by number of the term.
        whole: the phrases, by number among `term`; so are the others.
        last: the last word in the phrase, one of `whole` each.
        here: the last word wherever it is in a text with the phrase, one of `whole` each.
        beside: the last word outside of the phrase in a text with the phrase, where there is such a one.
        typical: what each word of the text would carry if all had the same, float32, one of `whole` each.
    """

    term: Ints
    word: Ints
    words: Occurrences
    whole: Occurrences
    last: Occurrences
    here: Occurrences
    beside: Occurrences
    typical: NDArray[np.float32]


def phrases_of(corpus: Corpus, least: int) -> Phrases:
    """Phrases in `least` texts or more whose last word is in as many texts without them."""
    term, word = _chosen(corpus, least)
    number = np.full(len(corpus.terms), -1, np.int64)
    number[term] = np.arange(len(term))
    phrase = number[corpus.entry_term]
    entry = np.flatnonzero(phrase >= 0)
    phrase, text = phrase[entry], corpus.entry_text
    keys = text.astype(np.int64) * len(corpus.terms) + corpus.entry_term  # rising
    match = np.searchsorted(keys, text[entry].astype(np.int64) * len(corpus.terms) + word[phrase])
    words = np.flatnonzero(corpus.size[corpus.entry_term] == 1)
    count = corpus.entries.column("count").to_numpy()
    push, last = corpus.entry_share("push"), corpus.entry_share("last")[entry]
    more = count[match] - count[entry]
    rest = np.where(more > 0, (push[match] - last) / np.maximum(more, 1), 0).astype(np.float32)

    def each(values: NDArray[np.floating], counts: NDArray[np.integer]) -> Occurrences:
        return Occurrences(text[entry], phrase, (values / counts).astype(np.float32))

    length = np.bincount(text[words], weights=count[words], minlength=len(corpus))
    return Phrases(
        term,
        word,
        Occurrences(text[words], corpus.entry_term[words], (push[words] / count[words]).astype(np.float32)),
        each(push[entry], count[entry]),
        each(last, count[entry]),
        each(push[match], count[match]),
        Occurrences(text[entry], phrase, rest).of(more > 0),
        (1 / length[text[entry]]).astype(np.float32),  # a text with a phrase has words, others may have none
    )


def _chosen(corpus: Corpus, least: int) -> tuple[Ints, Ints]:
    """Numbers of the phrases' terms, and of their last words'."""
    terms, size, documents = corpus.terms.to_pylist(), corpus.size, corpus.documents
    words = {terms[number]: number for number in np.flatnonzero(size == 1).tolist()}
    term = np.flatnonzero((size > 1) & (documents >= least))
    word = np.array([words.get(terms[number].rpartition(" ")[2], -1) for number in term.tolist()], np.int64)
    kept = (word >= 0) & (documents[word] - documents[term] >= least)
    return term[kept], word[kept]


@dataclass(frozen=True)
class Sample:
    """How many texts, and mean and variance over them, each [phrases]."""

    n: Floats
    mean: Floats
    variance: Floats

    @property
    def error(self) -> Floats:
        """Standard error of the mean."""
        return np.asarray(np.sqrt(self.variance / np.maximum(self.n, 1)))

    def beyond_zero(self, side: Floats) -> Floats:
        """Chance of such a mean on one side (+1 or -1) were the true one 0, by Student's t."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = side * self.mean / self.error
        return np.asarray(stats.t.sf(np.nan_to_num(t), np.maximum(self.n - 1, 1)))


@dataclass(frozen=True)
class Pushes:
    """Of each phrase: its last word in it, the word elsewhere, and all the phrase.

    `typical` is what an average word of the texts with the phrase carries.
    """

    inside: Sample
    elsewhere: Sample
    whole: Sample
    typical: Floats


def pushes(phrases: Phrases, sign: NDArray[np.float32]) -> Pushes:
    """Over the texts where `sign`, the sign with which attributions are read, is not 0; [texts]."""
    size = len(phrases.term)
    all_words = _sums(phrases.words, sign, int(phrases.word.max(initial=-1)) + 1)
    inside, here, beside, whole = (
        _sums(found, sign, size) for found in (phrases.last, phrases.here, phrases.beside, phrases.whole)
    )
    elsewhere = all_words[:, phrases.word] - here + beside
    seen = (sign != 0)[phrases.whole.text]
    typical = np.bincount(phrases.whole.number[seen], weights=phrases.typical[seen], minlength=size)
    return Pushes(_sample(inside), _sample(elsewhere), _sample(whole), typical / np.maximum(inside[0], 1))


def _sums(found: Occurrences, sign: NDArray[np.float32], size: int) -> Floats:
    """Count, sum and sum of squares of the pushes of each number below `size`, float64 [3, size]."""
    kept = (sign != 0)[found.text] & (found.number < size)
    number, push = found.number[kept], (found.push[kept] * sign[found.text[kept]]).astype(np.float64)
    weights = (None, push, push**2)
    return np.stack([np.bincount(number, weights=w, minlength=size).astype(np.float64) for w in weights])


def _sample(sums: Floats) -> Sample:
    n, total, squares = sums
    mean = total / np.maximum(n, 1)
    return Sample(n, mean, np.maximum(squares - n * mean**2, 0) / np.maximum(n - 1, 1))


def welch(a: Sample, b: Sample) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean of a less mean of b, its 95% interval, and the chance of one as large were there none (Welch 1947).

    Returns:
        Difference, low, high, two-sided p, each [phrases].
    """
    va, vb = a.variance / np.maximum(a.n, 1), b.variance / np.maximum(b.n, 1)
    error = np.sqrt(va + vb)
    parts = va**2 / np.maximum(a.n - 1, 1) + vb**2 / np.maximum(b.n - 1, 1)
    freedom = np.where(parts > 0, (va + vb) ** 2 / np.where(parts > 0, parts, 1), 1.0)
    difference = a.mean - b.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(np.abs(difference) / error)
    half = stats.t.ppf(0.975, freedom) * error
    return difference, difference - half, difference + half, 2 * stats.t.sf(t, freedom)
