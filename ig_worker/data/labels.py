"""From what a label column says to class numbers. All pure: what a value means is decided once for a whole data set.

A value is known by its *spelling*: ``1``, ``1.0`` and ``" 1 "`` are the label ``1``, whatever the format of the file.
`LabelCounter` counts spellings while a file is read for the first time, `number_labels` decides what each means, or
refuses them all, and `numbered` puts class numbers in their place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from ig_worker.data.faults import FaultLines, shown
from ig_worker.data.label_map import LabelMap
from ig_worker.data.meanings import Meanings, in_words
from ig_worker.data.spelling import UNKNOWN, as_number, says_nothing, spelling
from ig_worker.errors import DataError

MOST_LABELS = 1000  # different ones: a column with more holds something else
_MOST_CLASSES = 2**31
_TRUTHS = {"false": 0, "true": 1}
_PLACEHOLDER = re.compile(r"label_(\d{1,9})", re.ASCII)  # how transformers calls classes without names


class LabelCounter:
    """Counts the labels of the rows that a run is about, while all rows are read.

    Args:
        first: position of the first row that counts.
        end: and of the first that no longer does; None counts to the last.
    """

    def __init__(self, first: int = 0, end: int | None = None) -> None:
        self._window = range(first, end if end is not None else 2**62)
        self.rows = 0  # read so far, whether they count or not
        self.counts: Counter[str] = Counter()  # spelling -> rows; no more than `MOST_LABELS` and a batch's

    def add(self, rows: int, labels: pa.Array | None) -> None:
        """Count a batch's label column; None where there is none."""
        if labels is not None:
            start = max(self._window.start - self.rows, 0)
            places, values = encoded(labels.slice(start, max(0, min(self._window.stop - self.rows, rows) - start)))
            for value, count in zip(values, np.bincount(places + 1, minlength=len(values) + 1)[1:], strict=True):
                self._enter(value, int(count))
        self.rows += rows

    def add_value(self, value: object) -> None:
        """Count one row's label; what is no scalar is a fault of its row, and counts as none."""
        if self.rows in self._window:
            self._enter(value, 1)
        self.rows += 1

    def add_same(self, rows: int, value: str | None) -> None:
        """Count rows that all have one label, or none."""
        self._enter(value, max(0, min(self.rows + rows, self._window.stop) - max(self.rows, self._window.start)))
        self.rows += rows

    def behind(self, rows: int) -> LabelCounter:
        """An empty counter that is `rows` rows further on than this one, as if these had no label."""
        other = type(self)(self._window.start, self._window.stop)
        other.rows = self.rows + rows
        return other

    def absorb(self, other: LabelCounter) -> None:
        """Add the counts of `other`, which `behind` made, and go on from its row."""
        self.counts.update(other.counts)
        self.rows = other.rows

    @property
    def missing(self) -> int:
        """Rows without a label, or with one that is no scalar, among those that the run is about."""
        return self.looked_at - self.counts.total()

    @property
    def looked_at(self) -> int:
        """Rows that the run is about, of those that were read."""
        return max(0, min(self.rows, self._window.stop) - self._window.start)

    def _enter(self, value: object, rows: int) -> None:
        """Count a label that so many rows have."""
        if rows and len(self.counts) <= MOST_LABELS:
            try:
                found = spelling(value)
            except TypeError:
                return
            if found is not None:
                self.counts[found] += rows


@dataclass(frozen=True)
class Labelling:
    """What the labels of a data set mean."""

    counts: Mapping[str, int] = field(default_factory=dict)  # rows with each spelling
    missing: int = 0  # rows without any label
    numbers: Mapping[str, int | None] = field(default_factory=dict)  # spelling -> class number, or no label
    class_names: tuple[str, ...] = ()  # by class number; empty where nobody names them
    notes: tuple[str, ...] = ()  # what was assumed, for people

    def unusual(self) -> dict[str, int | None]:
        """The spellings that are not simply the numbers that they name: they belong to a data set's digest."""
        return {value: number for value, number in sorted(self.numbers.items()) if number != _usual(value)}

    def decisive(self) -> object:
        """What decides the rows, besides the bytes of the files; nothing where each label is the number it names."""
        return self.unusual()

    def columns(self, raw: pa.Array) -> tuple[list[pa.Array], FaultLines]:
        """(`label`; faults) of a label column of any scalar type."""
        found, faults = numbered(raw, self.numbers)
        return [found], faults

    def of_classes(self) -> dict[int | None, int]:
        """Rows by class number; None counts those without a label."""
        found: Counter[int | None] = Counter()
        for value, rows in self.counts.items():
            found[self.numbers[value]] += rows
        found[None] += self.missing
        return {key: found[key] for key in sorted(found, key=lambda key: (key is None, key or 0)) if found[key]}

    def line(self) -> str:
        """The labels with their counts, such as ``0 negative: 12, 1 positive: 13, none: 2``."""
        names = {number: f"{number} {name}" for number, name in enumerate(self.class_names)} | {None: "none"}
        return ", ".join(f"{names.get(number, number)}: {rows:,}" for number, rows in self.of_classes().items())


def _usual(value: str) -> int | str | None:
    """The number that a spelling names by itself; for -1 none, and for what names no number the spelling."""
    number = _TRUTHS.get(value.casefold(), as_number(value))
    return None if value == UNKNOWN else value if number is None else number


def number_labels(
    counter: LabelCounter,
    where: str,
    classes: Sequence[str] | None = None,
    own: Sequence[str] = (),
    label_map: LabelMap | None = None,
) -> Labelling:
    """What each label of a data set means: a class number, or no label.

    In this order: what `label_map` says; the name of a class, in any case; -1, and the usual words for nothing, are no
    label. Without a map also: whole numbers are class numbers, True and False are 1 and 0, and ``LABEL_1``, which is
    how transformers calls a class without a name, is 1. A map has to be complete: that 4 is positive says that the
    numbers are no class numbers.

    Args:
        counter: the labels.
        where: the data set, for messages.
        classes: names of the model's classes, by number; None where there is no model yet.
        own: names of the classes of the data set, by its own numbers.
        label_map: what the user says of labels.

    Raises:
        DataError: some are none of these, or `label_map` names no class.
    """
    counts = dict(sorted(counter.counts.items(), key=lambda item: _order(item[0])))
    _check_number(counts, where)
    meanings = Meanings.of(where, counts, classes, own, label_map)
    numbers: dict[str, int | None] = {}
    outside = []
    for value in counts:
        try:
            numbers[value] = _number(value, meanings)
        except LookupError:
            outside.append(value)
    if outside:
        raise meanings.refusal(counts, outside)
    notes = [*meanings.notes, *_notes(counts, numbers, meanings)]
    return Labelling(counts, counter.missing, numbers, meanings.class_names, tuple(notes))


def _check_number(counts: Mapping[str, int], where: str) -> None:
    """Raise DataError where a column has more different values than classes can be."""
    if len(counts) > MOST_LABELS:
        examples = ", ".join(shown(value) for value in list(counts)[:3])
        raise DataError(
            f"the label column of {where} has more than {MOST_LABELS} different values, such as {examples}",
            expected="classes",
            remedy="name another with --label-column, or read no labels with --label-column ''",
        )


def _number(value: str, meanings: Meanings) -> int | None:
    """Class number of a spelling; raises LookupError where it has none."""
    known, number = meanings.named(value)
    if known:
        return number
    if says_nothing(value):
        return None
    placeholder = _PLACEHOLDER.fullmatch(value.casefold())
    number = _TRUTHS.get(value.casefold(), int(placeholder[1]) if placeholder else as_number(value))
    if meanings.mapped or number is None or not 0 <= number < _MOST_CLASSES:
        raise LookupError
    return meanings.renumbered(number)


def _order(value: str) -> tuple[bool, int, str]:
    number = as_number(value)
    return number is None, number or 0, value


def _notes(counts: Mapping[str, int], numbers: Mapping[str, int | None], meanings: Meanings) -> list[str]:
    """What was assumed of single values, for people."""
    nothing = {value: rows for value, rows in counts.items() if numbers[value] is None and not meanings.named(value)[0]}
    other = [value for value in counts if numbers[value] is not None and as_number(value) is None]
    notes = ["--label-map maps nothing: no row has a label"] if meanings.mapped and not counts else []
    found = sorted({number for number in numbers.values() if number is not None})
    gaps = len(found) < max(found, default=0) + 1 < MOST_LABELS and len(found) > 1
    if gaps and meanings.classes is None and not meanings.mapped:
        said = ", ".join(map(str, found[:10]))
        notes.append(f"labels are taken for numbers of classes, though they are {said} only (see --label-map)")
    if nothing:
        signs = UNKNOWN in nothing and found == [1] and not meanings.mapped
        hint = " (if -1 is a class, say --label-map=-1=0,1=1)" if signs else ""
        notes.append(f"rows labelled {in_words(nothing)} are taken for rows without a label{hint}")
    if other and not meanings.mapped:
        said = ", ".join(f"{shown(value)} = {meanings.called(numbers[value])}" for value in other[:10])
        notes.append(f"labels are taken for classes by name: {said}{' ...' if len(other) > 10 else ''}")
    return notes


def numbered(labels: pa.Array, numbers: Mapping[str, int | None]) -> tuple[pa.Array, FaultLines]:
    """(int32 labels, faults) of a label column of any scalar type, given what each spelling means."""
    places, values = encoded(labels)
    meant: list[int | None] = []
    faults_of: dict[int, str] = {}
    for place, value in enumerate(values):
        found = spelling(value)
        meant.append(None if found is None else numbers.get(found))
        if found is not None and found not in numbers:
            faults_of[place] = f"label {shown(found)} is not a class"
    return spread_out(places, meant, pa.int32(), faults_of)


def spread_out(
    places: np.ndarray, meant: Sequence[object], kind: pa.DataType, faults_of: Mapping[int, str]
) -> tuple[pa.Array, FaultLines]:
    """(column, faults) of rows, given what each of the values that `encoded` has found means, or is at fault for."""
    column = pa.array([*meant, None], kind).take(pa.array(np.where(places < 0, len(meant), places)))
    faults = {int(row): faults_of[int(places[row])] for row in np.flatnonzero(np.isin(places, list(faults_of)))}
    return column, faults


def encoded(labels: pa.Array) -> tuple[np.ndarray, list[object]]:
    """(places, values): a label column is ``values[place]`` for each of `places`, and null where that is -1."""
    kind = labels.type
    if pt.is_nested(kind):  # of lists, each stands by itself
        return np.arange(len(labels)), _plain_lists(labels).to_pylist()
    if pt.is_float16(kind):
        labels = labels.cast(pa.float32())
    elif pt.is_decimal(kind) and not (pt.is_decimal128(kind) or pt.is_decimal256(kind)):
        labels = labels.cast(pa.decimal128(kind.precision, kind.scale))
    elif pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):  # which need not be UTF-8
        labels = labels.cast(pa.binary())
    if not pt.is_dictionary(labels.type):
        labels = labels.dictionary_encode()
    values = labels.dictionary
    if pt.is_string(values.type) or pt.is_large_string(values.type) or pt.is_string_view(values.type):
        values = values.cast(pa.binary())
    places = labels.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return places, values.to_pylist()


def _plain_lists(labels: pa.Array) -> pa.Array:
    """Lists whose values Python can hold, even where strings are not UTF-8."""
    inner = labels.type.value_type
    inner = inner.value_type if pt.is_dictionary(inner) else inner
    if pt.is_string(inner) or pt.is_large_string(inner) or pt.is_string_view(inner):
        inner = pa.large_binary()
    elif pt.is_float16(inner):
        inner = pa.float32()
    return labels.cast(pa.large_list(inner))


def class_numbers(
    values: Iterable[object],
    classes: Sequence[str],
    label_map: Mapping[str, int | str] | LabelMap | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[int | None]:
    """Class numbers of labels that are in memory, as `number_labels` gives them to those of a file.

    Args:
        values: the labels; None and NaN where one is missing.
        classes: names of the model's classes, by number.
        label_map: what the user says of labels.
        tell: told what was assumed, each time in one line.

    Raises:
        DataError: some are no classes.
    """
    spelled = []
    counter = LabelCounter()
    for value in values:
        try:
            spelled.append(spelling(value))
        except TypeError as error:
            raise DataError(str(error), expected="numbers or names of classes") from error
        counter.add_value(value)
    said = LabelMap(label_map) if isinstance(label_map, Mapping) else label_map
    found = number_labels(counter, "the texts", classes, (), said)
    for note in found.notes:
        tell(note)
    return [None if value is None else found.numbers[value] for value in spelled]
