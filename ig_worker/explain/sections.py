"""Parts of paths that are to be integrated, and what their integration gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ig_worker.explain.explanation import Float32


@dataclass(frozen=True)
class Section:
    """A part of a path, to be integrated with the rule of its batch, for one target or for several."""

    row: int  # of the text within its group
    weights: Float32  # [targets, classes] of the scalars; see `targets.Scalar.weights`
    low: float
    high: float
    at_low: Float32  # z there, [units]
    at_high: Float32


@dataclass(frozen=True)
class Integrated:
    """What one batch of sections, with equally many targets, gives. The first axes are the target and the section."""

    contributions: Float32  # [targets, sections, n, tokens]
    strengths: Float32  # [targets, sections, n]
    signed: Float32  # [targets, sections, TERMS]; see product.error_series
    absolute: Float32
    halved: Float32  # [targets, sections, n]
    hidden: Float32 | None  # [targets, sections, tokens, hidden]
    cost: float  # evaluations of each target of each section

    @classmethod
    def joined(cls, parts: Sequence[Integrated]) -> Integrated:
        """One batch out of several at equal cost."""
        names = ["contributions", "strengths", "signed", "absolute", "halved"]
        names += [] if parts[0].hidden is None else ["hidden"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names}
        return replace(parts[0], **arrays)
