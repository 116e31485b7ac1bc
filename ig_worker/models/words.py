"""How the pieces of a word are written in results, and what their text is. The one place that knows the mark."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARK = "##"  # WordPiece's, before a piece that goes on with a word; the pieces of all tokenizers are written so
MARKED = f"^{_MARK}"  # regular expression of what such a piece has before its text, for Arrow and JavaScript, too
UNKNOWN = "[UNK]"  # WordPiece's, for what the vocabulary lacks; that of all tokenizers is written so
_marked = re.compile(MARKED)


def as_inner(text: str) -> str:
    """A piece that goes on with a word."""
    return _MARK + text


def inner_text(piece: str) -> str:
    """The text of a piece that goes on with a word."""
    return _marked.sub("", piece)


def word_of(pieces: Iterable[str]) -> str:
    """The word that pieces make."""
    first, *rest = pieces
    return first + "".join(map(inner_text, rest))
