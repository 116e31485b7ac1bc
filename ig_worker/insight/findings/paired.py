"""The texts of two runs side by side, and the change of a share as a sum over kinds of them.

Let n texts be known in both runs, l in the earlier one only (they left), and c in the later one only (they came). Of
the n, something was true of a share p_before and is true of a share p_now; of those that left it was true of a share
q_left, of those that came it is true of a share q_came. Then the shares of all texts are

    before = p_before + l / (n + l) (q_left - p_before)
    now    = p_now    + c / (n + c) (q_came - p_now)

and as p_now - p_before = (gained - lost) / n, where it has become true of `gained` of the n and no longer is of `lost`,

    now - before = (gained - lost) / n  +  c / (n + c) (q_came - p_now)  -  l / (n + l) (q_left - p_before)

exactly: the texts themselves, those that came, and those that left. Where n is 0 both p count as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.schema import CLASSES, LABELS, VALUE, VALUES

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Texts, and those of which something is true."""

    texts: int
    true: int

    @property
    def share(self) -> float:
        return self.true / self.texts if self.texts else 0.0


@dataclass(frozen=True)
class ShareChange:
    """The change of a share; `flips`, `came` and `left` add up to `now` - `before`.

    Attributes:
        both, gained, lost, neither: texts known in both runs, by whether it was true and is.
        arrived, gone: texts known in the later run only, and in the earlier one only.
    """

    both: int
    gained: int
    lost: int
    neither: int
    arrived: Counts
    gone: Counts

    @property
    def pairs(self) -> int:
        return self.both + self.gained + self.lost + self.neither

    @property
    def pairs_before(self) -> Counts:
        return Counts(self.pairs, self.both + self.lost)

    @property
    def pairs_now(self) -> Counts:
        return Counts(self.pairs, self.both + self.gained)

    @property
    def all_before(self) -> Counts:
        return Counts(self.pairs + self.gone.texts, self.pairs_before.true + self.gone.true)

    @property
    def all_now(self) -> Counts:
        return Counts(self.pairs + self.arrived.texts, self.pairs_now.true + self.arrived.true)

    @property
    def before(self) -> float:
        return self.all_before.share

    @property
    def now(self) -> float:
        return self.all_now.share

    @property
    def flips(self) -> float:
        return (self.gained - self.lost) / max(self.pairs, 1)

    @property
    def came(self) -> float:
        return self.arrived.texts / max(self.all_now.texts, 1) * (self.arrived.share - self.pairs_now.share)

    @property
    def left(self) -> float:
        return -self.gone.texts / max(self.all_before.texts, 1) * (self.gone.share - self.pairs_before.share)


@dataclass(frozen=True)
class Paired:
    """Two runs of one kind of model; `here` and `there` are the numbers of a text in the later and in the earlier."""

    before: Corpus
    now: Corpus
    here: Ints  # [texts in both], rising
    there: Ints  # [texts in both]

    @cached_property
    def right(self) -> tuple[Bools, Bools]:
        """Whether what is said is right, False where nothing is known, [texts before] and [texts now].

        Of numbers: the error is not among the largest tenth of the earlier run, for both by the same limit.
        """
        if self.now.outputs != VALUES:
            return tuple(run.labelled & ~run.wrong for run in (self.before, self.now))  # type: ignore[return-value]
        known = self.before.error[self.before.labelled]
        limit = np.quantile(known, 0.9) if len(known) else np.inf
        return tuple(run.labelled & (run.error <= limit) for run in (self.before, self.now))  # type: ignore[return-value]

    @cached_property
    def labelled(self) -> Bools:
        """Of the texts in both: whether both runs know what is right, [texts in both]."""
        return np.asarray(self.before.labelled[self.there] & self.now.labelled[self.here])

    @cached_property
    def relabelled(self) -> Bools:
        """Of the texts in both: whether the data now say something else of it, [texts in both]."""
        if self.now.outputs == LABELS:
            other = (self.before.applies[self.there] != self.now.applies[self.here]).any(axis=1)
        else:
            name = VALUE if self.now.outputs == VALUES else "label"
            other = self.before.numbers(name)[self.there] != self.now.numbers(name)[self.here]
        return np.asarray(self.labelled & other)

    def outcome(self, was: bool, is_: bool) -> Bools:
        """Of the texts in both that are labelled in both: those that were right, or wrong, and are, [texts in both]."""
        before, now = self.right
        return np.asarray(self.labelled & (before[self.there] == was) & (now[self.here] == is_))

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the texts in both, [texts in both], as those of the later run's texts, 0 of others."""
        found = np.zeros(len(self.now), values.dtype)
        found[self.here] = values
        return found

    def accuracy(self) -> ShareChange:
        """Of the labelled texts: the share that is right."""
        return self.share(self.right, (self.before.labelled, self.now.labelled))

    def mix(self) -> list[ShareChange]:
        """Of all texts: the share of which each output is predicted, in their order; nothing of numbers."""
        if self.now.outputs == VALUES:
            return []
        was, is_ = said(self.before), said(self.now)
        everything = np.ones(len(was), bool), np.ones(len(is_), bool)
        return [self.share((was[:, k], is_[:, k]), everything) for k in range(is_.shape[1])]

    def share(self, true: tuple[Bools, Bools], known: tuple[Bools, Bools]) -> ShareChange:
        """The change of a share of the texts of which something is known.

        Args:
            true: of which texts it is true, [texts before] and [texts now].
            known: of which texts it counts, likewise.
        """
        pair = known[0][self.there] & known[1][self.here]
        was, is_ = true[0][self.there[pair]], true[1][self.here[pair]]
        gone, arrived = known[0].copy(), known[1].copy()
        gone[self.there[pair]], arrived[self.here[pair]] = False, False
        return ShareChange(
            int((was & is_).sum()),
            int((~was & is_).sum()),
            int((was & ~is_).sum()),
            int((~was & ~is_).sum()),
            Counts(int(arrived.sum()), int((arrived & true[1]).sum())),
            Counts(int(gone.sum()), int((gone & true[0]).sum())),
        )


def paired(before: Corpus, now: Corpus) -> Paired:
    """Two runs side by side, by id."""
    place = pc.index_in(now.texts.column("id"), value_set=before.texts.column("id").combine_chunks())
    there = np.asarray(pc.fill_null(place, -1).to_numpy(), np.int64)
    here = np.flatnonzero(there >= 0)
    return Paired(before, now, here, there[here])


def said(corpus: Corpus) -> Bools:
    """Whether each class, or label, is predicted, [texts, outputs]."""
    if corpus.outputs == CLASSES:
        return np.asarray(corpus.prediction[:, None] == np.arange(corpus.probability.shape[1]))
    return corpus.predicted
