"""The pilot of a run: which rows it has, how what fails is left out of it, and how its rows are put into their chunks.

Its explanations are final. They are written once, and each chunk takes its own from there: so its bytes depend neither
on who explains it nor on when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.explanation import Explanation
from ig_worker.explain.precision import Choice
from ig_worker.explain.problems import Problem, combine
from ig_worker.run.chunk.rows import Explained, Row, find_failing, machine_fault, require_health
from ig_worker.run.chunk.sampling import draw, pilot_places
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:  # TensorFlow: seconds
    from ig_worker.explain.pilot import PilotEngine
    from ig_worker.run.chunk.row_engine import RowEngine

_SPARE = 20  # rows more than are wanted, at least: they take the place of what cannot be explained


@dataclass(frozen=True)
class PilotRecord:
    """What the driver learns of a pilot."""

    calibration: Calibration
    digest: str = ""  # of its rows in the store; empty where they are to be explained again
    rows: int = 0
    evaluations: float = 0.0
    seconds: float = 0.0
    choice: Choice | None = None  # of the precision; None: it is what was asked for, or float32


def pilot_table(store: RunStore, count: int) -> pa.Table:
    """The rows with the least hashes of all that have no fault, as in chunks: `count`, and some to replace others."""
    chunks = sorted(store.chunks.indexes())
    listed = ((id, index, position) for index in chunks for position, id in _faultless(store, index))
    places = pilot_places(listed, count + max(_SPARE, count // 10))
    rows: dict[tuple[int, int], pa.Table] = {}
    for index in sorted({index for index, _ in places}):
        table, _ = store.chunks.read(index)
        rows |= {place: table.take([place[1]]) for place in places if place[0] == index}  # copies: chunks are let go
    return pa.concat_tables(_bare(rows[place] for place in places) or [pa.Table.from_batches([], schema=schema.INPUT)])


def _bare(tables: Any) -> list[pa.Table]:
    return [table.replace_schema_metadata(None) for table in tables]


def _faultless(store: RunStore, index: int) -> list[tuple[int, str]]:
    ids, faults = store.chunks.ids(index)
    return [(position, id) for position, id in enumerate(ids) if position not in faults]


def calibrate(
    engine: PilotEngine, plain: RowEngine, rows: Sequence[Row], count: int, known_good: Problem
) -> tuple[Calibration, Explained]:
    """What the first `count` rows that can be explained tell of the others, and their own explanations.

    Args:
        engine: that calibrates.
        plain: that tells which rows raise, where any do.
        rows: in the order of their hashes, more than `count` where there are so many.
        count: rows of the pilot.
        known_good: has to be explained before a row is blamed; see `rows.explain_rows`.
    """
    left = list(rows)
    while left[:count]:
        taken = left[:count]
        try:
            calibration, found = _try(engine, plain, taken)
        except Exception as error:
            if machine_fault(error):
                raise
            require_health(plain.engine, known_good)
            failing = find_failing(taken, plain.explain)
            bad = {row.position for row, _ in failing}
            if not bad:
                raise
        else:
            bad = {row.position for row, result in zip(taken, found, strict=True) if not result.finite()}
            if not bad:
                return calibration, [(row, (result,)) for row, result in zip(taken, found, strict=True)]
            require_health(plain.engine, known_good)
        left = [row for row in left if row.position not in bad]
    return CAUTIOUS, []


def _try(engine: PilotEngine, plain: RowEngine, rows: Sequence[Row]) -> tuple[Calibration, list[Explanation]]:
    decision = plain.decide(rows)
    parts = [(len(row.tokens.tokens), one_of(row)) for row in decision.rows]
    calibration, found = engine.calibrate([problem for _, part in parts for problem in part])
    each = iter(found)
    results = [combine(part, [next(each) for _ in part], tokens) for tokens, part in parts]
    return calibration, [
        replace(one, evaluations=one.evaluations + spent) if spent else one
        for one, spent in zip(results, decision.spent, strict=True)
    ]


def one_of(row: Row) -> tuple[Problem, ...]:
    """The problems of one target of a row: by a hash of its id, so that all of a run's come to their turn.

    What the pilot promises is promised of a target that is drawn so; with each it would cost as many times as much.
    """
    return row.problems[draw(row.id, len(row.targets))]


def explanations(rows: pa.Table) -> dict[str, tuple[Explanation, ...]]:
    """The explanations in rows of `schema.attributions`, by id, each of one target.

    Written once more, they are the same bytes.
    """
    return {row["id"]: (_explanation(row),) for row in rows.to_pylist()}


def _explanation(row: dict[str, Any]) -> Explanation:
    same = (
        "target", "contrast", "target_probability", "baseline_probability", "delta", "error_estimate", "evaluations",
        "status",
    )  # fmt: skip
    return Explanation(
        probabilities=np.array(row["probabilities"], np.float32),
        attributions=np.array(row["attributions"], np.float32),
        **{name: row[name] for name in same},
    )
