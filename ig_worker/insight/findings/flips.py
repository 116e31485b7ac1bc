"""Texts that differ in one or two words, and of which a model says different things.

Short ones have too few words for `near_duplicates`. But two bags of words that differ in one word are equal when that
word is left out, and the hash of a bag without a word is one subtraction (`Bags.total`). So all pairs that differ in
one word are found, however long, and in texts of few words all that differ in two different ones; texts of 18 words or
more with two such words are near duplicates anyway, those between are missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ig_worker.insight.findings.bags import Bags
from ig_worker.insight.findings.word_order import in_common
from ig_worker.insight.findings.words_of import WordsOf

Ints = NDArray[np.int64]

MOST_CHANGED = 2
_STAY = 2  # words that the texts have in common, for each that changes
_SHORT = 12  # distinct words up to which two are left out at a time: 66 bags; beyond, near duplicates are looked at
_PARTNERS = 3  # with which a text is compared


@dataclass(frozen=True)
class Flip:
    """Two texts and the words that make the difference.

    Attributes:
        one, other: texts as numbers in the corpus.
        without, instead: words that only `one` has, and those that only `other` has.
    """

    one: int
    other: int
    without: tuple[str, ...]
    instead: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        return frozenset((*self.without, *self.instead))

    def across(self, word: str) -> frozenset[str]:
        """The words that only the other text has, of `words`."""
        return frozenset(self.instead if word in self.without else self.without)

    @property
    def changed(self) -> int:
        return max(len(self.without), len(self.instead))


def flips(bags: Bags, leader: Ints, words_of: WordsOf) -> list[Flip]:
    """Pairs of which not both are known to be right, the fewest changed words first.

    Texts of the same words, label and prediction count once, as the first of them.

    Args:
        leader: see `near_duplicates.leaders`.
    """
    same = np.stack([bags.total.view(np.int64), bags.label, bags.prediction], axis=1)
    once = np.sort(np.unique(same, axis=0, return_index=True)[1])
    near = np.stack([once, leader[once]], axis=1)
    pairs = np.concatenate([_sharing(bags, once), np.insert(near, 2, MOST_CHANGED, axis=1)])
    pairs = _first_partners(pairs[_contradict(bags, pairs[:, 0], pairs[:, 1])])
    texts = np.unique(pairs[:, :2])
    words = dict(zip(texts.tolist(), words_of(texts.tolist()), strict=True)) if len(texts) else {}
    both = sorted({(min(a, b), max(a, b)) for a, b, _ in pairs.tolist()})
    found = [flip for a, b in both if (flip := _flip(a, b, words[a], words[b])) is not None]
    simple = {text for flip in found if flip.changed == 1 for text in (flip.one, flip.other)}
    kept = [flip for flip in found if flip.changed == 1 or not {flip.one, flip.other} <= simple]
    return sorted(kept, key=lambda flip: (flip.changed, flip.one, flip.other))


def _contradict(bags: Bags, one: Ints, other: Ints) -> NDArray[np.bool_]:
    """Whether what is said of two texts differs, and is not known to be right of both."""
    right = bags.label == bags.prediction
    return (bags.prediction[one] != bags.prediction[other]) & ~(right[one] & right[other])


def _sharing(bags: Bags, texts: Ints) -> Ints:
    """Texts whose bags are equal without some words, and something else is said: (text, other, left out), [pairs, 3].

    Of a bag that many texts share, each is paired with one that is predicted as something else, and rightly if can be.
    """
    key, text, left = (np.concatenate(parts) for parts in zip(*_left_out(bags, texts), strict=True))
    order = np.argsort(key, kind="stable")
    fresh = _changes(key[order])
    order = order[~fresh | ~np.append(fresh[1:], True)]  # those of bags that several texts share
    key, text, left = key[order], text[order], left[order]
    order = np.lexsort((text, bags.label[text] != bags.prediction[text], bags.prediction[text], key))
    key, text, left = key[order], text[order], left[order]
    begins = _changes(key)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(key)), 0))  # of the same bag
    turns = np.flatnonzero(_changes(bags.prediction[text]) & ~begins)
    second = np.append(turns, -1)[np.searchsorted(turns, first)]  # the first of the next prediction
    second = np.where((second >= 0) & (key[second] == key), second, first)
    partner = np.where(bags.prediction[text] == bags.prediction[text[first]], second, first)
    return np.stack([text, text[partner], np.maximum(left, left[partner])], axis=1)


def _changes(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether a value is another than the one before it."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _left_out(bags: Bags, texts: Ints) -> list[tuple[NDArray[np.uint64], Ints, Ints]]:
    """Hashes of the bags of some texts without none, one or two of their words, whose they are, and how many."""
    found = [(bags.total[texts], texts, np.zeros(len(texts), np.int64))]
    distinct = np.diff(bags.begins)[texts]
    for words in np.unique(distinct).tolist():
        own = texts[(distinct == words) & (bags.length[texts] > _STAY)]
        word = bags.word[bags.begins[own][:, None] + np.arange(words)]  # [texts, words]
        found.append(_keys(bags, own, word, 1))
        if words <= _SHORT:
            longer = bags.length[own] >= (_STAY + 1) * MOST_CHANGED
            a, b = np.triu_indices(words, 1)
            found.append(_keys(bags, own[longer], word[longer][:, a] + word[longer][:, b], 2))
    return found


def _keys(bags: Bags, texts: Ints, out: NDArray[np.uint64], left: int) -> tuple[NDArray[np.uint64], Ints, Ints]:
    key = (bags.total[texts][:, None] - out).reshape(-1)
    return key, np.repeat(texts, out.shape[1]), np.full(len(key), left, np.int64)


def _first_partners(pairs: Ints) -> Ints:
    """Of each text the pairs with the fewest words left out, `_PARTNERS` at most."""
    pairs = np.unique(pairs[:, [0, 2, 1]], axis=0)
    _, at = np.unique(pairs[:, [0, 2]], axis=0, return_index=True)
    pairs = pairs[np.sort(at)]
    begin = np.searchsorted(pairs[:, 0], pairs[:, 0])
    return pairs[np.arange(len(pairs)) - begin < _PARTNERS][:, [0, 2, 1]]


def _flip(a: int, b: int, one: Sequence[str], other: Sequence[str]) -> Flip | None:
    """The pair, where so few words differ, in the order in which they stand."""
    common = in_common(one, other)
    changed = max(len(one), len(other)) - common
    without, instead = Counter(one) - Counter(other), Counter(other) - Counter(one)
    if not 0 < changed <= MOST_CHANGED or common < _STAY * changed or not without + instead:
        return None
    return Flip(a, b, tuple(sorted(without.elements())), tuple(sorted(instead.elements())))
