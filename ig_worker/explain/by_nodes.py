"""Attributions by rules of given numbers of nodes, and nothing else: what other attributions are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from ig_worker.explain.integrals import integrals, open_paths
from ig_worker.explain.packing import BatchShape, group_by_length
from ig_worker.explain.paths import PathPrograms
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import Float64, Spread
from ig_worker.explain.targets import Scalar


def by_nodes(
    programs: PathPrograms,
    problems: Sequence[Problem],
    nodes: Sequence[int],
    shape: BatchShape,
    *,
    spread: Spread,
    scalars: Sequence[Scalar] | None = None,
) -> tuple[list[Scalar], list[Float64]]:
    """The scalar of each problem, and its attributions, float64 [tokens].

    Args:
        programs: of the network.
        problems: to integrate; a whole path each.
        nodes: of each.
        shape: how batches are cut.
        spread: of the nodes.
        scalars: of each; None: what it asks for, by these programs.
    """
    chosen, found = [Scalar(0)] * len(problems), [np.zeros(0)] * len(problems)
    for group in group_by_length([problem.tokens for problem in problems], shape):
        opened = open_paths(programs, [problems[i] for i in group.members], group.length)
        if scalars is not None:
            opened = [replace(ends, scalar=scalars[i]) for i, ends in zip(group.members, opened, strict=True)]
        order = sorted(range(len(opened)), key=lambda i: nodes[group.members[i]])
        for n, items in groupby(order, key=lambda i: nodes[group.members[i]]):
            rows = list(items)
            sections, tokens = [opened[i].section() for i in rows], [opened[i].problem.tokens for i in rows]
            for i, one in zip(rows, integrals(programs, sections, n, spread, group, tokens), strict=True):
                found[group.members[i]], chosen[group.members[i]] = one.values, opened[i].scalar
    return chosen, found
