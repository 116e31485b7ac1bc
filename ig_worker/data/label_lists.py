"""Several labels of a text: what the cells of a column say, as lists of class numbers. All pure.

A cell is a list, or text that writes one: ``joy, anger`` (or with ``;`` or ``|``), ``3,7``, ``["joy", "anger"]``. Each
of its entries is a label as `labels` knows them, and means what it means there. An empty cell says that no label
applies, one that is missing that nobody knows.

Lists may also say of each class whether it applies: ``[0, 1, 0]``. They are taken so where every list that is not empty
has one entry for each class, all of them are 0 or 1, and they cannot be numbers of classes: an entry comes twice in a
list, or is True or False.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import FaultLines, shown
from ig_worker.data.label_map import LabelMap
from ig_worker.data.labels import MOST_LABELS, LabelCounter, encoded, number_labels, spread_out
from ig_worker.data.spelling import UNKNOWN, spelling
from ig_worker.errors import DataError

_MARKS = "|;,"  # between the labels of a cell: the first of these that it has
_NUMPY = re.compile(r"\[[\s\d.+-]*\]", re.ASCII)  # "[0 1 0]", as pandas writes arrays
_TRUTHS = {"0": False, "1": True, "false": False, "true": True}

Items = tuple[str, ...]


def items(cell: object, whole: frozenset[str] = frozenset()) -> Items | None:
    """The spellings of the labels in a cell, in order; None where the cell is missing.

    Args:
        cell: a list, text, a number or nothing.
        whole: names of classes, in small letters, that are one label though they have a mark such as a comma in them.

    Raises:
        TypeError: it is none of these.
    """
    cell = cell.decode(errors="replace") if isinstance(cell, bytes) else cell
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    elif isinstance(cell, set | frozenset):
        cell = list(cell)
    if isinstance(cell, str):
        text = cell.strip()
        if text.startswith("[") and text.endswith("]"):
            cell = _written_list(text)
        elif text.casefold() not in whole:
            mark = next((mark for mark in _MARKS if mark in text), None)
            cell = list(filter(str.strip, text.split(mark)))
    if not isinstance(cell, list | tuple):
        found = spelling(cell)
        return None if found is None else (found,)
    return tuple(UNKNOWN if (found := spelling(one)) is None else found for one in cell)


def _written_list(text: str) -> list[object]:
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    if _NUMPY.fullmatch(text):
        return list(text[1:-1].split())
    raise TypeError(f"label {shown(text)} is not a list of classes")


def cell_text(value: object) -> str | None:
    """A label of JSON as the text of a cell that `items` reads as the same; None where it is missing.

    Raises:
        TypeError: an object, or a list of what are no labels.
    """
    if isinstance(value, list):
        items(value)
        return json.dumps(value)
    return value if isinstance(value, str) else spelling(value)


class ListCounter(LabelCounter):
    """Counts the labels in the lists of the rows that a run is about; a row counts once for each label that it has."""

    def __init__(self, first: int = 0, end: int | None = None, whole: frozenset[str] = frozenset()) -> None:
        super().__init__(first, end)
        self.whole = whole
        self.known = 0  # rows with a list
        self.empty = 0  # of these, with an empty one
        self.lengths: set[int] = set()  # of the others
        self.truths = True  # whether these hold 0 and 1 only
        self.repeats = False  # whether they cannot be numbers of classes
        self.applies: Counter[int] = Counter()  # place in a list -> rows with a 1 there, while `truths`

    def behind(self, rows: int) -> ListCounter:
        """As of any counter."""
        other = ListCounter(self._window.start, self._window.stop, self.whole)
        other.rows = self.rows + rows
        return other

    def absorb(self, other: LabelCounter) -> None:
        """As of any counter."""
        super().absorb(other)
        if isinstance(other, ListCounter):
            self.known, self.empty = self.known + other.known, self.empty + other.empty
            self.lengths |= other.lengths
            self.truths, self.repeats = self.truths and other.truths, self.repeats or other.repeats
            self.applies.update(other.applies)

    @property
    def missing(self) -> int:
        """Rows of whose labels nothing is known."""
        return self.looked_at - self.known

    def _enter(self, value: object, rows: int) -> None:
        try:
            found = items(value, self.whole) if rows else None
        except TypeError:
            return
        if found is None:
            return
        self.known += rows
        if not found:
            self.empty += rows
            return
        if len(self.counts) <= MOST_LABELS:
            self.counts.update(dict.fromkeys(found, rows))
        if not self.truths:
            return
        truths = [_TRUTHS.get(one.casefold()) for one in found]
        self.truths = None not in truths
        if self.truths and len(self.lengths) < 2:
            self.lengths.add(len(found))
            self.repeats |= len(set(truths)) < len(truths) or not all(one in ("0", "1") for one in found)
            self.applies.update({place: rows for place, applies in enumerate(truths) if applies})


@dataclass(frozen=True)
class ListLabelling:
    """What the lists of labels of a data set mean."""

    counts: Mapping[str, int] = field(default_factory=dict)  # rows with each spelling
    by_class: Mapping[int, int] = field(default_factory=dict)  # rows with each class
    none: int = 0  # rows to which no label applies
    missing: int = 0  # rows of whose labels nothing is known
    numbers: Mapping[str, int | None] = field(default_factory=dict)  # spelling -> class number, or not known
    each: int = 0  # of lists that say of each class whether it applies: their length; 0: they name those that do
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()

    def decisive(self) -> object:
        """What decides the rows, besides the bytes of the files."""
        plain = {value: number for value, number in sorted(self.numbers.items()) if value != str(number)}
        return {"outputs": schema.LABELS, "each": self.each, "labels": plain, "whole": sorted(self.whole)}

    def line(self) -> str:
        """Rows with each label, such as ``0 joy: 12, 1 anger: 3, none of them: 4, not known: 2``."""
        names = {number: f"{number} {name}" for number, name in enumerate(self.class_names)}
        told = [f"{names.get(number, number)}: {rows:,}" for number, rows in sorted(self.by_class.items())]
        more = {"none of them": self.none, "not known": self.missing}
        return ", ".join(told + [f"{what}: {rows:,}" for what, rows in more.items() if rows])

    def columns(self, raw: pa.Array) -> tuple[list[pa.Array], FaultLines]:
        """(`label`, which is null, and `labels`; faults) of a column of lists, or of what is read as such."""
        places, values = encoded(raw)
        meant: list[list[int] | None] = []
        faults: dict[int, str] = {}
        for place, value in enumerate(values):
            found: list[int] | None = None
            try:
                found = self.meaning(value)
            except (TypeError, LookupError) as error:
                faults[place] = str(error.args[0])
            meant.append(found)
        lists, lines = spread_out(places, meant, schema.TRUTHS[schema.LABELS].type, faults)
        return [pa.nulls(len(raw), pa.int32()), lists], lines

    def meaning(self, cell: object) -> list[int] | None:
        """Numbers of the classes that a cell says apply, rising; None where that is not known.

        Raises:
            TypeError: the cell is no list.
            LookupError: it has what is no class.
        """
        found = items(cell, self.whole)
        if found is None or not found:
            return None if found is None else []
        if self.each:
            truths = [_TRUTHS.get(one.casefold()) for one in found]
            if len(truths) != self.each or None in truths:
                raise LookupError(f"label {shown(list(found))} is not {self.each} times 0 or 1")
            return [number for number, applies in enumerate(truths) if applies]
        unknown = [one for one in found if one not in self.numbers]
        if unknown:
            raise LookupError(f"label {shown(unknown[0])} is not a class")
        numbers = {self.numbers[one] for one in found}
        return None if None in numbers else sorted(number for number in numbers if number is not None)


def number_lists(
    counter: ListCounter,
    where: str,
    classes: Sequence[str],
    own: Sequence[str] = (),
    label_map: LabelMap | None = None,
) -> ListLabelling:
    """What the lists of labels of a data set mean. Arguments and refusals are those of `labels.number_labels`.

    Raises:
        DataError: a list has what is no class, or lists could be meant in two ways.
    """
    rest = ListLabelling(none=counter.empty, missing=counter.missing, whole=counter.whole)
    if label_map is None and _say_each(counter, where, len(classes)):
        order = number_labels(LabelCounter(), where, classes, own)  # for the names
        note = f"lists of {len(classes)} times 0 or 1 are taken to say of each class whether it applies"
        return replace(
            rest, counts=counter.counts, by_class=counter.applies, each=len(classes), class_names=order.class_names,
            notes=(*order.notes, note),
        )  # fmt: skip
    found = number_labels(counter, where, classes, own, label_map)
    by_class: Counter[int] = Counter()
    for value, number in found.numbers.items():
        if number is not None:
            by_class[number] += found.counts[value]
    return replace(
        rest, counts=found.counts, by_class=by_class, numbers=found.numbers, class_names=found.class_names,
        notes=found.notes,
    )  # fmt: skip


def _say_each(counter: ListCounter, where: str, classes: int) -> bool:
    """Whether lists say of each class whether it applies, instead of naming those that do."""
    if not counter.truths or counter.lengths != {classes}:
        return False
    if counter.repeats or (classes == 1 and counter.applies):
        return True
    if counter.empty:  # which would be lists of no entry
        return False
    raise DataError(
        f"the labels of {where} are lists of {'0' if classes == 1 else '0 and 1'}: they may be numbers of the model's "
        f"{classes} classes, or say of each whether it applies",
        expected="lists that can be read in one way only",
        remedy="write the names of the classes, or say --label-map 0=0,1=1 where they are numbers",
    )


def with_marks(names: Iterable[str]) -> frozenset[str]:
    """The names that a cell of several labels cannot be cut at, in small letters."""
    return frozenset(name.strip().casefold() for name in names if set(_MARKS) & set(name))


def class_lists(
    values: Iterable[object],
    classes: Sequence[str],
    label_map: LabelMap | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[list[int] | None]:
    """Class numbers of lists of labels that are in memory, as `number_lists` gives them to those of a file.

    Raises:
        DataError: some are no classes.
    """
    values = list(values)
    counter = ListCounter(whole=with_marks(classes))
    for value in values:
        counter.add_value(value)
    found = number_lists(counter, "the texts", classes, (), label_map)
    for note in found.notes:
        tell(note)
    try:
        return [found.meaning(value) for value in values]
    except (TypeError, LookupError) as error:
        raise DataError(str(error.args[0]), expected="lists of numbers or names of classes") from error
