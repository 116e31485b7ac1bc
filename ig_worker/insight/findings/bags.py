"""Texts as bags of words, by hashes that are the same in every process: equal bags are equal numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.schema import LABELS

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Bags:
    """Words of each text and how often, in no order.

    Attributes:
        word: hash of each word of each text, by text, [words of texts].
        begins: where each text begins there, [texts + 1].
        length: words of each text, repeated ones counted again, [texts].
        total: sum of the hashes of all words of a text, modulo 2^64, [texts]: equal where the bags are. So the hash of
            a bag with a word left out is a subtraction.
        label, prediction: codes, equal where they are, [texts]; label is -1 where it is not known.
    """

    word: Hashes
    begins: Ints
    length: Ints
    total: Hashes
    label: Ints
    prediction: Ints

    def words(self, text: int) -> Hashes:
        """Hashes of the distinct words of a text."""
        return self.word[self.begins[text] : self.begins[text + 1]]


def bags_of(corpus: Corpus) -> Bags:
    """The bags of all texts; texts may be classified, by one class or by several labels."""
    single = corpus.size[corpus.entry_term] == 1
    term, text = corpus.entry_term[single], corpus.entry_text[single]
    count = corpus.entries.column("count").to_numpy()[single].astype(np.int64)
    word = _hashes(corpus)[term]
    begins = np.searchsorted(text, np.arange(len(corpus) + 1)).astype(np.int64)
    sums = np.append(np.uint64(0), np.cumsum(word * count.astype(np.uint64), dtype=np.uint64))
    counts = np.append(0, np.cumsum(count))
    length = counts[begins[1:]] - counts[begins[:-1]]
    return Bags(word, begins, length, sums[begins[1:]] - sums[begins[:-1]], *_codes(corpus))


def _hashes(corpus: Corpus) -> Hashes:
    """A hash of each term that is one word, uint64 [terms]."""
    found = np.zeros(len(corpus.terms), np.uint64)
    words = np.flatnonzero(corpus.size == 1)
    names = corpus.terms.take(pa.array(words)).to_pylist()
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    found[words] = np.frombuffer(digests, "<u8")
    return found


def _codes(corpus: Corpus) -> tuple[Ints, Ints]:
    if corpus.outputs == LABELS:
        both = np.concatenate([corpus.applies, corpus.predicted])
        _, code = np.unique(both, axis=0, return_inverse=True)
        label, prediction = np.split(code.reshape(-1).astype(np.int64), 2)
    else:
        label, prediction = np.nan_to_num(corpus.label, nan=-1).astype(np.int64), corpus.prediction
    return np.where(corpus.labelled, label, -1), prediction
