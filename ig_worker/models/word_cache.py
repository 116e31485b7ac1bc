"""The pieces of words, each asked of the tokenizer once: most texts are made of words that have been seen.

BERT's tokenizers cut a text at blanks and beside each mark of punctuation, and then each word by itself. So a text's
pieces are those of its words, in their order. Where a word ends is plain for ASCII; of what has other characters in
it, the tokenizer is asked. A text with a special token is for the tokenizer itself, and so is all that a tokenizer is
given of which this is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_WORDS = re.compile(r"[!-/:-@\[-`{-~]|[^\t\n\r -/:-@\[-`{-~]+")  # other characters may hide the end of one
_OTHER = re.compile(r"[^\t\n\r -~]")
_MOST_WORDS = 50_000  # some 15 MB
_LONGEST = 40  # characters; what is longer seldom comes twice


class WordCache:
    """Pieces of the words of texts.

    Args:
        tokenizer: a fast one that `cuts_at_words`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._added = [token.content for token in self._backend.get_added_tokens_decoder().values()]
        self._hidden: dict[str, list[str]] = {}  # the words in what has other than ASCII's characters
        self._pieces: dict[str, tuple[int, ...]] = {}
        self._long: list[str] = []  # words of the last texts that are not kept
        self.names: dict[int, str] = {}  # of the pieces that have been seen

    def split(self, text: str) -> list[str] | None:
        """The words of a text; None where only the tokenizer can tell."""
        if any(token in text for token in self._added):
            return None
        words = _WORDS.findall(text)
        if not _OTHER.search(text):
            return words
        return [part for word in words for part in (self._parts(word) if _OTHER.search(word) else (word,))]

    def _parts(self, word: str) -> list[str]:
        """The words, normalised, that the tokenizer sees in one; perhaps none."""
        if word not in self._hidden:
            normal = self._backend.normalizer.normalize_str(word)
            parts = [part for part, _ in self._backend.pre_tokenizer.pre_tokenize_str(normal)]
            if len(word) > _LONGEST:
                return parts
            self._hidden[word] = parts
        return self._hidden[word]

    def pieces(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The ids of each word's pieces, at least one, of words that were learnt since any was forgotten."""
        return [*map(self._pieces.__getitem__, words)]

    def learn(self, texts: Iterable[Sequence[str]]) -> None:
        """Ask the tokenizer for the words of some texts that are not known; others are forgotten when they are many."""
        for word in self._long:
            self._pieces.pop(word, None)
        if len(self._pieces) + len(self._hidden) > _MOST_WORDS:
            self._pieces.clear()
            self._hidden.clear()
        new = set().union(*texts).difference(self._pieces)
        self._long = [word for word in new if len(word) > _LONGEST]
        plain = [word for word in new if word.isascii()]
        if plain:
            self._backend.no_truncation()  # both are left from the last text, and set anew with the next
            self._backend.no_padding()
            for word, encoding in zip(plain, self._backend.encode_batch(plain, add_special_tokens=False), strict=True):
                self._enter(word, encoding.ids, encoding.tokens)
        model = self._backend.model
        for word in new:
            if not word.isascii():  # it is normalised, which may do more when it is done twice
                tokens = model.tokenize(word)
                self._enter(word, [token.id for token in tokens], [token.value for token in tokens])

    def _enter(self, word: str, ids: Sequence[int], names: Sequence[str]) -> None:
        self._pieces[word] = tuple(ids)
        self.names.update(zip(ids, names, strict=True))


def cuts_at_words(tokenizer: Any) -> bool:
    """Whether a tokenizer is known to make the pieces of a text word by word, and to cut and pad at its end."""
    if type(tokenizer.backend_tokenizer.model).__name__ != "WordPiece":
        return False  # without its vocabulary, which may be large, being written
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    kinds = [(parts[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    return (
        kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"]
        and not any(
            token["normalized"] for token in parts["added_tokens"]
        )  # they are looked for in what was made of it
        and tokenizer.truncation_side == tokenizer.padding_side == "right"
    )
