"""How many nodes would have done, had one known: what a pilot's choice, and any other, is measured against."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import FEWEST, MOST, Spread

RISK = 0.01  # the share of reviews that may be beyond the tolerance
_PIECE = 32  # reviews between two lines of progress
_TRIED = 2  # reviews after which a number of nodes may be given up
Arrays = list[Any]  # attributions of reviews
ErrorsAt = Callable[[int, Sequence[int]], npt.ArrayLike]  # relative L1 errors of some reviews, with so many nodes


@dataclass(frozen=True)
class Hindsight:
    """Numbers of nodes that bring reviews within a tolerance, and the errors that are left."""

    fewest: npt.NDArray[np.int64]  # of each review, [reviews]
    errors: npt.NDArray[np.float64]  # with them, [reviews]
    always: int  # the one number that does for all but `RISK` of the reviews
    always_errors: npt.NDArray[np.float64]  # with it, [reviews]


@dataclass(frozen=True)
class Enough:
    """A number of nodes that does for all but `RISK` of the reviews, or else the largest that was tried."""

    nodes: int
    beyond: int  # reviews that are beyond the tolerance with it
    reviews: int

    @property
    def short(self) -> bool:
        """Whether it does not do."""
        return self.beyond > int(RISK * self.reviews)


def look_back(errors_at: ErrorsAt, count: int, tolerance: float, most: int = MOST) -> Hindsight:
    """Try one number of nodes after the other, until each review has been within the tolerance.

    Args:
        errors_at: of `count` reviews.
        count: of reviews.
        tolerance: relative L1 error.
        most: nodes; reviews that are never within the tolerance count with so many.
    """
    fewest, errors = np.zeros(count, np.int64), np.full(count, np.nan)
    always, always_errors = 0, errors
    for n in range(FEWEST, most + 1):
        members = np.flatnonzero(fewest == 0) if always else np.arange(count)
        if not len(members):
            break
        found = np.asarray(errors_at(n, members.tolist()), np.float64)
        new = (fewest[members] == 0) & ((found <= tolerance) | (n == most))
        fewest[members[new]], errors[members[new]] = n, found[new]
        if not always and ((found <= tolerance).mean() >= 1 - RISK or n == most):
            always, always_errors = n, found
    return Hindsight(fewest, errors, always, always_errors)


def enough_nodes(
    errors_at: ErrorsAt, count: int, ladder: Sequence[int], tolerance: float, say: Callable[[str], None]
) -> Enough:
    """The first number of nodes on a ladder that does for all but `RISK` of the reviews.

    A number that does not is given up early: the reviews that were furthest off with the last one are tried first.

    Args:
        errors_at: of `count` reviews.
        count: of reviews.
        ladder: numbers of nodes, ascending.
        tolerance: relative L1 error.
        say: is told the progress.
    """
    order, allowed = list(range(count)), int(RISK * count)
    for n in ladder:
        found: dict[int, float] = {}
        beyond = 0
        for i in range(0, count, _TRIED):
            part = order[i : i + _TRIED]
            found.update(zip(part, map(float, np.asarray(errors_at(n, part))), strict=True))
            beyond = sum(not error <= tolerance for error in found.values())
            if beyond > allowed and n != ladder[-1]:
                break
        say(f"{n} nodes: {beyond} of {len(found)} reviews beyond the tolerance")
        if beyond <= allowed:
            break
        order.sort(key=lambda i: -found.get(i, 0.0))
    return Enough(n, beyond, count)


def gauss_errors(
    network: Any, cases: Sequence[Problem], targets: Sequence[int], truth: Arrays, shape: BatchShape
) -> ErrorsAt:
    """Errors of Gauss-Legendre, whose programs are traced once for all numbers of nodes, unlike the fused engine's.

    Args:
        network: cut at the layer.
        cases: the reviews.
        targets: their classes.
        truth: their attributions.
        shape: how batches are cut.
    """
    from ig_worker.explain.explanation import relative_l1
    from ig_worker.explain.packing import group_by_length
    from ig_worker.explain.rules import fixed_rule
    from tests.benchmarks.accuracy_paths import Paths, together
    from tests.benchmarks.accuracy_rules import fixed

    paths = Paths(network)

    def errors_at(n: int, members: Sequence[int]) -> list[float]:
        rule, errors = fixed_rule("gausslegendre", n), np.zeros(len(members))
        for group in group_by_length([cases[i].tokens for i in members], shape):
            part = [members[i] for i in group.members]
            paths.open([cases[i] for i in part], np.array([targets[i] for i in part], np.int32), group.length)
            outcomes = together([fixed(rule.nodes, rule.weights) for _ in part], paths)
            for place, i, found in zip(group.members, part, outcomes, strict=True):
                errors[place] = relative_l1(found[float(n)].attributions[: cases[i].tokens], truth[i])
        return errors.tolist()

    return errors_at


def product_errors(
    programs: Any, cases: Sequence[Problem], truth: Arrays, spread: Spread, shape: BatchShape, what: str = ""
) -> ErrorsAt:
    """Errors of product integration.

    Args:
        programs: of the network.
        cases: the reviews.
        truth: their attributions.
        spread: of the nodes.
        shape: how batches are cut.
        what: for progress; without it there is none.
    """
    from ig_worker.explain.explanation import relative_l1

    def errors_at(n: int, members: Sequence[int]) -> list[float]:
        found = by_nodes(programs, [cases[i] for i in members], n, spread, shape, what and f"{what}, {n} nodes")
        return [relative_l1(values, truth[i]) for values, i in zip(found, members, strict=True)]

    return errors_at


def by_nodes(
    programs: Any, cases: Sequence[Problem], n: int, spread: Spread, shape: BatchShape, what: str = ""
) -> Arrays:
    """Attributions by product integration with n nodes, float32 [tokens] of each review."""
    from ig_worker.explain import by_nodes as library

    def explain(part: list[Problem]) -> Arrays:
        return library.by_nodes(programs, part, [n] * len(part), shape, spread=spread)[1]

    found = in_pieces(what, cases, explain) if what else explain(list(cases))
    return [values.astype(np.float32) for values in found]


def in_pieces(what: str, cases: Sequence[Problem], explain: Callable[[list[Problem]], list[Any]]) -> list[Any]:
    """The same in the same order, shortest reviews first, with progress on stderr."""
    order = sorted(range(len(cases)), key=lambda i: cases[i].tokens)
    found: dict[int, Any] = {}
    for i in range(0, len(order), _PIECE):
        part = order[i : i + _PIECE]
        found.update(zip(part, explain([cases[j] for j in part]), strict=True))
        print(f"\r{what}: {len(found)} of {len(cases)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [found[i] for i in range(len(cases))]


def calibrate(
    network: Any, programs: Any, rows: Sequence[Problem], tolerance: float, shape: BatchShape
) -> tuple[Calibration, float]:
    """What a pilot of these rows says, as a run's does, and the evaluations that it took; without rows, nothing."""
    from ig_worker.explain.pilot import PilotEngine

    if not rows:
        return CAUTIOUS, 0.0
    known, explained = PilotEngine(network, tolerance, shape, RISK, programs).calibrate(rows)
    return known, sum(one.evaluations for one in explained)
