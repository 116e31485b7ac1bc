"""One explained text, as an object that shows itself in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from ig_worker.explain.predicted import DEFAULT
from ig_worker.insight.heat.colour import PALETTES, swatches
from ig_worker.insight.heat.pieces import Piece, joined, second_text, words
from ig_worker.insight.verdicts import prediction_of, truth_of
from ig_worker.schema import CLASSES, SEGMENTS, VALUES, outputs_in


@dataclass(frozen=True)
class TextExplanation:
    """One explained text: a row of `schema.attributions` that shows itself as a coloured line in a notebook."""

    row: dict[str, Any]
    labels: tuple[str, ...]  # class names
    threshold: float = DEFAULT  # from which probability on one of several labels is predicted
    palette: str = PALETTES[0]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.row[name]
        except KeyError:
            raise AttributeError(name) from None

    def html(self, *, by_word: bool = False, palette: str | None = None) -> str:
        """The tokens, each coloured by its attribution and scaled by the text's own largest one.

        Args:
            by_word: show word pieces joined into words, with summed attributions.
            palette: one of `colour.PALETTES`.
        """
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
        return f'<p>{escape(self._title())}</p><p style="line-height:1.9">{line}</p>'

    def _title(self) -> str:
        outputs, target = outputs_in(self.row), self.row["target"]
        title = f"predicted {prediction_of(self.row, self._name, self.threshold)}, delta {self.row['delta']:+.1e}"
        if outputs != CLASSES:
            title = f"{title}, {truth_of(self.row, self._name)}"
        plain = len(self.labels) == 1 if outputs == VALUES else outputs == CLASSES and target == self.row["prediction"]
        return title if plain else f"{title}, explained: {self._name(target)}"

    def _name(self, number: int) -> str:
        return self.labels[number] if number < len(self.labels) else f"class {number}"

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return f"<{self._title()}: {' '.join(self.row['tokens'][:12])}>"


def _begin(text: str) -> str:
    """Where one of two texts begins: a line of its own, with its name."""
    style = "display:block;opacity:.65;font-size:.8em"
    return f'<span style="{style}">{escape(text)}</span>'


def _mark(piece: Piece, shades: dict[int, Any]) -> str:
    swatch = shades[piece.level]
    style = f"background:{swatch.background};color:{swatch.text};border-radius:3px;padding:1px 2px"
    return f'<span style="{style}" title="{escape(piece.title)}">{escape(piece.text)}</span>'
