"""Labels that are numbers, for a model that gives a number: what the cells of a column say. All pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import FaultLines, shown
from ig_worker.data.labels import MOST_LABELS, LabelCounter, encoded, spread_out
from ig_worker.data.meanings import in_words
from ig_worker.data.spelling import UNKNOWN, says_nothing, spelling
from ig_worker.errors import DataError

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TRUTHS = {"false": 0.0, "true": 1.0}
_LARGEST = float(np.finfo(np.float32).max)


def as_value(label: str) -> float | None:
    """The number that a spelling writes, within the range of float32; None where it writes none."""
    found = _TRUTHS.get(label.casefold())
    if found is None and _NUMBER.fullmatch(label):
        found = float(label)
    return found if found is not None and abs(found) <= _LARGEST else None


class ValueCounter(LabelCounter):
    """Counts the labels of the rows that a run is about: in `counts` only those that are no numbers."""

    def __init__(self, first: int = 0, end: int | None = None) -> None:
        super().__init__(first, end)
        self.numbers, self.total = 0, 0.0
        self.least, self.most = math.inf, -math.inf

    def absorb(self, other: LabelCounter) -> None:
        """As of any counter."""
        super().absorb(other)
        if isinstance(other, ValueCounter):
            self.numbers, self.total = self.numbers + other.numbers, self.total + other.total
            self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    @property
    def missing(self) -> int:
        """Rows without a label."""
        return self.looked_at - self.numbers - self.counts.total()

    def _enter(self, value: object, rows: int) -> None:
        try:
            found = spelling(value) if rows else None
        except TypeError:
            return
        number = None if found is None else as_value(found)
        if number is not None:
            self.numbers, self.total = self.numbers + rows, self.total + rows * number
            self.least, self.most = min(self.least, number), max(self.most, number)
        elif found is not None and len(self.counts) <= MOST_LABELS:
            self.counts[found] += rows


@dataclass(frozen=True)
class ValueLabelling:
    """What the labels of a data set mean, where they are numbers."""

    counts: Mapping[str, int] = field(default_factory=dict)  # a word -> rows; empty where no row has a label
    missing: int = 0
    span: tuple[float, float, float] = (0.0, 0.0, 0.0)  # the least, the mean, the largest
    class_names: tuple[str, ...] = ()  # of the number that the model gives
    notes: tuple[str, ...] = ()

    def decisive(self) -> object:
        """What decides the rows, besides the bytes of the files."""
        return {"outputs": schema.VALUES}

    def line(self) -> str:
        """Such as ``120 numbers from 0.5 to 4.9, 3.1 on average; none: 2``."""
        least, mean, most = self.span
        told = f"{sum(self.counts.values()):,} numbers from {least:g} to {most:g}, {mean:.4g} on average"
        return told + (f"; none: {self.missing:,}" if self.missing else "")

    def columns(self, raw: pa.Array) -> tuple[list[pa.Array], FaultLines]:
        """(`label`, which is null, and `value`; faults) of a label column of any scalar type."""
        places, values = encoded(raw)
        meant: list[float | None] = []
        faults: dict[int, str] = {}
        for place, value in enumerate(values):
            try:
                found = spelling(value)
                number = None if found is None else as_value(found)
                if found is not None and number is None and not _is_nothing(found):
                    faults[place] = f"label {shown(found)} is not a number"
            except TypeError:
                number, faults[place] = None, f"label {shown(value)} is not a number"
            meant.append(number)
        numbers, lines = spread_out(places, meant, schema.TRUTHS[schema.VALUES].type, faults)
        return [pa.nulls(len(raw), pa.int32()), numbers], lines


def _is_nothing(label: str) -> bool:
    """Whether a spelling says that a number is not known: -1 is a number like any other."""
    return label != UNKNOWN and says_nothing(label)


def value_labels(counter: ValueCounter, where: str, names: Iterable[str] = ()) -> ValueLabelling:
    """What the labels of a data set mean, where they have to be numbers, or to say nothing.

    Args:
        counter: the labels.
        where: the data set, for messages.
        names: of what the model gives.

    Raises:
        DataError: some are no numbers.
    """
    nothing = {label: rows for label, rows in counter.counts.items() if _is_nothing(label)}
    outside = {label: rows for label, rows in sorted(counter.counts.items()) if label not in nothing}
    if outside:
        raise DataError(
            f"the labels of {where} are {in_words(outside)}, and {counter.numbers:,} numbers",
            expected="numbers such as 3 or 0.25, as the model gives one, or nothing where a label is not known",
            remedy="name another column with --label-column, or read no labels with --label-column ''",
        )
    notes = (f"rows labelled {in_words(nothing)} are taken for rows without a label",) if nothing else ()
    mean = counter.total / max(counter.numbers, 1)
    counts = {"numbers": counter.numbers} if counter.numbers else {}
    missing = counter.missing + sum(nothing.values())
    return ValueLabelling(counts, missing, (counter.least, mean, counter.most), tuple(names), notes)


def label_numbers(values: Iterable[object], tell: Callable[[str], None] = lambda _: None) -> list[float | None]:
    """Numbers of labels that are in memory, as `value_labels` gives them to those of a file.

    Raises:
        DataError: some are no numbers.
    """
    counter, spelled = ValueCounter(), []
    for value in values:
        try:
            spelled.append(spelling(value))
        except TypeError as error:
            raise DataError(f"label {shown(value)} is not a number", expected="numbers") from error
        counter.add_value(value)
    for note in value_labels(counter, "the texts").notes:
        tell(note)
    return [None if one is None else as_value(one) for one in spelled]
