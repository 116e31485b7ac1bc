"""Reviews that a reader should see, as cards: chosen from a few numbers a row, then read one chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ig_worker.insight.findings.check import rows_with
from ig_worker.insight.format import measured, probability, signed
from ig_worker.insight.heat.pieces import second_text, words
from ig_worker.insight.report.section import Classes, View
from ig_worker.insight.tables.flat_rows import Flat, first_of_texts
from ig_worker.insight.tables.run_outputs import outputs_of, threshold_of
from ig_worker.insight.verdicts import SIGNS, chips, scalar_of, truth_of, verdict
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, RANK, SEGMENTS, VALUE, VALUES

_LIGHT = ["label", LABEL_LISTS, VALUE, RANK, "prediction", "target", "probabilities", "delta", "word_ids"]
_SHOWN = [
    "id",
    "label",
    LABEL_LISTS,  # only where a text may have several labels
    VALUE,  # only where the label is a number
    "prediction",
    "target",
    "contrast",
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


_OF_LABELS = {
    WRONG: ("Most labels wrong", "The labels disagree. Look at those of the data, too."),
    RIGHT: ("Every label right", "The surest of them, the likeliest labels in turn."),
    UNLABELLED: ("Without known labels", "The surest predictions."),
    UNCERTAIN: ("Least certain", "A label is hardly above the threshold, or hardly below it."),
}
_OF_VALUES = {
    WRONG: ("Largest errors", "The number is far from that of the data. Look at the data, too."),
    RIGHT: ("Smallest errors", ""),
    UNLABELLED: ("Without a number in the data", "The largest numbers first."),
    INEXACT: ("Largest |delta|", "Where the attributions sum least exactly to the change in the number."),
}
_TITLES_OF = {CLASSES: _TITLES, LABELS: _TITLES | _OF_LABELS, VALUES: _TITLES | _OF_VALUES}


@dataclass(frozen=True)
class Candidates:
    """The few numbers of every row by which examples are chosen; about 40 bytes a row."""

    chunk: NDArray[np.int64]  # [rows]
    position: NDArray[np.int64]  # [rows], in the attributions file of the chunk
    label: NDArray[np.int64]  # [rows], -1 where null
    prediction: NDArray[np.int64]  # [rows]
    # [rows], probability of the predicted class; of several labels, how far the least sure is from the threshold; of a
    # number, it.
    confidence: NDArray[np.float64]
    abs_delta: NDArray[np.float64]  # [rows]
    length: NDArray[np.int64]  # [rows], tokens other than special ones
    classes: int
    outputs: str = CLASSES
    # [rows], of several labels how many are wrong, of a number the error; nan where nobody knows. None: of classes.
    wrong: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Example:
    """A chosen row."""

    row: int  # index into Candidates
    kind: str


def read_candidates(store: RunStore) -> Candidates:
    """The few numbers of every committed text; memory is one chunk's light columns besides the result."""
    threshold = threshold_of(store)
    parts = [_light(index, store.results.read(index, _LIGHT), threshold) for index in sorted(store.results.commits())]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "classes"}
    outputs = outputs_of(store)
    if outputs == CLASSES:
        columns.pop("wrong")
    return Candidates(**columns, classes=max(part["classes"] for part in parts), outputs=outputs)


def _light(index: int, table: pa.Table, threshold: float) -> dict[str, Any]:
    position = np.arange(table.num_rows)
    if RANK in table.schema.names:
        position = np.flatnonzero(table.column(RANK).to_numpy() == 0)
        table = first_of_texts(table)
    confidence, wrong = _how_sure(Flat(table, threshold=threshold))
    word_ids = table.column("word_ids").combine_chunks()
    row = pc.list_parent_indices(word_ids).to_numpy(zero_copy_only=False)
    ordinary = pc.list_flatten(word_ids).to_numpy(zero_copy_only=False) >= 0
    return {
        "chunk": np.full(table.num_rows, index, np.int64),
        "position": position,
        "label": table.column("label").fill_null(-1).to_numpy().astype(np.int64),
        "prediction": table.column("prediction").to_numpy().astype(np.int64),
        "confidence": confidence,
        "wrong": wrong,
        "abs_delta": np.abs(table.column("delta").to_numpy().astype(np.float64)),
        "length": np.bincount(row[ordinary], minlength=table.num_rows),
        "classes": pc.max(pc.list_value_length(table.column("probabilities"))).as_py() or 0,
    }


def _how_sure(flat: Flat) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(`Candidates.confidence`, `Candidates.wrong`) of some rows."""
    if flat.outputs == LABELS:
        margin = np.abs(flat.probability.astype(np.float64) - flat.threshold).min(axis=1, initial=1.0)
        return margin, np.where(flat.known, (flat.applies != flat.predicted).sum(axis=1), np.nan)
    if flat.outputs == VALUES:
        target = flat.integers("target")
        said = flat.probability[np.arange(len(target)), target].astype(np.float64)
        return said, np.abs(said - flat.numbers(VALUE))
    return flat.confidence, np.full(flat.table.num_rows, np.nan)


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
    sure = np.argsort(-rows.confidence, kind="stable")
    if rows.wrong is None:
        labelled = rows.label >= 0
        right = labelled & (rows.label == rows.prediction)
        wrong = sure
    else:
        labelled = ~np.isnan(rows.wrong)
        right = rows.wrong == 0
        wrong = sure[np.argsort(-np.nan_to_num(rows.wrong[sure]), kind="stable")]
    rightly = _in_turn(sure[right[sure]], rows.prediction)
    uncertain = np.argsort(rows.confidence, kind="stable")
    if rows.outputs == VALUES:  # which are right or wrong by degrees, and are sure of nothing
        right, rightly, uncertain = ~labelled, wrong[::-1][labelled[wrong[::-1]]], uncertain[:0]
    return {
        WRONG: wrong[(labelled & ~right)[wrong]],
        RIGHT: rightly,
        UNLABELLED: _in_turn(sure[~labelled[sure]], rows.prediction),
        UNCERTAIN: uncertain,
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


def read_by_id(store: RunStore, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some texts, in the order of `ids`."""
    found = {row["id"]: row for row in first_of_texts(rows_with(store, ids, [*_SHOWN, RANK])).to_pylist()}
    return [found[id] for id in ids if id in found]


def read_targets(store: RunStore, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """All that is explained of some texts, by id: the rows of each, the first target first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows_with(store, ids, [*_SHOWN, RANK]).to_pylist():
        found.setdefault(row["id"], []).append(row)
    return found


def example_groups(chosen: list[Example], rows: list[dict[str, Any]], classes: Classes) -> list[View]:
    """The example reviews by kind, in their order; `rows` as `read_examples` gives them."""
    groups: dict[str, View] = {}
    for example, row in zip(chosen, rows, strict=True):
        title, note = _TITLES_OF[classes.outputs][example.kind]
        group = groups.setdefault(example.kind, {"kind": example.kind, "title": title, "note": note, "cards": []})
        group["cards"].append(card(row, classes))
    return list(groups.values())


def card(row: dict[str, Any], classes: Classes) -> View:
    """One example review."""
    second = second_text(row["word_ids"], row.get(SEGMENTS))
    figure = measured if classes.outputs == VALUES else probability
    return {
        "id": row["id"],
        "chips": _chips(row, classes),
        "label": truth_of(row, classes.name),
        "target": _explained(row, classes),
        "probability": figure(row["target_probability"]),
        "baseline": figure(row["baseline_probability"]),
        "sum": signed(float(np.sum(np.asarray(row["attributions"], np.float64)))),
        "delta": signed(row["delta"]),
        "evaluations": f"{row['evaluations']:g}",
        "tokens": sum(word_id >= 0 for word_id in row["word_ids"]),
        "limit": row["status"] == "evaluation_limit",
        "truncated": row["truncated"],
        "words": words(row["tokens"], row["word_ids"], row["attributions"], second),
    }


def _chips(row: dict[str, Any], classes: Classes) -> list[View]:
    """What is predicted: a class, each of several labels, or a number."""
    if classes.outputs == LABELS:
        found = chips(row["probabilities"], row[LABEL_LISTS], classes.name, classes.threshold)
        return [{"kind": chip.kind, "text": chip.text} for chip in found]
    kind, number = verdict(row), row["target"] if classes.outputs == VALUES else row["prediction"]
    figure = (measured if classes.outputs == VALUES else probability)(row["probabilities"][number])
    return [{"kind": kind, "text": f"{SIGNS[kind]}{classes.name(number)} {figure}"}]


def _explained(row: dict[str, Any], classes: Classes) -> str:
    """The explained class, where that is not plain from what is predicted."""
    plain = classes.outputs == VALUES and classes.count == 1
    same = classes.outputs == CLASSES and row["target"] == row["prediction"]
    return "" if (plain or same) and row["contrast"] is None else str(scalar_of(row, classes.name))
