"""Attributions by rules of given numbers of nodes, and nothing else: what other attributions are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ig_worker.explain.packing import BatchShape, group_by_length
from ig_worker.explain.paths import PathPrograms, Section
from ig_worker.explain.problems import Problem, chosen_classes
from ig_worker.explain.product import Float64, Spread


def by_nodes(
    programs: PathPrograms,
    problems: Sequence[Problem],
    nodes: Sequence[int],
    shape: BatchShape,
    *,
    spread: Spread,
    targets: Sequence[int] | None = None,
) -> tuple[list[int], list[Float64]]:
    """The target of each problem, and its attributions, float64 [tokens].

    Args:
        programs: of the network.
        problems: to integrate; a whole path each.
        nodes: of each.
        shape: how batches are cut.
        spread: of the nodes.
        targets: of each; None: what it asks for, by these programs.
    """
    chosen, found = [0] * len(problems), [np.zeros(0)] * len(problems)
    for group in group_by_length([problem.tokens for problem in problems], shape):
        part = [problems[i] for i in group.members]
        z1, z0 = programs.open(part, group.length)
        own = (
            chosen_classes(part, programs.probabilities(z1)) if targets is None else [targets[i] for i in group.members]
        )
        sections = [Section(i, int(t), 0.0, 1.0, z0[i], z1[i]) for i, t in enumerate(own)]
        order = sorted(range(len(part)), key=lambda i: nodes[group.members[i]])
        for n, items in groupby(order, key=lambda i: nodes[group.members[i]]):
            waiting, size = list(items), max(1, group.rows // n)
            for some in (waiting[i : i + size] for i in range(0, len(waiting), size)):
                sums = programs.integrate([sections[i] for i in some], n, spread, group.length).contributions
                for i, values in zip(some, sums, strict=True):
                    tokens = part[i].tokens
                    found[group.members[i]] = values[:, :tokens].sum(axis=0, dtype=np.float64)
                    chosen[group.members[i]] = int(own[i])
    return chosen, found
