"""Which texts are nearly the same, without comparing all with all: MinHash (Broder 1997) and hashing of its bands.

A text joins the first text that it has enough words in common with, its leader, or becomes one itself. So a text that
occurs thousands of times is one group that costs as many comparisons, and all of a group are near to one of them; two
texts that are near to each other but joined different leaders are missed.
"""

from __future__ import annotations

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from ig_worker.insight.findings.bags import Bags

Ints = NDArray[np.int64]

NEAR = 0.8  # Jaccard's index from which on texts are nearly the same
# Of texts with that index 99.8% share a band and are compared, of those with 0.2 one in 750: 1 - (1 - s^6)^21.
_BANDS, _ROWS = 21, 6
_PERMUTATIONS = _BANDS * _ROWS
_DOUBT = 0.15  # four standard errors of an index that so many permutations estimate
_LOOKED_AT = 10  # leaders with which a text is compared, the most promising first


def leaders(bags: Bags) -> Ints:
    """The text that each text is nearly the same as, itself where there is none before it, [texts].

    Nearly the same: of the distinct words of both, at least `NEAR` are in both.
    """
    _, first, number = np.unique(bags.total, return_index=True, return_inverse=True)
    of_bag = first[number.reshape(-1)].astype(np.int64)  # equal bags need no sketch
    kept = np.sort(first[np.diff(bags.begins)[first] > 0])
    found = np.arange(len(bags.total))
    empty = MinHash(num_perm=_PERMUTATIONS, hashfunc=int)
    sketch = _sketches(bags, kept, empty)
    index = MinHashLSH(num_perm=_PERMUTATIONS, params=(_BANDS, _ROWS))
    for place in np.flatnonzero(_share_a_band(sketch)).tolist():
        one, text = empty.copy(), int(kept[place])
        one.hashvalues = sketch[place]
        near = np.array(sorted(index.query(one)), np.int64)
        best = _nearest(bags, text, kept[near], (sketch[near] == sketch[place]).mean(axis=1))
        found[text] = best
        if best == text:
            index.insert(place, one, check_duplication=False)
    return found[of_bag]


def _sketches(bags: Bags, texts: Ints, empty: MinHash) -> NDArray[np.uint32]:
    """Least hashes of the words of some texts under each permutation, [texts, permutations]."""
    found = np.empty((len(texts), _PERMUTATIONS), np.uint32)
    for place, text in enumerate(texts.tolist()):
        one = empty.copy()
        one.update_batch((bags.words(text) >> np.uint64(32)).tolist())
        found[place] = one.hashvalues
    return found


def _share_a_band(sketch: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which texts may be near to any other, [texts]: an index of all the others would take ten times the memory."""
    shared = np.zeros(len(sketch), bool)
    for band in range(_BANDS):
        rows = np.ascontiguousarray(sketch[:, band * _ROWS : (band + 1) * _ROWS])
        _, number, count = np.unique(
            rows.view(np.dtype((np.void, rows.itemsize * _ROWS))).reshape(-1), return_inverse=True, return_counts=True
        )
        shared |= count[number] > 1
    return shared


def _nearest(bags: Bags, text: int, near: Ints, estimate: NDArray[np.float64]) -> int:
    """Of the leaders `near` the one with most in common, or the text itself where none has enough."""
    order = np.argsort(-estimate, kind="stable")[:_LOOKED_AT]
    own, best, most = set(bags.words(text).tolist()), text, NEAR
    for leader in near[order[estimate[order] >= NEAR - _DOUBT]].tolist():
        theirs = set(bags.words(leader).tolist())
        common = len(own & theirs)
        index = common / (len(own) + len(theirs) - common)
        if index > most or (index == most and best == text):
            best, most = leader, index
    return best
