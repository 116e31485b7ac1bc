"""The search for groups of texts in which events are more frequent than elsewhere.

Sequential covering: the best group of up to three conditions is taken, its texts are left out, and the next one has to
hold of events that those before it do not. Three conditions are found by widening the best few groups of one, then of
two, so that of F conditions some (1 + 2 x beam) x F groups are looked at and not F^3. A condition more has to pay for
having been chosen among F: it raises z^2 by 2 ln F at least (the risk inflation criterion; Foster, George 1994).

The search looks at one half of the texts. What it comes up with is tested on the other half, where it is a handful of
groups that were fixed beforehand: so the p-values hold however much was tried here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ig_worker.insight.findings.significance import deviates

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MOST_CONDITIONS = 3
BEAM = 4
MOST_GROUPS = 20
_LEAST_Z = 2.0


@dataclass(frozen=True)
class Population:
    """Texts, events among them, and the strata within which an event might as well have struck any other."""

    texts: Bools  # [all texts]
    event: Bools  # [all texts]
    stratum: NDArray[np.int64]  # [all texts]

    @property
    def strata(self) -> int:
        return int(self.stratum.max(initial=0)) + 1

    def less(self, mask: Bools) -> Population:
        """All but some texts."""
        return Population(self.texts & ~mask, self.event, self.stratum)

    def counts(self, mask: Bools | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Texts and events in each stratum, [strata], of some texts or of all."""
        which = self.texts if mask is None else self.texts & mask
        sizes = np.bincount(self.stratum[which], minlength=self.strata)
        return sizes, np.bincount(self.stratum[which & self.event], minlength=self.strata)


Group = tuple[int, ...]  # numbers of conditions that all hold, rising


@dataclass(frozen=True)
class _Scored:
    group: Group
    mask: Bools
    z: float


def find_groups(
    holds: sparse.csr_matrix,
    population: Population,
    least: int,
    fits: Callable[[Group, int], bool] = lambda group, condition: True,
    most: int = MOST_GROUPS,
) -> list[Group]:
    """Groups with more events than the rest, in the order in which they are found.

    Args:
        holds: of which texts each condition holds, 1 or 0, float32 [texts, conditions].
        population: the texts that are looked at; it changes nothing of the others.
        least: texts of a group.
        fits: whether a condition may be added to a group.
        most: groups.
    """
    found: list[Group] = []
    while len(found) < most and population.texts.sum() >= 2 * least:
        best = _best(holds, population, least, fits)
        if best is None:
            break
        found.append(best.group)
        population = population.less(best.mask)
    return found


def _best(
    holds: sparse.csr_matrix, population: Population, least: int, fits: Callable[[Group, int], bool]
) -> _Scored | None:
    price = 2 * math.log(max(holds.shape[1], 2))
    whole = _Scored((), np.ones(holds.shape[0], bool), 0.0)
    beam, best = [whole], None
    for depth in range(MOST_CONDITIONS):
        wider = [new for old in beam for new in _widened(holds, population, old, least, fits, price if depth else 0.0)]
        beam, seen = [], set()
        for new in sorted(wider, key=lambda scored: (-scored.z, scored.group)):
            if new.group not in seen and len(beam) < BEAM:
                seen.add(new.group)
                beam.append(new)
        if not beam:
            break
        if best is None or beam[0].z ** 2 >= best.z**2 + price:
            best = beam[0]
    return best if best is not None and best.z > _LEAST_Z else None


def _widened(
    holds: sparse.csr_matrix,
    population: Population,
    old: _Scored,
    least: int,
    fits: Callable[[Group, int], bool],
    price: float,
) -> list[_Scored]:
    """The best groups of `old` and one condition more, of those that are worth it."""
    rows = np.flatnonzero(population.texts & old.mask)
    strata, event = population.strata, population.event[rows].astype(np.float32)
    onehot = np.zeros((len(rows), strata), np.float32)
    onehot[np.arange(len(rows)), population.stratum[rows]] = 1
    part = holds[rows]
    inside = np.asarray(part.T @ onehot, np.float64)  # [conditions, strata]
    hits = np.asarray(part.T @ event, np.float64)
    sizes, events = population.counts()
    z, _ = deviates(hits, inside, events.astype(np.float64), sizes.astype(np.float64))
    texts = inside.sum(axis=1)
    z[(texts < least) | (texts > population.texts.sum() - least) | (z**2 < old.z**2 + price)] = 0.0
    found: list[_Scored] = []
    for number in np.argsort(-z, kind="stable").tolist():
        if len(found) == BEAM or z[number] <= 0:
            break
        if number not in old.group and fits(old.group, number):
            mask = old.mask & (np.asarray(holds[:, [number]].toarray()).reshape(-1) > 0)
            found.append(_Scored(tuple(sorted((*old.group, number))), mask, float(z[number])))
    return found
