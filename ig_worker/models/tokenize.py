"""Text to token ids, in the two text styles, and pairs of texts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.data.style import apply_style, refuse_plain_pairs
from ig_worker.errors import ModelError, UsageError
from ig_worker.models.inputs import Counting, ModelInput, from_zero
from ig_worker.models.pairs import PairTemplate, Part, longest_first
from ig_worker.models.pieces import PieceReader
from ig_worker.models.read_tokenizer import read_tokenizer, refuse_other_tokens
from ig_worker.models.vocabulary import declare_special_tokens, notation_of, unknown_words
from ig_worker.models.word_cache import WordCache, cuts_at_words

_TEXTS_AT_ONCE = 64  # long texts make many overflowing pieces: bound what is held at once


@dataclass(frozen=True)
class Tokens:
    """One tokenized text, or two as one input. All arrays are int32 [tokens]."""

    inputs: ModelInput  # its mask is 0 for the padding that style `plain` keeps
    word_ids: npt.NDArray[np.int32]  # number of the word in the row, -1 for special tokens
    tokens: list[str]
    truncated: bool
    segments: npt.NDArray[np.int32]  # 0 for tokens of the first text, 1 of the second, -1 for special tokens


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

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        """Tokenize texts, or each with the second one that `pairs` has for it; the order is kept.

        Pairs are cut as by transformers' ``truncation="longest_first"``.

        Raises:
            UsageError: there are pairs, and style or length have no room for them.
            ModelError: there are pairs, and the tokenizer makes none.
        """
        encoded: list[Tokens] = []
        with self._lock:
            if pairs is not None:
                return self._encode_pairs(texts, pairs)
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
            segments=_of_one_text(word_ids),
        )

    def _input(self, ids: Sequence[int], mask: npt.NDArray[np.int32]) -> ModelInput:
        return ModelInput.single(np.array(ids, np.int32), mask, self.counting)

    def survey(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Survey:
        """How long texts are, or both texts of pairs together, and which of their words are unknown."""
        if pairs is not None:
            first, second = self._surveyed(texts, special=False), self._surveyed(pairs, special=False)
            lengths = first.lengths + second.lengths + self.pair_template.special
            return Survey(lengths, first.tokens + second.tokens, first.unknown + second.unknown)
        return self._surveyed(texts, special=self.style != "plain")

    def _surveyed(self, texts: Sequence[str], special: bool) -> Survey:
        lengths: list[int] = []
        total = 0
        words: list[str] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            styled = [apply_style(text, self.style) for text in texts[start : start + _TEXTS_AT_ONCE]]
            encodings = self.tokenizer(styled, add_special_tokens=special).encodings
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
            segments=_of_one_text(np.array(words, np.int32)),
        )

    @cached_property
    def pair_template(self) -> PairTemplate:
        """What the tokenizer makes of pairs.

        Raises:
            UsageError: style or length have no room for them.
            ModelError: the tokenizer makes none.
        """
        refuse_plain_pairs(self.style)
        template = PairTemplate.of(self.tokenizer)
        if self.max_length < template.special + 2:
            raise UsageError(
                f"--max-length is {self.max_length}, and a pair has {template.special} special tokens",
                expected=f"at least {template.special + 2}, or no --pair-column",
            )
        return template

    def _encode_pairs(self, texts: Sequence[str], pairs: Sequence[str]) -> list[Tokens]:
        template = self.pair_template
        room = self.max_length - template.special
        encoded = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = slice(start, start + _TEXTS_AT_ONCE)
            both = self._by_itself(texts[part], room), self._by_itself(pairs[part], room)
            for first, second in zip(*both, strict=True):
                kept = longest_first(first.length, second.length, room)
                parts = first.cut(kept[0]), second.cut(kept[1])
                ids, tokens, words, segments = template.joined(*parts)
                inputs = ModelInput.single(ids, None, self.counting, template.types_of(*kept))
                truncated = kept != (first.length, second.length)
                encoded.append(Tokens(inputs, words, tokens, truncated, segments))
        return encoded

    def _by_itself(self, texts: Sequence[str], room: int) -> list[_Uncut]:
        """Texts without special tokens, of which no more than `room` tokens are asked for."""
        cache, quick = self._cache, {}
        if cache is not None:
            split = {place: words for place, text in enumerate(texts) if (words := cache.split(text)) is not None}
            cache.learn(split.values())
            quick = {place: self._uncut_quickly(words, cache) for place, words in split.items()}
        rest = [text for place, text in enumerate(texts) if place not in quick]
        if not rest:
            return [quick[place] for place in range(len(texts))]
        batch = self.tokenizer(rest, add_special_tokens=False, truncation=True, max_length=room)
        others = iter([self._uncut(text, encoding) for text, encoding in zip(rest, batch.encodings, strict=True)])
        return [quick[place] if place in quick else next(others) for place in range(len(texts))]

    def _uncut_quickly(self, words: list[str], cache: WordCache) -> _Uncut:
        pieces = cache.pieces(words)
        ids = list(chain.from_iterable(pieces))
        numbers = list(chain.from_iterable([word] * len(piece) for word, piece in enumerate(pieces)))
        return _Uncut(len(ids), lambda n: Part(ids[:n], [cache.names[i] for i in ids[:n]], numbers[:n]))

    def _uncut(self, text: str, encoding: Any) -> _Uncut:
        def cut(n: int) -> Part:
            # A tokenizer may cut texts at their beginning.
            last = len(encoding.ids) - n if self.tokenizer.truncation_side == "left" else 0
            kept = slice(last, last + n)
            ids = encoding.ids[kept]
            if self._reader is None:
                words = encoding.word_ids[kept]
                return Part(ids, encoding.tokens[kept], [word - words[0] for word in words])
            none_added = [0] * n
            return Part(ids, *self._reader.read(text, ids, encoding.tokens[kept], encoding.offsets[kept], none_added))

        return _Uncut(len(encoding) + sum(map(len, encoding.overflowing)), cut)


@dataclass(frozen=True)
class _Uncut:
    """One of two texts before it is cut."""

    length: int  # tokens in all
    cut: Callable[[int], Part]  # so many of them


def _of_one_text(word_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The segments of a text that stands alone."""
    return np.where(word_ids < 0, np.int32(-1), np.int32(0))


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
