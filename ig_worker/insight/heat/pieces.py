"""A review as words of coloured pieces, ready to be set as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ig_worker.insight.format import signed
from ig_worker.insight.heat.colour import levels
from ig_worker.models.words import inner_text

TEXTS = ("first text", "second text")  # of a pair, for people
_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%…")
_NO_SPACE_AFTER = frozenset("([{")
_APOSTROPHES = frozenset("'’")
_ELISIONS = frozenset(("s", "t", "re", "ve", "ll", "d", "m"))  # it's, don't, they're
_RUN = 4  # so many equal special tokens in a row (padding), or more, are shown as one


@dataclass(frozen=True)
class Piece:
    """One token: what is shown, what is said of it, and its colour as a level of `colour.levels`."""

    text: str
    title: str
    level: int
    special: bool = False


@dataclass(frozen=True)
class Word:
    """Pieces without space between them; `space` is whether one comes before the word."""

    pieces: tuple[Piece, ...]
    space: bool
    begins: str = ""  # the text of a pair that begins with it, for people; of rows with one text, always ""


def words(
    tokens: Sequence[str],
    word_ids: Sequence[int],
    attributions: Sequence[float],
    second: int | None = None,
) -> list[Word]:
    """The tokens of one review as words: pieces with one word id belong together, special tokens (-1) stand alone.

    Args:
        tokens: [tokens].
        word_ids: [tokens].
        attributions: [tokens].
        second: the word with which the second of two texts begins, as `second_text` gives it; None: there is one text.
    """
    shades = levels(attributions).tolist()
    rows = list(zip(tokens, word_ids, attributions, shades, strict=True))
    if second is None:
        return _spaced(rows)
    place = list(word_ids).index(second)
    parts = zip((_spaced(rows[:place]), _spaced(rows[place:])), TEXTS, strict=True)
    return [replace(word, begins="" if i else name) for part, name in parts for i, word in enumerate(part)]


def second_text(word_ids: Sequence[int], segments: Sequence[int] | None) -> int | None:
    """Number of the word with which the second of two texts begins; None where there is no word of it.

    Args:
        word_ids: [tokens].
        segments: [tokens], 0 for those of the first text, 1 of the second, -1 special; None: rows have one text.
    """
    return next((word for word, text in zip(word_ids, segments or [], strict=bool(segments)) if text == 1), None)


def _spaced(rows: list[_Row]) -> list[Word]:
    grouped = list(_grouped(rows))
    texts = ["".join(piece.text for piece in pieces) for pieces in grouped]
    return [Word(pieces, _space_before(texts, i)) for i, pieces in enumerate(grouped)]


def joined(
    tokens: Sequence[str],
    word_ids: Sequence[int],
    attributions: Sequence[float],
) -> tuple[list[str], list[int], list[float]]:
    """Word pieces joined into words, their attributions summed; special tokens stay as they are."""
    names: list[str] = []
    ids: list[int] = []
    sums: list[float] = []
    for token, word, attribution in zip(tokens, word_ids, attributions, strict=True):
        if word >= 0 and ids and ids[-1] == word:
            names[-1] += inner_text(token)
            sums[-1] += attribution
        else:
            names.append(token)
            ids.append(word)
            sums.append(attribution)
    return names, ids, sums


def _space_before(texts: list[str], i: int) -> bool:
    """Whether a space comes before word `i`, given the text of each word; tokenizers do not keep them."""
    before, here, after = texts[i - 1] if i else "", texts[i], texts[i + 1] if i + 1 < len(texts) else ""
    # Some tokenizers have 's as one token, and some have three dots.
    elision = here[:1] in _APOSTROPHES and (here[1:] or after) in _ELISIONS
    elision = elision or (before in _APOSTROPHES and here in _ELISIONS)
    return bool(i) and not elision and here[:1] not in _NO_SPACE_BEFORE and before[-1:] not in _NO_SPACE_AFTER


_Row = tuple[str, int, float, int]  # token, word id, attribution, level


def _grouped(rows: list[_Row]) -> Iterator[tuple[Piece, ...]]:
    for special, group in groupby(rows, key=lambda row: row[1] < 0):
        if special:
            for _, equal in groupby(group, key=lambda row: row[0]):
                yield from ((piece,) for piece in _special(list(equal)))
        else:
            for _, word in groupby(group, key=lambda row: row[1]):
                yield tuple(_piece(row, first=i == 0) for i, row in enumerate(word))


def _piece(row: _Row, *, first: bool) -> Piece:
    token, _, attribution, level = row
    text = token if first else inner_text(token)
    return Piece(text, f"{token} {signed(attribution)}", level)


def _special(rows: list[_Row]) -> list[Piece]:
    if len(rows) < _RUN:
        return [Piece(token, f"{token} {signed(a)}", level, special=True) for token, _, a, level in rows]
    strongest = max((row[3] for row in rows), key=abs)
    total = sum(row[2] for row in rows)
    token = f"{rows[0][0]} ×{len(rows)}"
    return [Piece(token, f"{token}, sum {signed(total)}", strongest, special=True)]
