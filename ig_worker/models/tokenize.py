"""Text to token ids, in the two text styles."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.data.style import apply_style
from ig_worker.errors import ModelError
from ig_worker.models.inputs import Counting, ModelInput, from_zero
from ig_worker.models.pieces import PieceReader
from ig_worker.models.read_tokenizer import read_tokenizer, refuse_other_tokens
from ig_worker.models.vocabulary import declare_special_tokens, notation_of, unknown_words
from ig_worker.models.word_cache import WordCache, cuts_at_words

_TEXTS_AT_ONCE = 64  # long texts make many overflowing pieces: bound what is held at once


@dataclass(frozen=True)
class Tokens:
    """One tokenized text. All arrays are int32 [tokens]."""

    inputs: ModelInput  # its mask is 0 for the padding that style `plain` keeps
    word_ids: npt.NDArray[np.int32]  # number of the word in the text, -1 for special tokens
    tokens: list[str]
    truncated: bool


@dataclass(frozen=True)
class _Special:
    """Special tokens on one side of a text."""

    ids: list[int]
    tokens: list[str]


@dataclass(frozen=True)
class Survey:
    """What a tokenizer makes of some texts, without their being cut."""

    lengths: npt.NDArray[np.int64]  # [texts], in tokens, special ones included
    tokens: int  # in all, special ones apart
    unknown: list[str]  # the words that are [UNK], as the texts have them


class TextEncoder:
    """A model's tokenizer, a text style and a length. Threads may share it to `encode`: they take turns.

    Args:
        tokenizer: a fast transformers tokenizer.
        style: ``bert`` adds special tokens; ``plain`` cleans the text, adds none, and pads to `max_length`.
        max_length: longest result, in tokens.
        counting: how a network counts the positions of tokens; None: from 0.

    Raises:
        ModelError: style ``plain``, and the tokenizer has no token to pad with.
    """

    def __init__(self, tokenizer: Any, style: str, max_length: int, counting: Counting | None = None) -> None:
        self.tokenizer = tokenizer
        self.counting = counting or from_zero
        self.style = style
        self.max_length = max_length
        if style == "plain" and tokenizer.pad_token_id is None:
            raise ModelError(
                "the model's tokenizer has no token for padding, which text style plain needs",
                expected="a pad_token in its tokenizer_config.json",
                remedy="name it there, or set --text-style to bert",
            )
        notation = notation_of(tokenizer)
        self._reader = None if notation is None else PieceReader(notation)
        self._lock = threading.Lock()  # how it cuts and pads is part of a tokenizer's state
        around = tokenizer("a", add_special_tokens=style != "plain").encodings[0]
        places = [place for place, word in enumerate(around.word_ids) if word is not None]
        self._before = _Special(around.ids[: places[0]], around.tokens[: places[0]]) if places else _Special([], [])
        self._after = (
            _Special(around.ids[places[-1] + 1 :], around.tokens[places[-1] + 1 :]) if places else self._before
        )
        self._room = max_length - len(self._before.ids) - len(self._after.ids)  # tokens of the text itself
        self._cache = WordCache(tokenizer) if places and self._room > 0 and cuts_at_words(tokenizer) else None

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenize texts; the order is kept."""
        encoded: list[Tokens] = []
        with self._lock:
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                part = [apply_style(text, self.style) for text in texts[start : start + _TEXTS_AT_ONCE]]
                encoded += self._encode(part) if self._cache is None else self._quickly(part, self._cache)
        return encoded

    def _quickly(self, texts: list[str], cache: WordCache) -> list[Tokens]:
        """What `_encode` gives, from the pieces of words where those say it."""
        split = [cache.split(text) for text in texts]
        kept = [words[: self._room] for words in split if words is not None]  # each is a token at least
        cache.learn(kept)
        rest = [text for text, words in zip(texts, split, strict=True) if words is None]
        others = iter(self._encode(rest) if rest else [])
        return [next(others) if words is None else self._assemble(words, cache) for words in split]

    def _assemble(self, words: list[str], cache: WordCache) -> Tokens:
        pieces = cache.pieces(words[: self._room])
        ids = list(chain.from_iterable(pieces))
        truncated = len(words) > self._room or len(ids) > self._room
        del ids[self._room :]
        before, after = self._before, self._after
        padding = self._room - len(ids) if self.style == "plain" else 0
        mask = np.ones(len(before.ids) + len(ids) + len(after.ids) + padding, np.int32)
        word_ids = np.full(len(mask), -1, np.int32)
        counts = np.fromiter(map(len, pieces), np.int32, len(pieces))
        word_ids[len(before.ids) :][: len(ids)] = np.repeat(np.arange(len(pieces), dtype=np.int32), counts)[: len(ids)]
        mask[len(mask) - padding :] = 0
        pads = ([self.tokenizer.pad_token_id] * padding, [self.tokenizer.pad_token] * padding) if padding else ([], [])
        return Tokens(
            inputs=self._input([*before.ids, *ids, *after.ids, *pads[0]], mask),
            word_ids=word_ids,
            tokens=[*before.tokens, *map(cache.names.__getitem__, ids), *after.tokens, *pads[1]],
            truncated=truncated,
        )

    def _input(self, ids: Sequence[int], mask: npt.NDArray[np.int32]) -> ModelInput:
        return ModelInput.single(np.array(ids, np.int32), mask, self.counting)

    def survey(self, texts: Sequence[str]) -> Survey:
        """How long texts are, and which of their words are unknown."""
        lengths: list[int] = []
        total = 0
        words: list[str] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            styled = [apply_style(text, self.style) for text in texts[start : start + _TEXTS_AT_ONCE]]
            encodings = self.tokenizer(styled, add_special_tokens=self.style != "plain").encodings
            lengths += map(len, encodings)
            tokens, unknown = unknown_words(self.tokenizer, styled, encodings)
            total, words = total + tokens, words + unknown
        return Survey(np.array(lengths, np.int64), total, words)

    def _encode(self, texts: list[str]) -> list[Tokens]:
        plain = self.style == "plain"
        batch = self.tokenizer(
            texts,
            add_special_tokens=not plain,
            truncation=True,
            max_length=self.max_length,
            padding="max_length" if plain else False,
        )
        return [self._tokens(text, encoding) for text, encoding in zip(texts, batch.encodings, strict=True)]

    def _tokens(self, text: str, encoding: Any) -> Tokens:
        ids = encoding.ids
        if self._reader is None:
            tokens, words = encoding.tokens, [-1 if word is None else word for word in encoding.word_ids]
        else:
            added = encoding.special_tokens_mask
            tokens, words = self._reader.read(text, ids, encoding.tokens, encoding.offsets, added)
        return Tokens(
            inputs=self._input(ids, np.array(encoding.attention_mask, np.int32)),
            word_ids=np.array(words, np.int32),
            tokens=tokens,
            truncated=bool(encoding.overflowing),
        )


def load_tokenizer(directory: str, vocabulary: int) -> Any:
    """The fast tokenizer of a model directory.

    Args:
        directory: a model's directory.
        vocabulary: rows of the network's embedding table.

    Raises:
        ModelError: no usable tokenizer, or one with tokens for which the network has no embeddings.
    """
    tokenizer = read_tokenizer(Path(directory), vocabulary)
    declare_special_tokens(tokenizer)
    refuse_other_tokens(directory, tokenizer)
    return tokenizer
