"""What is explained: a row is expanded into problems, each one path with one scalar, and combined from what they give.

Engines integrate problems and know nothing of rows. A way to choose what is explained is written down here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from ig_worker.errors import RowError, UsageError
from ig_worker.explain.explanation import FLOOR, STATUS_FIXED, STATUS_LIMIT, Explanation, Float32, Int32
from ig_worker.explain.packing import stack, stack_texts
from ig_worker.explain.targets import Scalar, Target
from ig_worker.models.inputs import ModelInput

_SHOWN = 5  # class names in a message


@dataclass(frozen=True)
class Problem:
    """One path with one scalar: ∫ (h − h') ∂F/∂h dα from the baseline to the text (Sundararajan et al. 2017)."""

    text: ModelInput
    baseline: Int32  # ids; all else that the network reads is the text's
    target: Target = field(default_factory=Target)
    weight: float = 1.0  # of its part in the row's explanation

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


def read_target(setting: str, names: Sequence[str]) -> str | int:
    """What `--target` means for a network: ``predicted``, ``label``, or the number of a class.

    Args:
        setting: one of the two, or a class by its number or else by its name, in any case.
        names: of the network's classes, by number.

    Raises:
        UsageError: it is none of these, or the number of a class that the network does not have.
    """
    if setting in ("predicted", "label"):
        return setting
    if setting.isdecimal() and len(setting) < 10 and int(setting) < len(names):
        return int(setting)
    lowered = [name.casefold() for name in names]
    if setting in names:
        return names.index(setting)
    if lowered.count(setting.casefold()) == 1:
        return lowered.index(setting.casefold())
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    raise UsageError(
        f"--target is {setting!r}",
        expected=f"predicted, label, or one of the model's classes: 0 to {len(names) - 1}, or its name ({shown})",
    )


def choose_target(setting: str | int, label: int | None, classes: int) -> Target:
    """The target of a row.

    Args:
        setting: what `read_target` gives.
        label: the row's, None where it has none.
        classes: of the network.

    Raises:
        RowError: the target is the label, and the row has none that the model knows.
    """
    if isinstance(setting, int):
        return Target(setting)
    if setting == "predicted":
        return Target()
    if label is None or not 0 <= label < classes:
        raise RowError(f"label is {label}", expected=f"0 to {classes - 1} for --target label", reason="bad_label")
    return Target(label)


def expand(text: ModelInput, baseline: Int32, target: Target) -> tuple[Problem, ...]:
    """The problems of a row, at least one. Today each row is one."""
    return (Problem(text, baseline, target),)


def combine(problems: Sequence[Problem], found: Sequence[Explanation]) -> Explanation:
    """A row's explanation: the weighted sum of those of its problems, which have the same tokens.

    Integrated gradients are linear in the scalar, and the average over baselines is another such sum. What is no sum,
    the probabilities and the target, is the first problem's. The error estimate is a bound: errors may add up.
    """
    if len(problems) == 1 and problems[0].weight == 1.0:
        return found[0]
    weights = [problem.weight for problem in problems]

    def total(name: str) -> Any:
        return sum(weight * getattr(one, name) for weight, one in zip(weights, found, strict=True))

    attributions = np.asarray(total("attributions"), np.float32)
    errors = [one.error_estimate for one in found]
    size = max(float(np.abs(attributions).sum(dtype=np.float64)), FLOOR)
    scaled = [
        abs(weight) * error * max(float(np.abs(one.attributions).sum(dtype=np.float64)), FLOOR)
        for weight, error, one in zip(weights, errors, found, strict=True)
        if error is not None
    ]
    return replace(
        found[0],
        target_probability=total("target_probability"),
        baseline_probability=total("baseline_probability"),
        attributions=attributions,
        delta=total("delta"),
        error_estimate=sum(scaled) / size if len(scaled) == len(found) else None,
        evaluations=sum(one.evaluations for one in found),
        status=next((one.status for one in found if one.status == STATUS_LIMIT), found[0].status),
        hidden=None if found[0].hidden is None else np.asarray(total("hidden"), np.float32),
    )


def explain_rows(engine: Engine, rows: Sequence[Sequence[Problem]]) -> list[Explanation]:
    """The explanation of each row, from its problems; all of them go through the engine together."""
    found = iter(engine.explain([problem for row in rows for problem in row]))
    return [combine(row, [next(found) for _ in row]) for row in rows]


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
