"""A pilot: a few rows of a run, explained with many nodes, say what the others need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from ig_worker.explain.calibration import (
    CAUTIOUS,
    SCOUTS,
    Calibration,
    Ends,
    Known,
    Observation,
    certify,
    choose_start,
    fit,
    guess,
)
from ig_worker.explain.explanation import FLOOR, STATUS_CONVERGED, STATUS_LIMIT, Explanation, Float32, relative_l1
from ig_worker.explain.packing import BatchShape, Group, group_by_length
from ig_worker.explain.paths import PathPrograms, Section
from ig_worker.explain.problems import Problem, chosen_classes, scalar
from ig_worker.explain.product import MOST, ROUNDING, Float64, error_series, grid_error
from ig_worker.models.network import SplitNetwork

_SCOUTED = (6, 10, 24)  # nodes, the last for the truth
_CHECK_FALL = 2.5  # the logarithm of the error falls by so much from a rule to the one that checks it


@dataclass
class _Row:
    """A row of the pilot on its way."""

    problem: Problem
    target: int
    at_input: Float32
    at_baseline: Float32
    section: Section
    spent: float = 1.0  # both ends are forward passes alone
    sums: dict[int, Float64] = field(default_factory=dict)  # attributions by number of nodes, float64 [tokens]
    known: dict[int, Known] = field(default_factory=dict)

    @property
    def change(self) -> float:
        return scalar(self.at_input, self.target) - scalar(self.at_baseline, self.target)

    @property
    def ends(self) -> Ends:
        return Ends(abs(self.change), self.problem.tokens)

    @property
    def most(self) -> int:
        return max(self.sums)

    def observations(self) -> list[Observation]:
        """All rules but the one with the most nodes, which is taken for the truth."""
        truth = self.sums[self.most].astype(np.float32)
        fewer = sorted(set(self.sums) - {self.most})
        return [Observation(self.known[n], relative_l1(self.sums[n].astype(np.float32), truth)) for n in fewer]


Plan = Callable[[Ends], tuple[int, ...]]  # the numbers of nodes that a row gets, the last of them for the truth


class PilotEngine:
    """Explains the rows of a pilot, and learns from them.

    Args:
        network: the classifier, cut at the layer.
        tolerance: of the run.
        shape: how batches are cut.
        risk: the share of rows that may be beyond their bounds.
        programs: of the same network, which need not be traced again.
    """

    def __init__(
        self,
        network: SplitNetwork,
        tolerance: float,
        shape: BatchShape,
        risk: float,
        programs: PathPrograms | None = None,
    ) -> None:
        self._tolerance, self._shape, self._risk = tolerance, shape, risk
        self._programs = programs.shared(shape) if programs else PathPrograms(network, shape)

    def calibrate(self, problems: Sequence[Problem]) -> tuple[Calibration, list[Explanation]]:
        """What these rows, chosen at random, say of their like, and their own explanations, in their order.

        The first few are scouts: rules of few nodes against one of many say how errors fall. A third of the others
        then run as the run will, each against a rule that is much closer, and refine the regressions. The rest do the
        same, and say by how much the bound has to be raised.
        """
        scouts, third = min(SCOUTS, len(problems)), max(0, len(problems) - SCOUTS) // 3
        parts = problems[:scouts], problems[scouts : scouts + third], problems[scouts + third :]
        base = replace(CAUTIOUS, rows=len(problems))
        rows = self._observe(parts[0], lambda _: _SCOUTED, base)
        seen = _observations(rows)
        found = replace(fit(seen, base), start=1.0, quantile=guess(self._risk, scouts))
        judges = self._observe(parts[1], self._plan(found), found)
        judged = _observations(judges)
        found = replace(fit([*seen, *judged], base), quantile=guess(self._risk, len(judged) or scouts))
        found = choose_start(found, judged or seen, self._tolerance)
        others = self._observe(parts[2], self._plan(found), found)
        found = certify(found, _observations(others) or judged or seen, self._tolerance, self._risk)
        return found, [self._explanation(row, found) for row in (*rows, *judges, *others)]

    def _plan(self, found: Calibration) -> Plan:
        """A row as the run will explain it, and a rule that is much closer."""
        beyond = max(3, math.ceil(_CHECK_FALL / found.fall))

        def plan(ends: Ends) -> tuple[int, ...]:
            first = min(found.first(ends, self._tolerance), MOST - 3)
            return first, min(first + beyond, MOST)

        return plan

    def _observe(self, problems: Sequence[Problem], plan: Plan, by: Calibration) -> list[_Row]:
        """Integrate each problem as the plan says, with the nodes of a calibration."""
        rows: dict[int, _Row] = {}
        for group in group_by_length([problem.tokens for problem in problems], self._shape):
            opened = self._open([problems[i] for i in group.members], group.length)
            asked = sorted((n, i) for i, row in enumerate(opened) for n in plan(row.ends))
            for n, items in groupby(asked, key=lambda item: item[0]):
                self._integrate([opened[i] for _, i in items], n, group, by)
            rows.update(zip(group.members, opened, strict=True))
        return [rows[i] for i in range(len(problems))]

    def _open(self, problems: list[Problem], length: int) -> list[_Row]:
        z1, z0 = self._programs.open(problems, length)
        at_input, at_baseline = self._programs.probabilities(z1), self._programs.probabilities(z0)
        targets = chosen_classes(problems, at_input)
        return [
            _Row(problem, int(t), at_input[i], at_baseline[i], Section(i, int(t), 0.0, 1.0, z0[i], z1[i]))
            for i, (problem, t) in enumerate(zip(problems, targets, strict=True))
        ]

    def _integrate(self, rows: list[_Row], n: int, group: Group, by: Calibration) -> None:
        size = max(1, group.rows // n)
        for part in (rows[i : i + size] for i in range(0, len(rows), size)):
            found = self._programs.integrate([row.section for row in part], n, by.spread, group.length)
            series = error_series(found.contributions, found.strengths, found.signed, found.absolute, by.spread)
            errors = series + grid_error(found.contributions, found.halved)
            for i, row in enumerate(part):
                values = found.contributions[i, :, : row.problem.tokens].sum(axis=0, dtype=np.float64)
                norm = max(float(np.abs(values).sum()), FLOOR)
                gap = abs(float(values.sum()) - row.change) / norm
                row.sums[n], row.known[n] = values, Known(row.ends, n, gap, float(errors[i]) / norm)
                row.spent += found.cost

    def _explanation(self, row: _Row, by: Calibration) -> Explanation:
        attributions = row.sums[row.most].astype(np.float32)
        bound = by.bound(row.known[row.most], self._tolerance) + ROUNDING
        return Explanation(
            probabilities=row.at_input.astype(np.float32),
            target=row.target,
            target_probability=scalar(row.at_input, row.target),
            baseline_probability=scalar(row.at_baseline, row.target),
            attributions=attributions,
            delta=float(attributions.sum(dtype=np.float64) - row.change),
            error_estimate=bound,
            evaluations=row.spent,
            status=STATUS_CONVERGED if bound <= self._tolerance else STATUS_LIMIT,
        )


def _observations(rows: Sequence[_Row]) -> list[Observation]:
    return [
        one for row in rows for one in row.observations() if math.isfinite(one.error) and math.isfinite(one.known.gap)
    ]
