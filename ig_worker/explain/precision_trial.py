"""Trying precisions on some rows of a pilot: what `precision` decides by."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from ig_worker.explain.by_nodes import by_nodes
from ig_worker.explain.explanation import ENDS, relative_l1
from ig_worker.explain.integrals import open_paths
from ig_worker.explain.packing import BatchShape, group_by_length
from ig_worker.explain.paths import PathPrograms
from ig_worker.explain.precision import FLOAT32, LAPS, NODES, ROWS, Choice, Tried, choose, judge, worth_trying
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import Float64, Spread
from ig_worker.explain.targets import Scalar

log = logging.getLogger(__name__)

_LAP = 16  # evaluations of a lap, at least


class PrecisionTrial:
    """Tries precisions on some problems, and counts what that costs.

    Args:
        programs: of the run's network in a precision, made once each.
        problems: of the pilot's rows, in their order; the first `ROWS` are tried.
        shape: how batches are cut.
        tolerance: of the run.
        risk: of the run.
    """

    def __init__(
        self,
        programs: Callable[[str], PathPrograms],
        problems: Sequence[Problem],
        shape: BatchShape,
        *,
        tolerance: float,
        risk: float,
    ) -> None:
        self._programs, self._problems, self._shape = programs, problems[:ROWS], shape
        self._tolerance, self._risk = tolerance, risk
        self.evaluations = 0.0

    def choose(self, candidates: Sequence[str], rows: int) -> Choice:
        """The precision to go by. What fails is not taken: nothing that can be done without may end a run.

        Args:
            candidates: besides float32.
            rows: that one actor has to explain, about.
        """
        try:
            return self._choose(candidates, rows)
        except Exception as error:  # noqa: BLE001 (the run can do without)
            log.warning("no precision besides float32 could be tried: %s", error)
            return Choice(FLOAT32, f"the trial of others failed: {type(error).__name__}")

    def judge(self, precision: str) -> Choice:
        """What a precision that was asked for rounds."""
        try:
            scalars, exact = self._rule(FLOAT32, None)
            return judge(
                Tried(precision, math.nan, self._errors(precision, scalars, exact)), self._tolerance, self._risk
            )
        except Exception as error:  # noqa: BLE001 (as above)
            log.warning("what %s rounds could not be measured: %s", precision, error)
            return Choice(precision, "as asked for; what it rounds could not be measured", exact_truth=False)

    def _choose(self, candidates: Sequence[str], rows: int) -> Choice:
        scalars, exact = self._rule(FLOAT32, None)
        laps = {FLOAT32: self._laps(FLOAT32)}
        first = clocked(FLOAT32, laps[FLOAT32])
        if not worth_trying(first, rows):
            return Choice(FLOAT32, "the run is too short for another precision to pay")
        errors, waits = {}, {}
        for name in candidates:
            started = time.perf_counter()
            errors[name] = self._errors(name, scalars, exact)
            waits[name] = time.perf_counter() - started
            laps[name] = self._laps(name)
        taken: dict[str, list[float]] = {name: [] for name in laps}
        for _ in range(LAPS):  # in turn, so that what else the machine does falls on all of them
            for name, lap in laps.items():
                taken[name].append(clocked(name, lap))
        seconds = {name: median(each) for name, each in taken.items()}
        tried = [Tried(name, seconds[name], errors[name], waits[name]) for name in candidates]
        return choose(seconds[FLOAT32], tried, rows, tolerance=self._tolerance, risk=self._risk)

    def _rule(self, precision: str, scalars: Sequence[Scalar] | None) -> tuple[list[Scalar], list[Float64]]:
        nodes = [NODES] * len(self._problems)
        self.evaluations += len(nodes) * (NODES + ENDS)
        programs = self._programs(precision)
        return by_nodes(programs, self._problems, nodes, self._shape, spread=Spread(), scalars=scalars)

    def _errors(self, precision: str, scalars: Sequence[Scalar], exact: Sequence[Float64]) -> tuple[float, ...]:
        _, rounded = self._rule(precision, scalars)
        return tuple(relative_l1(a, b) for a, b in zip(rounded, exact, strict=True))

    def _laps(self, precision: str) -> Callable[[], int]:
        """Does a lap, full batches of a text of median length, and gives its evaluations; it is warmed up."""
        problem = sorted(self._problems, key=lambda one: one.tokens)[len(self._problems) // 2]
        (group,) = group_by_length([problem.tokens], self._shape)
        programs = self._programs(precision)
        sections = [open_paths(programs, [problem], group.length)[0].section()] * max(
            1, self._shape.rows(group.length) // NODES
        )
        times = math.ceil(_LAP / (NODES * len(sections)))

        def lap() -> int:
            programs.open([problem], group.length)
            for _ in range(times):
                programs.integrate(sections, NODES, Spread(), group.length)
            self.evaluations += times * NODES * len(sections)
            return times * NODES * len(sections)

        lap()
        return lap


def clocked(precision: str, lap: Callable[[], Any]) -> float:
    """Seconds of an evaluation in one lap; tests set the clock by the precision."""
    started = time.perf_counter()
    evaluations = lap()
    return (time.perf_counter() - started) / float(evaluations)
