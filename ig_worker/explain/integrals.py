"""Ends of paths and integrals along them, text by text: what a pilot and the adaptive engine both do with a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ig_worker.explain.calibration import Ends, Known
from ig_worker.explain.explanation import FLOOR, Float32
from ig_worker.explain.packing import Group
from ig_worker.explain.paths import PathPrograms, Section
from ig_worker.explain.problems import Problem, chosen_classes, scalar
from ig_worker.explain.product import Float64, Spread, error_series, grid_error


@dataclass(frozen=True)
class PathEnds:
    """Both ends of a problem's path."""

    problem: Problem
    target: int
    at_input: Float32  # class probabilities there
    at_baseline: Float32
    z1: Float32  # z at the input
    z0: Float32  # z at the baseline

    @property
    def f1(self) -> float:
        """F at the input."""
        return scalar(self.at_input, self.target)

    @property
    def f0(self) -> float:
        """F at the baseline."""
        return scalar(self.at_baseline, self.target)

    @property
    def shown(self) -> Ends:
        """What they show before any gradient."""
        return Ends.of(self.f1, self.f0, self.problem.tokens)

    def section(self, row: int) -> Section:
        """The whole path, where its text is number `row` of the group that is open."""
        return Section(row, self.target, 0.0, 1.0, self.z0, self.z1)


@dataclass(frozen=True)
class Integral:
    """What one rule gives of one section."""

    values: Float64  # its share of the attributions, [tokens]
    series: float  # `product.error_series` and the grid's error: of its L1 error, not calibrated
    grid: float  # of them, the grid's
    cost: float  # evaluations
    hidden: Float32 | None  # [tokens, hidden]

    def known(self, ends: Ends, n: int, change: float) -> Known:
        """What it knows of its own relative error, of a path along which F changes so much."""
        norm = max(float(np.abs(self.values).sum()), FLOOR)
        return Known(ends, n, abs(float(self.values.sum()) - change) / norm, self.series / norm)


def open_paths(programs: PathPrograms, problems: Sequence[Problem], length: int) -> list[PathEnds]:
    """Take up a group of problems of padded `length`."""
    z1, z0 = programs.open(problems, length)
    at_input, at_baseline = programs.probabilities(z1), programs.probabilities(z0)
    targets = chosen_classes(problems, at_input)
    return [
        PathEnds(problem, int(t), at_input[i], at_baseline[i], z1[i], z0[i])
        for i, (problem, t) in enumerate(zip(problems, targets, strict=True))
    ]


def integrals(
    programs: PathPrograms, sections: Sequence[Section], n: int, spread: Spread, group: Group, tokens: Sequence[int]
) -> list[Integral]:
    """Integrate sections with n nodes each, as many at a time as a batch of the group holds.

    Args:
        tokens: of each section's text.
    """
    size, found = max(1, group.rows // n), []
    for i in range(0, len(sections), size):
        found += _batch(programs, sections[i : i + size], n, spread, group.length, tokens[i : i + size])
    return found


def _batch(programs: PathPrograms, sections: Any, n: int, spread: Spread, length: int, tokens: Any) -> list[Integral]:
    found = programs.integrate(sections, n, spread, length)
    grid = grid_error(found.contributions, found.halved)
    series = error_series(found.contributions, found.strengths, found.signed, found.absolute, spread) + grid
    return [
        Integral(
            values=found.contributions[i, :, :count].sum(axis=0, dtype=np.float64),
            series=float(series[i]),
            grid=float(grid[i]),
            cost=found.cost,
            hidden=None if found.hidden is None else found.hidden[i, :count],
        )
        for i, count in enumerate(tokens)
    ]
