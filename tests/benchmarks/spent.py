"""Path programs that keep an account of what their evaluations are spent on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ig_worker.explain.paths import PathPrograms

ENDS, FIRST, SECOND, CUTS = KINDS = ("ends", "first rules", "second rules", "cuts")


class Account(PathPrograms):
    """The same programs, and `spent`: evaluations by kind, of all that `shared` gave out, too."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.spent: Counter[str] = Counter()
        self._begun: set[int] = set()  # rows of the open group

    def open(self, problems: Sequence[Any], length: int) -> Any:
        before = self.baselines.encoded
        found = super().open(problems, length)
        self.spent[ENDS] += (len(problems) + self.baselines.encoded - before) / 2
        self._begun.clear()
        return found

    def vectors(self, rows: Sequence[int], alphas: Sequence[float]) -> Any:
        self.spent[CUTS] += len(rows) / 2
        return super().vectors(rows, alphas)

    def integrate(self, sections: Sequence[Any], n: int, *given: Any) -> Any:
        found = super().integrate(sections, n, *given)
        for section in sections:
            whole, cost = (section.low, section.high) == (0.0, 1.0), found.cost * len(section.weights)
            self.spent[CUTS if not whole else SECOND if section.row in self._begun else FIRST] += cost
            self._begun.add(section.row)
        return found
