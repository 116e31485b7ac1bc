"""A pilot: a few rows of a run, explained with many nodes, say what the others need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from ig_worker.explain.by_nodes import by_nodes
from ig_worker.explain.calibration import CAUTIOUS, Calibration, Ends, Known, Observation
from ig_worker.explain.explanation import ENDS, STATUS_CONVERGED, STATUS_LIMIT, Explanation, relative_l1
from ig_worker.explain.integrals import PathEnds, integrals, open_paths
from ig_worker.explain.learning import JUDGED_AT, by_law, certify, enough, fit, unjudged
from ig_worker.explain.node_map import CELLS, SURVEYED, Survey, choose_map
from ig_worker.explain.packing import BatchShape, Group, group_by_length
from ig_worker.explain.paths import PathPrograms
from ig_worker.explain.pilot_plan import SCOUTS, judge_rows, survey_rows
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import MOST, ROUNDING, Float64, Spread
from ig_worker.models.network import SplitNetwork

_SCOUTED = (6, 10, 24)  # nodes, the last for the truth
_CHECK_FALL = 2.5  # the logarithm of the error falls by so much from a rule to the one that checks it


@dataclass
class _Row:
    """A row of the pilot on its way."""

    ends: PathEnds
    spent: float
    sums: dict[int, Float64] = field(default_factory=dict)  # attributions by number of nodes, float64 [tokens]
    known: dict[int, Known] = field(default_factory=dict)
    truth: Float64 | None = None  # in float32, where that is not the precision of the sums

    @property
    def change(self) -> float:
        return self.ends.f1 - self.ends.f0

    @property
    def most(self) -> int:
        return max(self.sums)

    def observations(self) -> list[Observation]:
        """All rules but the one with the most nodes, which is taken for the truth where no other is known."""
        truth = (self.sums[self.most] if self.truth is None else self.truth).astype(np.float32)
        fewer = sorted(set(self.sums) - ({self.most} if self.truth is None else set()))
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
        exact: programs in float32 for the truth, where `network` multiplies in less: then bounds cover the rounding,
            and rows are explained by the rules that others get.
    """

    def __init__(
        self,
        network: SplitNetwork,
        tolerance: float,
        shape: BatchShape,
        risk: float,
        programs: PathPrograms | None = None,
        exact: PathPrograms | None = None,
    ) -> None:
        self._tolerance, self._shape, self._risk = tolerance, shape, risk
        self._programs = programs.shared(shape) if programs else PathPrograms(network, shape)
        self._exact = exact.shared(shape) if exact else None

    def calibrate(self, problems: Sequence[Problem]) -> tuple[Calibration, list[Explanation]]:
        """What these rows, chosen at random, say of their like, and their own explanations, in their order.

        Where they are many, the first few are surveyed, to see where the nodes should lie. They and some more are
        scouts: rules of few nodes against one of many say how errors fall. Some of the others run as the run will, each
        against a rule that is much closer, and refine the regressions. The rest do the same, and are the judges of
        how much to spare texts have to start with.
        """
        scouts = min(SCOUTS, len(problems))
        refining = scouts + judge_rows(len(problems))
        parts = problems[:scouts], problems[scouts:refining], problems[refining:]
        spread, surveyed = self._survey(problems[: survey_rows(len(problems))])
        base = replace(CAUTIOUS, centre=spread.centre, width=spread.width, rows=len(problems))
        rows = self._observe(parts[0], lambda _: _SCOUTED, base)
        for row, cost in zip(rows, surveyed, strict=False):
            row.spent += cost
        seen = _observations(rows)
        found = self._start(fit(seen, base), rows, scouts, self._risk)
        others = self._observe(parts[1], self._plan(found), found)
        judged = _observations(others)
        risk = self._risk * (JUDGED_AT if enough(len(parts[2]), self._risk) else 1)
        found = self._start(fit([*seen, *judged], base), [*rows, *others], scouts + len(judged), risk)
        last = self._observe(parts[2], self._plan(found), found)
        judges = _observations(last)
        found = certify(found, judges, self._tolerance, self._risk) if judges else unjudged(found, self._risk)
        return found, [self._explanation(row, found) for row in (*rows, *others, *last)]

    def _start(self, fitted: Calibration, rows: Sequence[_Row], count: int, risk: float) -> Calibration:
        return by_law(fitted, [row.ends.shown for row in rows], self._tolerance, risk, count)

    def _plan(self, found: Calibration) -> Plan:
        """A row as the run will explain it, and a rule that is much closer."""
        beyond = max(3, math.ceil(_CHECK_FALL / found.fall))

        def plan(ends: Ends) -> tuple[int, ...]:
            first = min(found.first(ends, self._tolerance), MOST - 3)
            return first, min(first + beyond, MOST)

        return plan

    def _survey(self, problems: Sequence[Problem]) -> tuple[Spread, list[float]]:
        """The map that suits these rows, and the evaluations that each has cost."""
        seen: dict[int, Survey] = {}
        programs = self._exact or self._programs
        for group in group_by_length([problem.tokens for problem in problems], self._shape):
            opened = open_paths(programs, [problems[i] for i in group.members], group.length)
            sections = [ends.section() for ends in opened]
            samples, slopes = programs.slopes(sections, SURVEYED, Spread(), CELLS)
            for i, member in enumerate(group.members):
                seen[member] = Survey(samples[i, :, : problems[member].tokens], slopes[i])
        # Forward passes and pulls at all nodes.
        return choose_map(list(seen.values()), self._tolerance), [ENDS + 1.5 * SURVEYED] * len(problems)

    def _observe(self, problems: Sequence[Problem], plan: Plan, by: Calibration) -> list[_Row]:
        """Integrate each problem as the plan says, with the nodes of a calibration."""
        rows: dict[int, _Row] = {}
        for group in group_by_length([problem.tokens for problem in problems], self._shape):
            opened = open_paths(self._programs, [problems[i] for i in group.members], group.length)
            members = [_Row(ends, ends.spent) for ends in opened]
            own = None if self._exact is None else -1  # the last is for the truth
            asked = sorted((n, i) for i, row in enumerate(members) for n in plan(row.ends.shown)[:own])
            for n, items in groupby(asked, key=lambda item: item[0]):
                self._integrate([members[i] for _, i in items], n, group, by)
            rows.update(zip(group.members, members, strict=True))
        found = [rows[i] for i in range(len(problems))]
        self._tell_truth(found, [plan(row.ends.shown)[-1] for row in found], by)
        return found

    def _tell_truth(self, rows: list[_Row], nodes: list[int], by: Calibration) -> None:
        """Integrate once more in float32, where that is not what `_integrate` does."""
        if self._exact is None:
            return
        problems, scalars = [row.ends.problem for row in rows], [row.ends.scalar for row in rows]
        _, truths = by_nodes(self._exact, problems, nodes, self._shape, spread=by.spread, scalars=scalars)
        for row, truth, n in zip(rows, truths, nodes, strict=True):
            row.truth = truth
            row.spent += n + ENDS

    def _integrate(self, rows: list[_Row], n: int, group: Group, by: Calibration) -> None:
        sections, tokens = [row.ends.section() for row in rows], [row.ends.problem.tokens for row in rows]
        found = integrals(self._programs, sections, n, by.spread, group, tokens)
        for row, integral in zip(rows, found, strict=True):
            row.sums[n], row.known[n] = integral.values, integral.known(row.ends.shown, n, row.change)
            row.spent += integral.cost

    def _explanation(self, row: _Row, by: Calibration) -> Explanation:
        attributions, ends, known = row.sums[row.most].astype(np.float32), row.ends, row.known[row.most]
        done = by.bound(known, self._tolerance) + ROUNDING <= self._tolerance  # as the adaptive engine decides
        estimate = by.estimate(known, self._tolerance) + ROUNDING
        return Explanation(
            probabilities=ends.at_input.astype(np.float32),
            target=ends.scalar.target,
            contrast=ends.scalar.contrast,
            target_probability=ends.f1,
            baseline_probability=ends.f0,
            attributions=attributions,
            delta=float(attributions.sum(dtype=np.float64) - row.change),
            error_estimate=min(estimate, self._tolerance) if done else estimate,
            evaluations=row.spent,
            status=STATUS_CONVERGED if done else STATUS_LIMIT,
        )


def _observations(rows: Sequence[_Row]) -> list[Observation]:
    return [
        one for row in rows for one in row.observations() if math.isfinite(one.error) and math.isfinite(one.known.gap)
    ]
