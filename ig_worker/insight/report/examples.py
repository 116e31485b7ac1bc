"""Reviews that a reader should see, as cards: chosen from a few numbers a row, then read one chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ig_worker.insight.format import probability, signed
from ig_worker.insight.heat.pieces import second_text, words
from ig_worker.insight.report.section import Classes, View
from ig_worker.insight.tables.measures import confidence
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import SEGMENTS

_LIGHT = ["label", "prediction", "probabilities", "delta", "word_ids"]
_SHOWN = [
    "id",
    "label",
    "prediction",
    "target",
    "probabilities",
    "target_probability",
    "baseline_probability",
    "tokens",
    "word_ids",
    SEGMENTS,  # only of pairs
    "attributions",
    "delta",
    "evaluations",
    "status",
    "truncated",
]

# Kinds of example in the order shown, and the part of all examples that each may take. A kind that has too few rows
# leaves its places to those of `_FILL`.
WRONG, RIGHT, UNLABELLED, UNCERTAIN = "wrong", "right", "unlabelled", "uncertain"
INEXACT, LONG, SHORT = "inexact", "long", "short"
SHARES = {WRONG: 0.3, RIGHT: 0.3, UNLABELLED: 0.1, UNCERTAIN: 0.15, INEXACT: 0.05, LONG: 0.05, SHORT: 0.05}
_FILL = (RIGHT, UNLABELLED, WRONG, UNCERTAIN)
_TITLES = {  # kind -> title and note
    WRONG: ("Confident and wrong", "The model was sure, and the label disagrees. Look at the label, too."),
    RIGHT: ("Confident and right", "The surest correct predictions, the classes in turn."),
    UNLABELLED: ("Confident, without a label", "The surest predictions among texts without a label."),
    UNCERTAIN: ("Least certain", "The predicted class hardly won."),
    INEXACT: ("Largest |delta|", "Where the attributions sum least exactly to the change in probability."),
    LONG: ("Longest", ""),
    SHORT: ("Shortest", ""),
}


@dataclass(frozen=True)
class Candidates:
    """The few numbers of every row by which examples are chosen; about 40 bytes a row."""

    chunk: NDArray[np.int64]  # [rows]
    position: NDArray[np.int64]  # [rows], in the attributions file of the chunk
    label: NDArray[np.int64]  # [rows], -1 where null
    prediction: NDArray[np.int64]  # [rows]
    confidence: NDArray[np.float64]  # [rows], probability of the predicted class
    abs_delta: NDArray[np.float64]  # [rows]
    length: NDArray[np.int64]  # [rows], tokens other than special ones
    classes: int


@dataclass(frozen=True)
class Example:
    """A chosen row."""

    row: int  # index into Candidates
    kind: str


def read_candidates(store: RunStore) -> Candidates:
    """The few numbers of every committed row; memory is one chunk's light columns besides the result."""
    parts = [_light(index, store.results.read(index, _LIGHT)) for index in sorted(store.results.commits())]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "classes"}
    return Candidates(**columns, classes=max(part["classes"] for part in parts))


def _light(index: int, table: pa.Table) -> dict[str, Any]:
    word_ids = table.column("word_ids").combine_chunks()
    row = pc.list_parent_indices(word_ids).to_numpy(zero_copy_only=False)
    ordinary = pc.list_flatten(word_ids).to_numpy(zero_copy_only=False) >= 0
    return {
        "chunk": np.full(table.num_rows, index, np.int64),
        "position": np.arange(table.num_rows),
        "label": table.column("label").fill_null(-1).to_numpy().astype(np.int64),
        "prediction": table.column("prediction").to_numpy().astype(np.int64),
        "confidence": confidence(table),
        "abs_delta": np.abs(table.column("delta").to_numpy().astype(np.float64)),
        "length": np.bincount(row[ordinary], minlength=table.num_rows),
        "classes": pc.max(pc.list_value_length(table.column("probabilities"))).as_py() or 0,
    }


def choose_examples(rows: Candidates, count: int) -> list[Example]:
    """At most `count` rows, each once, grouped by kind in the order of `SHARES`.

    The most confident wrong ones, the most confident right ones of each class in turn (or, without labels, the most
    confident of each class), the least certain, those with the largest |delta|, the longest and the shortest. Ties go
    to the earlier row, so one run always shows the same examples.
    """
    orders = _orders(rows)
    taken: dict[int, str] = {}
    for kind, share in [*SHARES.items(), *((kind, 1.0) for kind in _FILL)]:
        places = min(max(1, round(share * count)), count - len(taken))
        free = [row for row in orders[kind].tolist() if row not in taken]
        taken.update(dict.fromkeys(free[:places], kind))
    return [Example(row, kind) for kind in SHARES for row in orders[kind].tolist() if taken.get(row) == kind]


def _orders(rows: Candidates) -> dict[str, NDArray[np.int64]]:
    """For each kind the rows that can be of it, the best first."""
    labelled = rows.label >= 0
    right = labelled & (rows.label == rows.prediction)
    sure = np.argsort(-rows.confidence, kind="stable")
    return {
        WRONG: sure[(labelled & ~right)[sure]],
        RIGHT: _in_turn(sure[right[sure]], rows.prediction),
        UNLABELLED: _in_turn(sure[~labelled[sure]], rows.prediction),
        UNCERTAIN: np.argsort(rows.confidence, kind="stable"),
        INEXACT: np.argsort(-rows.abs_delta, kind="stable"),
        LONG: np.argsort(-rows.length, kind="stable"),
        SHORT: np.argsort(rows.length, kind="stable"),
    }


def _in_turn(order: NDArray[np.int64], prediction: NDArray[np.int64]) -> NDArray[np.int64]:
    """`order` with the classes in turn: the first row of each class, then the second of each, and so on."""
    classes = prediction[order]
    rank = np.zeros(len(order), np.int64)
    for number in np.unique(classes):
        rank[classes == number] = np.arange(np.count_nonzero(classes == number))
    return order[np.lexsort((classes, rank))]


def read_examples(store: RunStore, rows: Candidates, examples: list[Example]) -> list[dict[str, Any]]:
    """The chosen rows as dictionaries, in the order of `examples`; one chunk is in memory at a time."""
    found: dict[int, dict[str, Any]] = {}
    for chunk in sorted({int(rows.chunk[example.row]) for example in examples}):
        here = [example.row for example in examples if rows.chunk[example.row] == chunk]
        table = store.results.read(chunk, _SHOWN).take(rows.position[here])
        found.update(zip(here, table.to_pylist(), strict=True))
    return [found[example.row] for example in examples]


def example_groups(chosen: list[Example], rows: list[dict[str, Any]], classes: Classes) -> list[View]:
    """The example reviews by kind, in their order; `rows` as `read_examples` gives them."""
    groups: dict[str, View] = {}
    for example, row in zip(chosen, rows, strict=True):
        title, note = _TITLES[example.kind]
        group = groups.setdefault(example.kind, {"kind": example.kind, "title": title, "note": note, "cards": []})
        group["cards"].append(card(row, classes))
    return list(groups.values())


def card(row: dict[str, Any], classes: Classes) -> View:
    """One example review."""
    second = second_text(row["word_ids"], row.get(SEGMENTS))
    label, prediction, target = row["label"], row["prediction"], row["target"]
    return {
        "id": row["id"],
        "verdict": "unlabelled" if label is None else "right" if label == prediction else "wrong",
        "label": classes.name(label),
        "prediction": classes.name(prediction),
        "target": classes.name(target) if target != prediction else "",
        "confidence": probability(row["probabilities"][prediction]),
        "probability": probability(row["target_probability"]),
        "baseline": probability(row["baseline_probability"]),
        "sum": signed(float(np.sum(np.asarray(row["attributions"], np.float64)))),
        "delta": signed(row["delta"]),
        "evaluations": f"{row['evaluations']:g}",
        "tokens": sum(word_id >= 0 for word_id in row["word_ids"]),
        "limit": row["status"] == "evaluation_limit",
        "truncated": row["truncated"],
        "words": words(row["tokens"], row["word_ids"], row["attributions"], second),
    }
