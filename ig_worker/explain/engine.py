"""What goes into an engine and what comes out of it; both engines keep to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]

STATUS_FIXED, STATUS_CONVERGED, STATUS_LIMIT = "fixed", "converged", "evaluation_limit"


@dataclass(frozen=True)
class Document:
    """One tokenized text with its baseline. Arrays are int32 [tokens]."""

    input_ids: Int32
    baseline_ids: Int32
    attention_mask: Int32
    target: int | None  # class whose probability is explained; None is the predicted one


@dataclass(frozen=True)
class Explanation:
    """Integrated gradients of one document."""

    probabilities: Float32  # [classes], at the input
    target: int
    target_probability: float  # F(x)
    baseline_probability: float  # F(x')
    attributions: Float32  # [tokens]
    delta: float  # sum of attributions - (F(x) - F(x')), alibi's sign
    error_estimate: float | None  # relative L1 error of the attributions; None for fixed rules
    evaluations: float  # forward and gradient 1, forward alone 0.5
    status: str
    hidden: Float32 | None = None  # [tokens, hidden], only where it was asked for; sums to the attributions

    @property
    def prediction(self) -> int:
        return int(self.probabilities.argmax())

    @classmethod
    def at_fixed_rule(
        cls,
        document: Document,
        target: int,
        at_input: Float32,
        at_baseline: Float32,
        sums: npt.NDArray[np.floating],
        nodes: int,
    ) -> Explanation:
        """From class probabilities at both ends, [classes], and the sums over a rule's nodes.

        `sums` is [padded tokens], or [padded tokens, hidden] where the hidden axis is to be kept.
        """
        sums = sums[: len(document.input_ids)]
        attributions = (sums.sum(axis=1) if sums.ndim == 2 else sums).astype(np.float32)
        f1, f0 = float(at_input[target]), float(at_baseline[target])
        return cls(
            probabilities=at_input.astype(np.float32),
            target=target,
            target_probability=f1,
            baseline_probability=f0,
            attributions=attributions,
            delta=float(attributions.sum(dtype=np.float64) - (f1 - f0)),
            error_estimate=None,
            evaluations=nodes + 1.0,  # the two ends are forward passes alone
            status=STATUS_FIXED,
            hidden=sums.astype(np.float32) if sums.ndim == 2 else None,
        )

    def finite(self) -> bool:
        """Whether every number is one."""
        return bool(
            np.isfinite(self.attributions).all()
            and np.isfinite(self.probabilities).all()
            and np.isfinite(self.baseline_probability)
        )


class Engine(Protocol):
    """Explains documents; results come in their order."""

    def explain(self, documents: Sequence[Document]) -> list[Explanation]: ...


def choose_targets(documents: Sequence[Document], at_input: Float32) -> Int32:
    """The class that is explained, int32 [documents]: the document's own, or the predicted one."""
    pairs = zip(documents, at_input, strict=False)  # padding rows of the batch have no document
    return np.array([p.argmax() if d.target is None else d.target for d, p in pairs], np.int32)


def relative_l1(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Relative L1 difference of `a` against `b`: ‖a − b‖₁ / max(‖b‖₁, 0.01).

    The floor keeps saturated texts, whose attributions are all near 0, from counting as wrong.
    """
    a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a64 - b64).sum() / max(np.abs(b64).sum(), 0.01))
