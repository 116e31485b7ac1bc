"""Which problems share a path, and what that saves: arithmetic only.

Problems with one text and one baseline have one path. A forward pass at a point of it, half an evaluation, serves all
their targets; the way back, the other half, is each target's own. So C targets at n nodes cost n (1 + C) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ig_worker.explain.packing import BatchShape, group_by_length
from ig_worker.explain.problems import Problem


def share(nodes: float, targets: int) -> float:
    """Evaluations of each of some targets that share so many nodes."""
    return nodes * (0.5 + 0.5 / targets)


def paths_of(problems: Sequence[Problem], most: int | None = None) -> list[tuple[int, ...]]:
    """Positions of the problems of each path, in the order of the first of them.

    Problems share a path where text and baseline are the same arrays; equal ones of two rows are two paths, so that
    what a row gives does not depend on its neighbours.

    Args:
        most: problems of a path; what is beyond is another path. None: any number.
    """
    found: dict[tuple[int, ...], list[int]] = {}
    for position, problem in enumerate(problems):
        found.setdefault((*map(id, problem.text), id(problem.baseline)), []).append(position)
    parts = [
        tuple(path[i : i + (most or len(path))])
        for path in found.values()
        for i in range(0, len(path), most or len(path))
    ]
    return sorted(parts)


@dataclass(frozen=True)
class PathGroup:
    """Paths of one padded length and with equally many targets, that go through the network together."""

    length: int  # padded, in tokens
    paths: tuple[tuple[int, ...], ...]  # positions of the problems of each, at most `rows` paths
    rows: int  # of a batch


def group_paths(problems: Sequence[Problem], shape: BatchShape, most: int | None = None) -> list[PathGroup]:
    """Problems grouped by their number of targets and by padded length, in order within these.

    So those with one target go through the network as if there were no others.
    """
    groups = []
    paths = sorted(paths_of(problems, most), key=len)  # which keeps the order within a number of targets
    for _, members in groupby(paths, key=len):
        alike = list(members)
        for group in group_by_length([problems[path[0]].tokens for path in alike], shape):
            groups.append(PathGroup(group.length, tuple(alike[i] for i in group.members), group.rows))
    return groups


def nodes_together(asked: Sequence[int], limits: Sequence[int]) -> list[int]:
    """With how many nodes the targets of one path are integrated, each with at least as many as it asks for.

    Targets with equally many nodes share the forward passes, so k of them with n nodes cost n (1 + k) / 2: it may pay
    to give one more than it asks for, and it does not where that is far more. A target is best off with the fewest of
    the nodes in use that suffice. So parts follow each other in the order of what is asked for, and the cheapest are
    found from the end.

    Args:
        asked: nodes of each target.
        limits: how many each may have, at least what it asks for.
    """
    order = sorted(range(len(asked)), key=lambda i: (-asked[i], i))
    best: list[tuple[float, int]] = [(0.0, 0)] * (len(order) + 1)  # cost from here on, and where the next part begins
    for start in reversed(range(len(order))):
        nodes, best[start] = asked[order[start]], (math.inf, 0)
        for end in range(start + 1, len(order) + 1):
            if limits[order[end - 1]] < nodes:
                break
            cost = nodes * (1 + end - start) / 2 + best[end][0]
            if cost <= best[start][0]:  # of equal costs the one with more sharing
                best[start] = cost, end
    given, start = [0] * len(order), 0
    while start < len(order):
        end = best[start][1]
        for i in order[start:end]:
            given[i] = asked[order[start]]
        start = end
    return given
