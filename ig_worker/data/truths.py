"""What labels are, by what the model says of a text: classes, lists of labels, or numbers. All pure."""

from __future__ import annotations

from collections.abc import Sequence

from ig_worker.data.label_lists import ListCounter, ListLabelling, number_lists, with_marks
from ig_worker.data.label_map import LabelMap
from ig_worker.data.label_numbers import ValueCounter, ValueLabelling, value_labels
from ig_worker.data.labels import LabelCounter, Labelling, number_labels
from ig_worker.errors import DataError
from ig_worker.schema import LABELS, VALUES

Truths = Labelling | ListLabelling | ValueLabelling


def label_counter(
    outputs: str, window: tuple[int, int | None], classes: Sequence[str], label_map: LabelMap | None
) -> LabelCounter:
    """What counts the labels while all rows are read.

    Args:
        outputs: what the model says, of `schema.OUTPUTS`.
        window: rows that a run is about, as `LabelCounter` takes them.
        classes: names of the model's classes; none where they are not known.
        label_map: what the user says of labels.

    Raises:
        DataError: there is a map, and labels are numbers.
    """
    if outputs == LABELS:
        return ListCounter(*window, with_marks([*classes, *(label_map.entries if label_map else ())]))
    if outputs != VALUES:
        return LabelCounter(*window)
    if label_map is not None:
        raise DataError(
            "--label-map is given, and the model gives a number",
            expected="labels that are numbers themselves",
            remedy="leave it out",
        )
    return ValueCounter(*window)


def labels_meaning(
    counter: LabelCounter,
    where: str,
    classes: Sequence[str] | None,
    own: Sequence[str],
    label_map: LabelMap | None,
) -> Truths:
    """What the labels of a data set mean. Arguments are those of `labels.number_labels`.

    Raises:
        DataError: some mean nothing, or could be meant in two ways.
    """
    if isinstance(counter, ValueCounter):
        return value_labels(counter, where, classes or ())
    if isinstance(counter, ListCounter):
        return number_lists(counter, where, classes or (), own, label_map)
    return number_labels(counter, where, classes, own, label_map)
