"""Names of classes against labels: the model's, the data set's own, and what a user's map says. All pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ig_worker.data.faults import shown
from ig_worker.data.label_map import LabelMap
from ig_worker.data.spelling import UNKNOWN, as_number, spelling
from ig_worker.errors import DataError

_SHOWN = 12  # labels or classes that a message lists
_SUGGESTED = 10
_NOTHING = ("", "null", "none")  # what a map can say for no label


@dataclass(frozen=True)
class Meanings:
    """What names and numbers of classes mean in one data set."""

    where: str
    classes: tuple[str, ...] | None  # the model's, by number
    own: tuple[str, ...] = ()  # the data set's, by its own numbers
    map: Mapping[str, int | None] | None = None  # label -> class number or no label
    order: tuple[int | None, ...] | None = None  # the data set's own numbers -> the model's; None: they are the same
    by_name: bool = False  # whole numbers are names of classes, such as those from "1" to "5"
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls,
        where: str,
        counts: Mapping[str, int],
        classes: Sequence[str] | None,
        own: Sequence[str],
        label_map: LabelMap | None,
    ) -> Meanings:
        """As `labels.number_labels` needs them.

        Raises:
            DataError: `label_map` names no class, or numbers could be meant in two ways.
        """
        known = None if classes is None else tuple(classes)
        names = known if known is not None else tuple(own) or _names_in(label_map)
        notes: list[str] = []
        if label_map is not None:
            if known is None and not own and names:
                notes.append(f"classes are numbered in the order of --label-map: {_listed(names)}")
            resolved = {
                spelling(label) or "": _resolved(label, value, label_map.quoted, names, known)
                for label, value in label_map.entries.items()
            }
            return cls(where, known, tuple(own), resolved, None, False, _shown_names(known, own, names), tuple(notes))
        by_name = _numbers_are_names(where, counts, known or ())
        if by_name:
            notes.append(
                f"the labels are taken for names of the model's classes, {_listed(names)}, and not for numbers"
            )
        order, note = _own_order(own, known)
        notes += [note] if note else []
        return cls(where, known, tuple(own), None, order, by_name, _shown_names(known, own, names), tuple(notes))

    @property
    def mapped(self) -> bool:
        return self.map is not None

    def named(self, label: str) -> tuple[bool, int | None]:
        """(whether a label is in the map or is the name of a class, its class number or None for no label)."""
        number = as_number(label)
        own = self.own[number] if number is not None and 0 <= number < len(self.own) else None
        if self.map is not None:
            for key in (label, own):
                place = None if key is None else _place(key, self.map)
                if place is not None:
                    return True, self.map[place]
        if number is not None and not self.by_name:
            return False, None
        found = _index(label, self.classes or ())
        if found is None and (mine := _index(label, self.own)) is not None:
            found = self.order[mine] if self.order else mine
        return found is not None, found

    def renumbered(self, number: int) -> int:
        """The model's number of a class that the data set gives a number to; raises LookupError where it has none."""
        found = number
        if self.order is not None:
            mine = self.order[number] if number < len(self.order) else None
            if mine is None:
                raise LookupError
            found = mine
        count = len(self.classes) if self.classes is not None else len(self.own)
        if (count or self.classes is not None) and found >= count:
            raise LookupError
        return found

    def called(self, number: int | None) -> str:
        """A class as a person knows it."""
        if number is None:
            return "none"
        return f"{number} ({self.class_names[number]})" if number < len(self.class_names) else str(number)

    def refusal(self, counts: Mapping[str, int], outside: Sequence[str]) -> DataError:
        """What is wrong, where the labels `outside` are no classes."""
        many = len(outside) > 1
        verb = (
            f"{'are' if many else 'is'} {'not in --label-map' if self.mapped else 'no classes' if many else 'no class'}"
        )
        suggestion = _suggestion(list(outside if self.mapped else counts), self.classes)
        return DataError(
            f"the labels of {self.where} are {in_words(counts)}: {_enumerated(outside)} {verb}",
            expected=f"{self._expected()}, or -1 or nothing where a label is not known",
            remedy=f"{'add' if self.mapped else 'say which is which, such as'} --label-map{suggestion}"
            + (" to it" if self.mapped else ", or read no labels with --label-column ''"),
        )

    def _expected(self) -> str:
        if self.classes is not None:
            return f"the model's classes {_listed(self.classes)}"
        return (
            f"the classes {_listed(self.own)}" if self.own else "class numbers from 0, as no model says what names mean"
        )


def are_placeholders(names: Sequence[str]) -> bool:
    """Whether classes have no names of their own, but numbers, or transformers' ``LABEL_0``."""
    return all(name.strip().casefold() in (str(i), f"label_{i}") for i, name in enumerate(names))


def in_words(counts: Mapping[str, int]) -> str:
    """Labels with their rows, such as ``0 (10 rows), 'good' (1 row)``."""
    said = [f"{_said(label)} ({rows:,} row{'' if rows == 1 else 's'})" for label, rows in list(counts.items())[:_SHOWN]]
    return ", ".join(said) + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def _said(label: str) -> str:
    return shown(label) if as_number(label) is None else label


def _enumerated(labels: Sequence[str]) -> str:
    return ", ".join(map(_said, labels[:_SHOWN])) + (" and others" if len(labels) > _SHOWN else "")


def _listed(names: Sequence[str]) -> str:
    """Classes, such as ``0 (negative), 1 (positive)``."""
    plain = are_placeholders(names)
    said = [str(i) if plain else f"{i} ({shown(name)[1:-1]})" for i, name in enumerate(names[:_SHOWN])]
    return ", ".join(said) + (f" ... {len(names) - 1}" if len(names) > _SHOWN else "")


def _shown_names(known: tuple[str, ...] | None, own: Sequence[str], names: tuple[str, ...]) -> tuple[str, ...]:
    if known is None:
        return names
    if not are_placeholders(known):
        return known
    return tuple(own) if len(own) == len(known) else ()


def _names_in(label_map: LabelMap | None) -> tuple[str, ...]:
    """Names of classes in the order of a map, where no model says which there are."""
    entries = {} if label_map is None else label_map.entries
    values = [value for value in entries.values() if str(value).casefold() not in _NOTHING]
    if any(isinstance(value, int) or as_number(value) is not None for value in values):
        return ()
    return tuple(dict.fromkeys(str(value) for value in values))


def _resolved(
    label: str, value: int | str, quoted: bool, names: tuple[str, ...], known: tuple[str, ...] | None
) -> int | None:
    """The class that a map gives to a label."""
    named = _index(value, names) if isinstance(value, str) else None
    number = value if isinstance(value, int) else as_number(value)
    if not quoted and named is not None and number is not None and named != number and number < len(names):
        raise DataError(
            f"--label-map maps {shown(label)} to {value}, which is the name of class {named} and the number of another",
            remedy="use a TOML file, where a name is in quotes and a number is not",
        )
    if named is not None:
        return named
    if isinstance(value, str) and value.casefold() in _NOTHING:
        return None
    if number is None or number < 0 or number > 2**31 - 1 or (known is not None and number >= len(known)):
        expected = f"one of {_listed(names)}" if names else "class numbers from 0"
        raise DataError(
            f"--label-map maps {shown(label)} to {shown(value)}", expected=f"{expected}, or null for no label"
        )
    return number


def _place(label: str, found: Mapping[str, int | None]) -> str | None:
    """The key of a map that a label is: the same, or the only one that is the same in any case and spelling."""
    if label in found:
        return label
    alike = [key for key in found if key.casefold() == label.casefold()]
    return alike[0] if len({found[key] for key in alike}) == 1 else None


def _index(label: str, names: Sequence[str]) -> int | None:
    """Number of the class with this name, or with the only name that is the same in any case."""
    exact, alike = _numbers_of(tuple(names))
    return exact.get(label, alike.get(label.strip().casefold()))


@lru_cache(maxsize=8)
def _numbers_of(names: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int | None]]:
    """Class numbers by name, and by name without regard to case: there None where several names are equal."""
    alike: dict[str, int | None] = {}
    for number, name in enumerate(names):
        key = name.strip().casefold()
        alike[key] = None if key in alike else number
    return {name: number for number, name in reversed(list(enumerate(names)))}, alike


def _numbers_are_names(where: str, counts: Mapping[str, int], classes: Sequence[str]) -> bool:
    """Whether labels such as 1 to 5 are names of classes, since the model calls its classes by such numbers."""
    labels = [label for label in counts if as_number(label) is not None and label != UNKNOWN]
    if not labels or all(_index(label, classes) in (None, int(label)) for label in labels):
        return False
    if any(_index(label, classes) is None for label in labels):
        return False
    if any(not 0 <= int(label) < len(classes) for label in labels):
        return True
    raise DataError(
        f"the labels of {where} are {in_words(counts)}: they may be numbers of the model's classes, or names of others",
        expected=f"labels that fit one way of the model's classes {_listed(classes)} only",
        remedy=f"say which is which in a TOML file for --label-map: lines such as {labels[0]} = {int(labels[0])} for "
        f'class number {labels[0]}, or {labels[0]} = "{labels[0]}" for the class called {labels[0]}',
    )


def _own_order(own: Sequence[str], classes: tuple[str, ...] | None) -> tuple[tuple[int | None, ...] | None, str]:
    """(the data set's own class numbers -> the model's, what is assumed); None where they are the same."""
    if not own or classes is None or are_placeholders(classes) or are_placeholders(own):
        return None, ""
    found = tuple(matching(name, classes) for name in own)
    matched = [number for number in found if number is not None]
    if not matched or len(set(matched)) < len(matched):
        return None, (
            f"the data set calls its classes {_listed(own)}, the model {_listed(classes)}: labels are taken by number"
        )
    if found == tuple(range(len(own))):
        return None, ""
    return found, (
        f"the data set's classes are {_listed(own)}, the model's {_listed(classes)}: labels are taken by name"
    )


def matching(label: str, classes: Sequence[str]) -> int | None:
    """The class that a label most likely means: of the same letters, or the only one that begins like it."""
    plain = [_letters(name) for name in classes]
    mine = _letters(label)
    if not mine:
        return None
    if plain.count(mine) == 1:
        return plain.index(mine)
    alike = [i for i, name in enumerate(plain) if name and (name.startswith(mine) or mine.startswith(name))]
    return alike[0] if len(alike) == 1 else None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _suggestion(labels: list[str], classes: tuple[str, ...] | None) -> str:
    """What to write after ``--label-map``, to begin with, such as `` neg=negative,pos=positive``."""
    each = {label.casefold(): label for label in reversed(labels) if label != UNKNOWN}  # a map takes any case
    labels = [label for label in labels if each.get(label.casefold()) == label][:_SUGGESTED]
    if any({"=", ","} & set(label) for label in labels):
        return " FILE.toml, with lines such as " + " and ".join(f'"{label}" = ...' for label in labels[:2])
    if classes is None:
        named = None if any(label[0] in "+-.0123456789" for label in labels) else range(len(labels))
        return _as_typed(
            ",".join(f"{label}={'CLASS' if named is None else named[i]}" for i, label in enumerate(labels))
        )
    plain = are_placeholders(classes) or any({"=", ","} & set(name) for name in classes)
    found = [matching(label, classes) if as_number(label) is None or not plain else None for label in labels]
    if None in found and len(labels) == len(classes) and None not in map(as_number, labels):
        found = list(range(len(classes)))
    if len(set(found)) < len(found) and None not in found:
        found = [None] * len(labels)
    return _as_typed(
        ",".join(
            f"{label}={'CLASS' if number is None else number if plain else classes[number]}"
            for label, number in zip(labels, found, strict=True)
        )
    )


def _as_typed(text: str) -> str:
    """The value of a flag as a shell takes it, with what separates it from the flag."""
    return f"{'=' if text.startswith('-') else ' '}{shlex.quote(text)}"
