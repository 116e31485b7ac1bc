"""Which hashes have been seen before, in 16 bytes each: a Python set takes five times as much."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

HASH_BYTES = 16
_RECENT = 1 << 16  # hashes in the set, before they become sorted arrays
_LARGEST = 1 << 22  # hashes in arrays that still grow: merging two takes room for both once more

_Sorted = tuple[np.ndarray, np.ndarray]  # uint64 [n] each: first halves of hashes, in order, and second halves


class Seen:
    """A growing set of hashes: the latest in a Python set, all others in sorted arrays whose sizes double.

    Args:
        recent: how many the set may hold.
        largest: how many a pair of arrays may hold.
    """

    def __init__(self, recent: int = _RECENT, largest: int = _LARGEST) -> None:
        self._recent: set[bytes] = set()
        self._sorted: list[_Sorted] = []  # the largest first
        self._most, self._largest = recent, largest

    def add(self, hashes: Sequence[bytes]) -> set[int]:
        """Positions in `hashes`, of `HASH_BYTES` bytes each, of those that came before, here or in an earlier call."""
        repeated = set()
        for position, key in enumerate(hashes):
            if key in self._recent:
                repeated.add(position)
            self._recent.add(key)
        halves = _halves(hashes)
        for known in self._sorted:
            repeated |= _found(halves, known)
        if len(self._recent) >= self._most:
            self._settle()
        return repeated

    def _settle(self) -> None:
        first, second = _halves([*self._recent])
        self._recent = set()
        while self._sorted and len(self._sorted[-1][0]) <= len(first) and 2 * len(first) <= self._largest:
            other = self._sorted.pop()
            first, second = np.concatenate([other[0], first]), np.concatenate([other[1], second])
        order = np.argsort(first, kind="stable")
        self._sorted.append((first[order], second[order]))


def _halves(hashes: Sequence[bytes]) -> _Sorted:
    both = np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _found(halves: _Sorted, known: _Sorted) -> set[int]:
    """Positions of the hashes that are known."""
    (first, second), (all_first, all_second) = halves, known
    places = np.searchsorted(all_first, first)
    alike = np.flatnonzero(all_first[np.minimum(places, len(all_first) - 1)] == first)
    ends = np.searchsorted(all_first, first[alike], side="right")
    pairs = zip(alike.tolist(), places[alike], ends, strict=True)
    return {position for position, start, end in pairs if (all_second[start:end] == second[position]).any()}
