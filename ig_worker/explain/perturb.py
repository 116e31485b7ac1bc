"""Taking tokens out of a text in the order of a ranking, and what that says of the ranking. Pure numpy.

F is the probability of the explained class, x a text with n ordinary tokens, r a ranking of these, the strongest
first. Special tokens are never touched. Two curves over the number k of tokens that were taken:

    D(k) = F(x without the first k tokens of r)     deletion:  D(0) = F(x), D(n) = F(x without ordinary tokens)
    I(k) = F(x with only the first k tokens of r)   insertion: I(0) = D(n), I(n) = F(x)

Everything is read off them, for fractions q with k(q) = q·n, rounded half up and at least 1:

    comprehensiveness(q) = F(x) − D(k(q))   high where the tokens ranked first were needed
    sufficiency(q)       = F(x) − I(k(q))   low where they are enough    (DeYoung et al. 2020, arXiv:1911.03429)
    …_aopc               = mean of these over all q                      (Samek et al. 2017, arXiv:1509.06321)
    deletion_auc         = ∫₀¹ D(u n) du    low where they were needed
    insertion_auc        = ∫₀¹ I(u n) du    high where they are enough   (Petsiuk et al. 2018, arXiv:1806.07421)

The mean is over the fractions alone, as in the code of DeYoung et al.: Samek et al. also count k = 0, whose term is 0
for comprehensiveness. The integrals are trapezoids between equidistant u, each moved to the next whole token.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ig_worker.errors import UsageError
from ig_worker.explain.baselines import SpecialIds
from ig_worker.explain.explanation import Int32
from ig_worker.models.inputs import ModelInput

REPLACEMENTS = ("mask", "pad", "delete")
Positions = npt.NDArray[np.int64]  # of tokens within a text
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Eraser:
    """Takes tokens out of texts.

    Args:
        kind: ``mask`` and ``pad`` put [MASK] or [PAD] in a token's place; ``delete`` closes the gap.
        special: the tokenizer's special tokens.
        keep_length: a text that got shorter is padded as style ``plain`` pads, for networks that read every position.

    Raises:
        UsageError: the tokenizer has no such token.
    """

    kind: str
    special: SpecialIds
    keep_length: bool = False

    def __post_init__(self) -> None:
        if self.kind != "delete" and self._token is None:
            raise UsageError(
                f"--replace is {self.kind!r}, and the model's tokenizer has no such token",
                expected="another replacement",
            )

    @property
    def _token(self) -> int | None:
        return {"mask": self.special.mask, "pad": self.special.pad}.get(self.kind)

    def ordinary(self, ids: Int32) -> Positions:
        """Positions of the tokens that may be taken: all but the special ones, as for baselines."""
        return np.flatnonzero(~np.isin(ids, np.fromiter(self.special.special, np.int32)))

    def without(self, text: ModelInput, taken: Positions) -> ModelInput:
        """The text without the tokens at these positions."""
        if self.kind != "delete":
            ids = text.ids.copy()
            ids[taken] = self._token
            return text._replace(ids=ids)
        ids, mask, types = (np.delete(field, taken) for field in (text.ids, text.mask, text.types))
        if self.keep_length:
            behind = (0, len(text.ids) - len(ids))
            ids, mask = np.pad(ids, behind, constant_values=self.special.pad or 0), np.pad(mask, behind)
            types = np.pad(types, behind)
        return ModelInput(ids, mask, types, text.positions[: len(ids)])


def ranked(scores: npt.ArrayLike, positions: Positions) -> Positions:
    """`positions` by their scores, [tokens], the highest first; ties by position."""
    return positions[np.argsort(-np.asarray(scores, np.float64)[positions], kind="stable")]


def shuffled(id: str, positions: Positions) -> Positions:
    """`positions` in an order drawn from the row's id, always the same."""
    # Not the bytes of the digest by which rows are chosen: those are small for every chosen row.
    seed = int.from_bytes(hashlib.sha256(id.encode()).digest()[8:16], "big")
    return positions[np.argsort(np.random.default_rng(seed).random(len(positions)), kind="stable")]


@dataclass(frozen=True)
class Curves:
    """D and I of one ranking of one text with n ≥ 1 ordinary tokens."""

    counts: npt.NDArray[np.int64]  # [points], ascending from 0 to n
    deletion: Float64  # [points]
    insertion: Float64  # [points]


@dataclass(frozen=True)
class Grid:
    """Where the curves are computed.

    Args:
        fractions: of the ordinary tokens, for comprehensiveness and sufficiency, each above 0 and at most 1.
        steps: equal parts of the range from 0 to 1 over which the curves are integrated.
    """

    fractions: tuple[float, ...]
    steps: int

    def counts(self, n: int) -> npt.NDArray[np.int64]:
        """Every number of tokens of a text with n that is needed, ascending from 0 to n."""
        return np.unique(np.concatenate([self._tops(n), self._nodes(n)]))

    def _tops(self, n: int) -> npt.NDArray[np.int64]:
        return np.array([min(n, max(1, math.floor(q * n + 0.5))) for q in self.fractions], np.int64)

    def _nodes(self, n: int) -> npt.NDArray[np.int64]:
        return (2 * n * np.arange(self.steps + 1) + self.steps) // (2 * self.steps)  # rounded half up

    @property
    def names(self) -> list[tuple[str, float | None]]:
        """Metric and fraction of each number that `measure` gives; the AOPC and the areas belong to no fraction."""
        at_steps = [step / self.steps for step in range(self.steps + 1)]
        return [
            *(("comprehensiveness", q) for q in self.fractions),
            *(("sufficiency", q) for q in self.fractions),
            *((name, None) for name in ("comprehensiveness_aopc", "sufficiency_aopc", "deletion_auc", "insertion_auc")),
            *(("deletion", u) for u in at_steps),
            *(("insertion", u) for u in at_steps),
        ]

    def measure(self, curves: Curves) -> Float64:
        """What the curves say of their ranking, in the order of `names`."""
        n = int(curves.counts[-1])
        tops, nodes = (np.searchsorted(curves.counts, wanted) for wanted in (self._tops(n), self._nodes(n)))
        whole = curves.deletion[0]
        comprehensiveness, sufficiency = whole - curves.deletion[tops], whole - curves.insertion[tops]
        deletion, insertion = curves.deletion[nodes], curves.insertion[nodes]
        areas = [_area(curve, curves.counts[nodes] / n) for curve in (deletion, insertion)]
        means = [comprehensiveness.mean(), sufficiency.mean()]
        return np.concatenate([comprehensiveness, sufficiency, means, areas, deletion, insertion])


def _area(y: Float64, x: Float64) -> np.float64:
    """The area under y over x by trapezoids; NumPy's own function for it changed its name with version 2."""
    return (np.diff(x) * (y[1:] + y[:-1]) / 2).sum()
