"""What ``--target`` says: which scalars of a row are explained. Pure; the outputs at the text decide the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ig_worker.errors import RowError, UsageError
from ig_worker.explain.explanation import Float32
from ig_worker.explain.predicted import predicted_labels
from ig_worker.explain.targets import PREDICTED, SECOND, Target, likeliest

LABEL, ALL, TOP = "label", "all", "top:"
_SHOWN = 5  # class names in a message
Side = int | Literal["predicted", "label", "second"]  # of a contrast


@dataclass(frozen=True)
class TargetSetting:
    """The targets of each row: at least one.

    Args:
        classes: of the network.
        first: the class that is explained.
        minus: the one that is taken away from it; None: it is no contrast.
        ranks: so many of the likeliest classes, and not `first`; 0: `first` it is.
        above: each label that is predicted from this on, and not `first`, at least the likeliest; None: `first` it is.
        several: whether a row may have several labels.
    """

    classes: int
    first: Side = PREDICTED
    minus: Side | None = None
    ranks: int = 0
    above: float | None = None
    several: bool = False

    @property
    def most(self) -> int:
        """The most targets that a row has."""
        if self.above is not None or (self.several and self.first == LABEL):
            return self.classes
        return max(self.ranks, 1)

    def targets(self, label: int | None, labels: Sequence[int] | None = None) -> tuple[Target, ...]:
        """The targets of a row; none where how many there are depends on the outputs.

        Args:
            label: of the row; None: it has none.
            labels: of the row, where it may have several: each is a target for ``label``. None: there are none.

        Raises:
            RowError: the label is asked for, and there is none that the model knows.
        """
        if self.above is not None:
            return ()
        if self.ranks:
            return tuple(Target(rank=rank) for rank in range(self.ranks))
        if labels and self.first == LABEL:
            return tuple(Target(_known(one, self.classes), _of(self.minus, None, self.classes)) for one in labels)
        first, minus = (_of(side, label, self.classes) for side in (self.first, self.minus))
        return (Target(first if isinstance(first, int) else None, minus),)

    def decided(self, targets: Sequence[Target], outputs: Float32) -> tuple[Target, ...]:
        """The targets of a row once the outputs at its text, float32 [classes], are known: each a class by its number.

        Args:
            targets: what `targets` gave for it.
            outputs: they need not be those of one forward pass: a text of several windows has the mean of theirs.
        """
        if not targets:
            assert self.above is not None
            numbers = likeliest(outputs)
            count = max(len(predicted_labels(outputs, self.above)), 1)
            return tuple(Target(number) for number in numbers[:count])
        scalars = [target.of(outputs) for target in targets]
        return tuple(Target(scalar.target, scalar.contrast) for scalar in scalars)


def read_target(setting: str, names: Sequence[str], above: float | None = None) -> TargetSetting:
    """What ``--target`` means for a network.

    Args:
        setting: ``predicted``, ``label``, ``all``, ``top:K``, a class by its number or its name (in any case), or a
            contrast A-B of two of these classes, of ``predicted`` and ``label``; ``predicted-second`` is that of the
            two likeliest.
        names: of the network's classes, by number.
        above: where classes do not exclude each other, the output from which on one is predicted.

    Raises:
        UsageError: it is none of these, or names a class that the network does not have.
    """
    classes = len(names)
    if setting == PREDICTED and above is not None:
        return TargetSetting(classes, above=above)
    if setting == ALL:
        return TargetSetting(classes, ranks=classes)
    if setting.startswith(TOP):
        count = setting.removeprefix(TOP)
        if not count.isdecimal() or len(count) > 9 or not 1 <= int(count) <= classes:
            raise UsageError(f"--target is {setting!r}", expected=f"{TOP}1 to {TOP}{classes}, the model's classes")
        return TargetSetting(classes, ranks=int(count))
    side = _side(setting, names)
    if side is not None:
        return TargetSetting(classes, side, several=above is not None)
    # A name may have hyphens of its own.
    for place in (place for place, letter in enumerate(setting) if letter == "-"):
        first, minus = _side(setting[:place], names), _side(setting[place + 1 :], names, second=True)
        if first is not None and minus is not None and first != minus:
            return TargetSetting(classes, first, minus, several=above is not None)
    raise UsageError(f"--target is {setting!r}", expected=_expected(names))


def _of(side: Side | None, label: int | None, classes: int) -> int | Literal["predicted", "second"] | None:
    """A side of a row with that label."""
    return _known(label, classes) if side == "label" else side  # as mypy reads it


def _known(label: int | None, classes: int) -> int:
    """A label, where the network has its class."""
    if label is None or not 0 <= label < classes:
        raise RowError(f"label is {label}", expected=f"0 to {classes - 1} for --target label", reason="bad_label")
    return label


def _side(text: str, names: Sequence[str], *, second: bool = False) -> Side | None:
    """The class that a part of the setting names; None where it names none, or one that the network does not have."""
    lowered = [name.casefold() for name in names]
    if text in (PREDICTED, LABEL):
        return text  # type: ignore[return-value]
    if text == SECOND and second and len(names) > 1:
        return SECOND
    if text.isdecimal() and len(text) < 10 and int(text) < len(names):
        return int(text)
    if text in names:
        return names.index(text)
    return lowered.index(text.casefold()) if lowered.count(text.casefold()) == 1 else None


def _expected(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return (
        f"predicted, label, all, top:K, a class from 0 to {len(names) - 1} or its name ({shown}), or a contrast such "
        "as 0-1, predicted-label or predicted-second"
    )
