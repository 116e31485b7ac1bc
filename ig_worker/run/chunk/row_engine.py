"""An engine for rows: it decides what is explained of each, and puts together what its problems give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ig_worker.explain.explanation import Explanation, Float32
from ig_worker.explain.problems import Engine, combine
from ig_worker.explain.target_setting import TargetSetting
from ig_worker.models.inputs import ModelInput
from ig_worker.run.chunk.rows import Row

Outputs = Callable[[Sequence[ModelInput]], Sequence[Float32]]  # the network's, [classes], for each text
_FORWARD = 0.5  # evaluations of a forward pass
# An engine holds some 80 KiB of a problem of 256 tokens until all are done: bound it, whatever the size of a chunk.
PROBLEMS_AT_ONCE = 2048


@dataclass(frozen=True)
class Decision:
    """Rows whose targets are known, and the evaluations that it took to know those of each."""

    rows: list[Row]
    spent: list[float]


@dataclass(frozen=True)
class RowEngine:
    """Explains rows: problems of many of them go through the engine together.

    Args:
        engine: for problems.
        setting: what is asked for.
        outputs: by which targets are decided that no single forward pass decides on its way.
    """

    engine: Engine
    setting: TargetSetting
    outputs: Outputs

    def decide(self, rows: Sequence[Row]) -> Decision:
        """The targets of rows. An engine decides those of one path by itself, without another forward pass."""
        open_ = [i for i, row in enumerate(rows) if row.undecided]
        texts = [path.text for i in open_ for path in rows[i].paths]
        found = iter(self.outputs(texts) if texts else ())
        decided, spent = list(rows), [0.0] * len(rows)
        for i in open_:
            row, weights = rows[i], [path.weight for path in rows[i].paths]
            outputs = np.sum([weight * next(found) for weight in weights], axis=0, dtype=np.float32)
            decided[i] = replace(row, targets=self.setting.decided(row.targets, outputs))
            spent[i] = _FORWARD * len(row.paths)
        return Decision(decided, spent)

    def explain(self, rows: Sequence[Row]) -> list[tuple[Explanation, ...]]:
        """The explanations of each row, one for each of its targets, in their order."""
        decision = self.decide(rows)
        costs = [len(row.targets) * len(row.paths) for row in decision.rows]
        parts = portions(costs, PROBLEMS_AT_ONCE)
        return [
            found for part in parts for found in self._together(Decision(decision.rows[part], decision.spent[part]))
        ]

    def _together(self, decision: Decision) -> list[tuple[Explanation, ...]]:
        found = iter(self.engine.explain([one for row in decision.rows for part in row.problems for one in part]))
        every = []
        for row, spent in zip(decision.rows, decision.spent, strict=True):
            results = [combine(part, [next(found) for _ in part], len(row.tokens.tokens)) for part in row.problems]
            share = spent / len(results)
            every.append(tuple(replace(one, evaluations=one.evaluations + share) if share else one for one in results))
        return every


def portions(costs: Sequence[int], most: int) -> list[slice]:
    """Neighbours whose costs add up to at most `most`, as many as do; one that costs more is alone."""
    found: list[slice] = []
    start = total = 0
    for place, cost in enumerate(costs):
        if place > start and total + cost > most:
            found.append(slice(start, place))
            start, total = place, 0
        total += cost
    return [*found, slice(start, len(costs))] if costs else []
