"""The pieces of any tokenizer as words, in the one notation of results. Needs neither a tokenizer nor TensorFlow.

A tokenizer says which characters of a text each of its tokens stands for, and some also write spaces into their pieces.
From these follows where words begin: behind whitespace, beside punctuation, and beside each token of a script that is
written without spaces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ig_worker.models.characters import PARTS_WORDS, Character, first_and_last
from ig_worker.models.words import UNKNOWN, as_inner

_MOST_LOOKS = 100_000  # some 30 MB
_LONGEST = 60  # characters; what is longer, such as a run of unknown letters, seldom comes twice
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))  # how SentencePiece writes a byte of a character
_whitespace = re.compile(r"\s")


@dataclass(frozen=True)
class Notation:
    """How a tokenizer writes its pieces."""

    space: str  # what stands for a space in a piece; "" where a piece is read from the text, by its offsets
    unknown: int | None  # id of the token for what the vocabulary lacks
    special: frozenset[str]  # the tokens that are words by themselves where a text has them


class _Look(NamedTuple):
    """What is to be known of some text with the whitespace around it."""

    shown: str  # without whitespace at its ends
    inner: str  # the same, as a piece that goes on with a word
    spaced: bool  # begins with whitespace
    open: bool  # ends with whitespace
    first: Character
    last: Character


class PieceReader:
    """Reads pieces of one notation. It remembers what it has seen, so threads have to take turns."""

    def __init__(self, notation: Notation) -> None:
        self._notation = notation
        self._looks: dict[str, _Look] = {}  # of texts, and of pieces with spaces in them

    def read(
        self,
        text: str,
        ids: Sequence[int],
        pieces: Sequence[str],
        offsets: Sequence[tuple[int, int]],
        added: Sequence[int],
    ) -> tuple[list[str], list[int]]:
        """(tokens as results have them, for each the number of its word in the text or -1).

        A token is written as its text, with the mark of `words` where it goes on with the word of the one before. Of
        tokens that share a character the first has its text and the others none. Whitespace that is a token of its own
        belongs to the word behind it, at the end of a text to the last word.

        Args:
            text: as the tokenizer was given it.
            ids: [tokens].
            pieces: [tokens], as the tokenizer writes them.
            offsets: [tokens], the first character of each in the text, and the one behind its last.
            added: [tokens], 1 for what the tokenizer has put around the text, 0 for what is of the text.
        """
        if len(self._looks) > _MOST_LOOKS:
            self._looks.clear()
        known, space = self._looks, self._notation.space
        unknown, special = self._notation.unknown, self._notation.special
        tokens: list[str] = []
        words: list[int] = []
        word, covered, last = -1, 0, Character.NONE  # the last word, the characters that were shown, the last of them
        apart = bare = False  # whether whitespace comes next; whether the last word has no text yet
        for number, piece, (start, end), around in zip(ids, pieces, offsets, added, strict=True):
            if around or (piece in special and number != unknown):
                if bare:
                    word, bare = _give_back(tokens, words), False
                word += not around
                tokens.append(piece)
                words.append(-1 if around else word)
                covered, last, apart = max(covered, end), Character.ALONE, False
                continue
            inside = False  # a character that is shown already
            if space and number != unknown and piece not in _BYTES:
                look = known.get(piece) or self._look(piece, piece.replace(space, " "))
            else:
                inside = start < covered
                if not space and start > covered:
                    apart = apart or _whitespace.search(text, covered, start) is not None
                part = text[covered if inside else start : end]
                look = known.get(part) or self._look(part, part)
                covered = max(covered, end)
            shown, inner, spaced, open_, first, behind = look
            if number == unknown:
                shown = inner = UNKNOWN
            parted = apart or spaced or (shown and PARTS_WORDS[last][first])
            if word < 0 or (parted and not inside and not bare):
                word, bare = word + 1, not shown
                tokens.append(shown)
            else:
                bare = bare and not shown
                tokens.append(inner)
            words.append(word)
            apart = open_ or (apart and not shown)
            if behind > Character.INNER:  # not of a mark, nor of nothing
                last = behind
        if bare:
            _give_back(tokens, words)
        return tokens, words

    def _look(self, name: str, text: str) -> _Look:
        shown = text.strip()
        first, last = first_and_last(shown)
        look = _Look(shown, as_inner(shown), text[:1].isspace(), text[-1:].isspace(), first, last)
        if len(name) <= _LONGEST:
            self._looks[name] = look
        return look


def _give_back(tokens: list[str], words: list[int]) -> int:
    """Make a word of whitespace the rest of the one before it, if there is one; returns the number of the last word."""
    word = words[-1]
    for place in range(len(words) - 1, -1, -1):
        if words[place] != word or word == 0:
            break
        tokens[place], words[place] = as_inner(""), word - 1
    return max(word - 1, 0)
