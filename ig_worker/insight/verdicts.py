"""What a model says of one text beside what the data say, for pages and notebooks: a class, labels, or a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ig_worker.explain.predicted import DEFAULT, predicted_labels
from ig_worker.insight.format import measured, probability
from ig_worker.schema import CLASSES, LABEL_LISTS, LABELS, VALUE, VALUES, outputs_in

RIGHT, WRONG, MISSED, UNLABELLED = "right", "wrong", "missed", "unlabelled"
SIGNS = {RIGHT: "✓ ", WRONG: "✗ ", MISSED: "missed ", UNLABELLED: ""}
Name = Callable[[int], str]


@dataclass(frozen=True)
class Chip:
    """One label of a text: predicted, or missed."""

    number: int
    name: str
    probability: str
    kind: str  # whether the data say so, too: RIGHT, WRONG, MISSED or UNLABELLED

    @property
    def text(self) -> str:
        """Such as ``✓ joy 0.912``."""
        return f"{SIGNS[self.kind]}{self.name} {self.probability}"


def chips(probabilities: Sequence[float], truth: Sequence[int] | None, name: Name, threshold: float) -> list[Chip]:
    """The predicted labels, the most likely first, then those that are missed.

    Args:
        probabilities: [labels].
        truth: numbers of the labels that the data say apply; None: they do not say.
        name: of a label by its number.
        threshold: from which probability on a label is predicted.
    """
    told = sorted(predicted_labels(probabilities, threshold), key=lambda number: -probabilities[number])
    kinds = {number: UNLABELLED if truth is None else RIGHT if number in truth else WRONG for number in told}
    kinds |= {number: MISSED for number in truth or () if number not in kinds}
    return [Chip(number, name(number), probability(probabilities[number]), kind) for number, kind in kinds.items()]


def verdict(row: Mapping[str, Any], threshold: float = DEFAULT) -> str:
    """Whether all that is said of a text, a row of `schema.attributions`, is right; UNLABELLED where nobody knows."""
    if outputs_in(row) == LABELS:
        truth = row[LABEL_LISTS]
        if truth is None:
            return UNLABELLED
        return RIGHT if predicted_labels(row["probabilities"], threshold) == list(truth) else WRONG
    if outputs_in(row) == VALUES or row["label"] is None:
        return UNLABELLED
    return RIGHT if row["label"] == row["prediction"] else WRONG


def truth_of(row: Mapping[str, Any], name: Name) -> str:
    """What the data say of a text."""
    outputs = outputs_in(row)
    if outputs == LABELS:
        truth = row[LABEL_LISTS]
        if not truth:
            return "labels not known" if truth is None else "no label applies"
        return f"{'labels' if len(truth) > 1 else 'label'} {', '.join(map(name, truth))}"
    if outputs == VALUES:
        if row[VALUE] is None:
            return "no number in the data"
        error = row["probabilities"][row["target"]] - row[VALUE]
        return f"in the data {measured(row[VALUE])}, error {error:+.3g}"
    return "no label" if row["label"] is None else f"label {name(row['label'])}"


def prediction_of(row: Mapping[str, Any], name: Name, threshold: float = DEFAULT) -> str:
    """What the model says of a text, in one line."""
    outputs = outputs_in(row)
    if outputs == LABELS:
        found = chips(row["probabilities"], None, name, threshold)
        return ", ".join(chip.text for chip in found) or "no label"
    if outputs == CLASSES:
        return f"{name(row['prediction'])} {row['probabilities'][row['prediction']]:.3f}"
    return f"{name(row['target'])} {measured(row['probabilities'][row['target']])}"


def scalar_of(row: Mapping[str, Any], name: Name) -> str:
    """What is explained of a text: a class, or one less another."""
    contrast = row.get("contrast")
    return name(row["target"]) if contrast is None else f"{name(row['target'])} − {name(contrast)}"
