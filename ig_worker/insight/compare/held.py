"""What two runs say of texts that have no one class, held against each other and against the data: labels, or numbers.

What the data say is taken from the later run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.errors import UsageError
from ig_worker.insight.compare import statistics
from ig_worker.insight.tables import labels, values
from ig_worker.insight.tables.flat_rows import OUTCOMES, Flat
from ig_worker.insight.tables.measure import PartialTables, Totals
from ig_worker.schema import LABELS, TRUTHS, VALUES

COLUMNS = {
    LABELS: [
        TRUTHS[LABELS],
        pa.field("predicted_before", pa.list_(pa.int32())),
        pa.field("predicted", pa.list_(pa.int32())),
        pa.field("right_before", pa.bool_()),  # every label; null where nobody knows
        pa.field("right", pa.bool_()),
    ],
    VALUES: [
        TRUTHS[VALUES],
        pa.field("number_before", pa.float32()),
        pa.field("number", pa.float32()),
    ],
}  # of `rows.ROWS`, by what the models say
_MEASURES = {LABELS: labels.MEASURES["label_scores"], VALUES: values.MEASURES["value_scores"]}
_NOTHING = Totals(0, 0)  # of which these measures ask nothing


class Held:
    """Gathers pairs of rows.

    Args:
        outputs: what both models say: labels or values.
        thresholds: of the earlier run and of the later one.
    """

    def __init__(self, outputs: str, thresholds: tuple[float, float]) -> None:
        self.outputs, self._thresholds = outputs, thresholds
        self._parts: tuple[list[PartialTables], list[PartialTables]] = ([], [])
        self._changes: list[np.ndarray] = []

    def add(self, old: pa.Table, new: pa.Table) -> list[dict[str, Any]]:
        """Further columns of each pair of rows, those of `COLUMNS`; of labels also whether they have flipped."""
        truth = TRUTHS[self.outputs].name
        kept = old.drop_columns([truth]) if truth in old.schema.names else old
        both = kept.append_column(TRUTHS[self.outputs], new.column(truth)), new
        was, now = (Flat(table, threshold=t) for table, t in zip(both, self._thresholds, strict=True))
        if was.probability.shape != now.probability.shape:
            counts = f"{was.probability.shape[1]} and {now.probability.shape[1]}"
            raise UsageError(f"the models of the two runs give {counts} numbers", expected="models of the same outputs")
        for parts, flat in zip(self._parts, (was, now), strict=True):
            parts.append(_MEASURES[self.outputs].partial(flat))
        said = new.column(truth).to_pylist()
        if self.outputs == LABELS:
            return _label_columns(said, was, now)
        numbers = [_numbers(flat) for flat in (was, now)]
        self._changes.append(np.abs(numbers[1] - numbers[0]))
        return [
            {truth: one, "number_before": before, "number": after}
            for one, before, after in zip(said, *(column.tolist() for column in numbers), strict=True)
        ]

    def numbers(self, table: pa.Table) -> dict[str, Any]:
        """What `summary.Comparison` says of the pairs in `table`, of `rows.ROWS` and `COLUMNS`."""
        measure = _MEASURES[self.outputs]
        merged = [measure.merge(parts) for parts in self._parts]
        before, now = (measure.finish(part, _NOTHING).to_pylist()[0] for part in merged)
        found: dict[str, Any] = {"outputs": self.outputs, "labelled": now["labelled"]}
        found |= {"scores_before": _plain(before), "scores": _plain(now)}
        if self.outputs != LABELS:
            return found | {"change": float(np.concatenate(self._changes).mean())}
        was, right = (
            table.column(name).drop_null().to_numpy(zero_copy_only=False) for name in ("right_before", "right")
        )
        worse, better = int((was & ~right).sum()), int((~was & right).sum())
        by_label = [labels.labels_finish(part[:2], _NOTHING).to_pylist() for part in merged]
        return found | {
            "flips": int(np.sum(table.column("flipped").to_numpy(zero_copy_only=False))),
            "accuracy_before": before["subset_accuracy"],
            "accuracy": now["subset_accuracy"],
            "worse": worse,
            "better": better,
            "p_value": statistics.mcnemar(worse, better),
            "calibration_before": before["ece"],
            "calibration": now["ece"],
            "recalls": [
                (row["label"], row["support"], old["recall"], row["recall"])
                for old, row in zip(*by_label, strict=True)
                if row["support"]
            ],
        }


def _label_columns(said: list[list[int] | None], was: Flat, now: Flat) -> list[dict[str, Any]]:
    flips = (was.predicted != now.predicted).any(axis=1).tolist()
    rights = [[None if v == OUTCOMES.index("unlabelled") else v == 0 for v in flat.verdict] for flat in (was, now)]
    told = [[np.flatnonzero(row).tolist() for row in flat.predicted] for flat in (was, now)]
    names = ("labels", "flipped", "right_before", "right", "predicted_before", "predicted")
    return [dict(zip(names, row, strict=True)) for row in zip(said, flips, *rights, *told, strict=True)]


def _numbers(flat: Flat) -> np.ndarray:
    target = flat.integers("target")
    return flat.probability[np.arange(len(target)), target].astype(np.float64)


def _plain(scores: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: None if value is None else float(value) for name, value in scores.items()}
