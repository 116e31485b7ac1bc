"""What is explained: a row is expanded into problems, each one path with one scalar, and combined from what they give.

Engines integrate problems and know nothing of rows. A way to choose what is explained is written down here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ig_worker.explain.explanation import FLOOR, STATUS_FIXED, STATUS_LIMIT, Explanation, Float32, Int32
from ig_worker.explain.packing import stack, stack_texts
from ig_worker.explain.targets import Scalar, Target
from ig_worker.models.inputs import ModelInput


@dataclass(frozen=True)
class Problem:
    """One path with one scalar: ∫ (h − h') ∂F/∂h dα from the baseline to the text (Sundararajan et al. 2017)."""

    text: ModelInput
    baseline: Int32  # ids; all else that the network reads is the text's
    target: Target = field(default_factory=Target)
    weight: float = 1.0  # of its part in the row's explanation
    places: Int32 | None = None  # of its tokens among the row's, [tokens]; None: they are the row's

    @property
    def tokens(self) -> int:
        """How many the text has."""
        return len(self.text.ids)


class Engine(Protocol):
    """Explains problems; results come in their order.

    Problems that share their text and their baseline, as the same arrays, are one path with several targets: see
    `sharing`.
    """

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]: ...


def expand(paths: Sequence[Problem], target: Target) -> tuple[Problem, ...]:
    """The problems of one target of a row, from the paths of its text, whose own targets do not count.

    Those of several targets share their arrays, and so their forward passes.
    """
    return tuple(replace(path, target=target) for path in paths)


def combine(problems: Sequence[Problem], found: Sequence[Explanation], tokens: int | None = None) -> Explanation:
    """The explanation of a row and a target: the weighted sum of those of its problems.

    Integrated gradients are linear in the scalar, and so the averages over windows, or over baselines, are such sums,
    token by token of the row. The outputs are such a sum, too; the target is the first problem's. The error estimate
    is a bound: errors may add up.

    Args:
        problems: of one row and target.
        found: their explanations.
        tokens: of the row; None: as many as each problem has.
    """
    if len(problems) == 1 and problems[0].weight == 1.0 and problems[0].places is None:
        return found[0]
    weights = [problem.weight for problem in problems]

    def total(name: str) -> Any:
        return sum(weight * getattr(one, name) for weight, one in zip(weights, found, strict=True))

    def joined(name: str) -> Float32:
        values = [getattr(one, name) for one in found]
        sums = np.zeros((len(values[0]) if tokens is None else tokens, *values[0].shape[1:]))
        for problem, value in zip(problems, values, strict=True):
            if problem.places is None:
                sums += problem.weight * value
            else:
                np.add.at(sums, problem.places, problem.weight * value)
        return np.asarray(sums, np.float32)

    attributions = joined("attributions")
    errors = [one.error_estimate for one in found]
    size = max(float(np.abs(attributions).sum(dtype=np.float64)), FLOOR)
    scaled = [
        abs(weight) * error * max(float(np.abs(one.attributions).sum(dtype=np.float64)), FLOOR)
        for weight, error, one in zip(weights, errors, found, strict=True)
        if error is not None
    ]
    change = total("target_probability") - total("baseline_probability")
    return replace(
        found[0],
        probabilities=np.asarray(total("probabilities"), np.float32),
        target_probability=total("target_probability"),
        baseline_probability=total("baseline_probability"),
        attributions=attributions,
        delta=float(attributions.sum(dtype=np.float64) - change),
        error_estimate=sum(scaled) / size if len(scaled) == len(found) else None,
        evaluations=sum(one.evaluations for one in found),
        status=next((one.status for one in found if one.status == STATUS_LIMIT), found[0].status),
        hidden=None if found[0].hidden is None else joined("hidden"),
    )


def batch(problems: Sequence[Problem], rows: int, length: int) -> tuple[ModelInput, Int32]:
    """Texts and baselines as one batch each, arrays int32 [rows, length]; see `packing.stack`."""
    texts = stack_texts([problem.text for problem in problems], rows, length)
    return texts, stack([problem.baseline for problem in problems], rows, length)


def chosen(problems: Sequence[Problem], at_input: Float32) -> list[Scalar]:
    """The scalar that each problem explains, from the network's outputs at its text, [rows, classes].

    Raises:
        UsageError: a target asks for what the network does not have.
    """
    # Padding rows of a batch have no problem.
    return [problem.target.of(p) for problem, p in zip(problems, at_input, strict=False)]


def at_fixed_rule(
    problem: Problem, scalar: Scalar, at_input: Float32, at_baseline: Float32, sums: Any, evaluations: float
) -> Explanation:
    """The explanation of a problem that a fixed rule has integrated.

    Args:
        problem: what was asked.
        scalar: what that is of its text.
        at_input, at_baseline: the network's outputs at both ends, float32 [classes].
        sums: over the rule's nodes, [padded tokens], or [padded tokens, hidden] where that axis is kept.
        evaluations: that it has cost.
    """
    sums = sums[: problem.tokens]
    attributions = (sums.sum(axis=1) if sums.ndim == 2 else sums).astype(np.float32)
    f1, f0 = scalar.of(at_input), scalar.of(at_baseline)
    return Explanation(
        probabilities=at_input.astype(np.float32),
        target=scalar.target,
        contrast=scalar.contrast,
        target_probability=f1,
        baseline_probability=f0,
        attributions=attributions,
        delta=float(attributions.sum(dtype=np.float64) - (f1 - f0)),
        error_estimate=None,
        evaluations=evaluations,
        status=STATUS_FIXED,
        hidden=sums.astype(np.float32) if sums.ndim == 2 else None,
    )
