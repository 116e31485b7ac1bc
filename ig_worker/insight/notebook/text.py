"""One explained text, as an object that shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.explain.predicted import DEFAULT
from ig_worker.insight.format import measured, probability
from ig_worker.insight.heat.colour import PALETTES, swatches
from ig_worker.insight.heat.pieces import Piece, joined, second_text, words
from ig_worker.insight.verdicts import prediction_of, scalar_of, truth_of
from ig_worker.schema import CLASSES, SEGMENTS, VALUES, outputs_in


@dataclass(frozen=True)
class TextExplanation:
    """One explained text: a row of `schema.attributions` that shows itself as a coloured line in a notebook.

    Args:
        row: of the first target; its columns are attributes of this object, too.
        labels: class names.
        threshold: from which probability on one of several labels is predicted.
        palette: one of `colour.PALETTES`.
        others: rows of the further targets of the text; each shows itself as a line more.
    """

    row: dict[str, Any]
    labels: tuple[str, ...]
    threshold: float = DEFAULT
    palette: str = PALETTES[0]
    others: tuple[dict[str, Any], ...] = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.row[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def targets(self) -> tuple[TextExplanation, ...]:
        """Each target by itself, in the order of their ranks."""
        return tuple(
            TextExplanation(row, self.labels, self.threshold, self.palette) for row in (self.row, *self.others)
        )

    def html(self, *, by_word: bool = False, palette: str | None = None) -> str:
        """The tokens, each coloured by its attribution and scaled by the largest one of that target; a line a target.

        Args:
            by_word: show word pieces joined into words, with summed attributions.
            palette: one of `colour.PALETTES`.
        """
        if self.others:
            each = [one._line(by_word, palette) for one in self.targets]
            lines = zip(self.targets, each, strict=True)
            head = self._prediction()
            if outputs_in(self.row) != CLASSES:
                head = f"{head}, {truth_of(self.row, self._name)}"
            return _paragraph(head) + "".join(_paragraph(one._explained()) + line for one, line in lines)
        return _paragraph(self._title()) + self._line(by_word, palette)

    def _line(self, by_word: bool, palette: str | None) -> str:
        tokens, word_ids, attributions = self.row["tokens"], self.row["word_ids"], self.row["attributions"]
        second = second_text(word_ids, self.row.get(SEGMENTS))
        if by_word:
            tokens, word_ids, attributions = joined(tokens, word_ids, attributions)
        shades = swatches(palette or self.palette)
        line = "".join(
            (_begin(word.begins) if word.begins else " " if word.space else "")
            + "".join(_mark(piece, shades) for piece in word.pieces)
            for word in words(tokens, word_ids, attributions, second)
        )
        return f'<p style="line-height:1.9">{line}</p>'

    def _prediction(self) -> str:
        return f"predicted {prediction_of(self.row, self._name, self.threshold)}"

    def _explained(self) -> str:
        outputs = outputs_in(self.row)
        value = (measured if outputs == VALUES else probability)(self.row["target_probability"])
        return f"{scalar_of(self.row, self._name)} {value}, delta {self.row['delta']:+.1e}"

    def _title(self) -> str:
        outputs, target = outputs_in(self.row), self.row["target"]
        title = f"{self._prediction()}, delta {self.row['delta']:+.1e}"
        if outputs != CLASSES:
            title = f"{title}, {truth_of(self.row, self._name)}"
        plain = len(self.labels) == 1 if outputs == VALUES else outputs == CLASSES and target == self.row["prediction"]
        contrast = self.row.get("contrast") is not None
        return title if plain and not contrast else f"{title}, explained: {scalar_of(self.row, self._name)}"

    def _name(self, number: int) -> str:
        return self.labels[number] if number < len(self.labels) else f"class {number}"

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        title = f"{self._prediction()}, {1 + len(self.others)} targets" if self.others else self._title()
        return f"<{title}: {' '.join(self.row['tokens'][:12])}>"


def each_text(
    rows: Sequence[dict[str, Any]], labels: tuple[str, ...], threshold: float = DEFAULT
) -> list[TextExplanation]:
    """Rows of `schema.attributions`, all of whole texts, as explanations of texts."""
    found: list[list[dict[str, Any]]] = []
    for row in rows:
        if row.get("rank", 0) == 0:
            found.append([])
        found[-1].append(row)
    return [TextExplanation(first, labels, threshold, others=tuple(others)) for first, *others in found]


def starts(rows: pa.Table) -> list[int]:
    """Where the rows of each text begin in a table with the column `rank`."""
    return [int(place) for place in np.flatnonzero(rows.column("rank").to_numpy() == 0)]


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _begin(text: str) -> str:
    """Where one of two texts begins: a line of its own, with its name."""
    style = "display:block;opacity:.65;font-size:.8em"
    return f'<span style="{style}">{escape(text)}</span>'


def _mark(piece: Piece, shades: dict[int, Any]) -> str:
    swatch = shades[piece.level]
    style = f"background:{swatch.background};color:{swatch.text};border-radius:3px;padding:1px 2px"
    return f'<span style="{style}" title="{escape(piece.title)}">{escape(piece.text)}</span>'
