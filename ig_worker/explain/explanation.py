"""What comes out of an engine, and how far two of them are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]

FLOOR = 0.01  # of attributions' L1 norm: saturated texts, whose attributions are all near 0, do not count as wrong
STATUS_FIXED, STATUS_CONVERGED, STATUS_LIMIT = "fixed", "converged", "evaluation_limit"


@dataclass(frozen=True)
class Explanation:
    """Integrated gradients of one problem, or of a row, whose problems are combined."""

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
        tokens: int,
        target: int,
        at_input: Float32,
        ends: tuple[float, float],
        sums: npt.NDArray[np.floating],
        nodes: int,
    ) -> Explanation:
        """From class probabilities at the input, [classes], F at input and baseline, and sums over a rule's nodes.

        `tokens` is the text's length. `sums` is [padded tokens], or [padded tokens, hidden] where that axis is kept.
        """
        sums = sums[:tokens]
        attributions = (sums.sum(axis=1) if sums.ndim == 2 else sums).astype(np.float32)
        f1, f0 = ends
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


def relative_l1(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Relative L1 difference of `a` against `b`: ‖a − b‖₁ / max(‖b‖₁, FLOOR)."""
    a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a64 - b64).sum() / max(np.abs(b64).sum(), FLOOR))
