"""Two texts as one input: what a tokenizer puts around and between them, and how it cuts them. Needs neither of both.

Fast tokenizers make the tokens of each text by itself, cut both (`longest_first`), and then put special tokens around
and between them. All of this is done here, but for the first step: a tokenizer that cuts also gives what it cut off,
each piece of one text with each piece of the other, which of two long texts is more than memory holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.errors import ModelError

Int32 = npt.NDArray[np.int32]
FIRST, SECOND, SPECIAL = 0, 1, -1  # of which text a token is


@dataclass(frozen=True)
class Special:
    """Special tokens at one place, [tokens] each."""

    ids: list[int]
    tokens: list[str]
    types: list[int]  # token types


@dataclass(frozen=True)
class Part:
    """The tokens of one text that are kept, [tokens] each."""

    ids: Sequence[int]
    tokens: Sequence[str]
    words: Sequence[int]  # number of the word, from 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class PairTemplate:
    """What a tokenizer puts around two texts and between them, and the token type that it gives to each.

    Args:
        around: special tokens before the first text, between both, and behind the second.
        types: of the first text's tokens, and of the second's.
    """

    around: tuple[Special, Special, Special]
    types: tuple[int, int]

    @classmethod
    def of(cls, tokenizer: Any) -> PairTemplate:
        """The template of a fast tokenizer, from what it makes of two short texts.

        Raises:
            ModelError: it makes no tokens of them.
        """
        encoding = tokenizer("a", "a").encodings[0]
        owners = encoding.sequence_ids
        places = [[place for place, owner in enumerate(owners) if owner == text] for text in (FIRST, SECOND)]
        if not all(places):
            raise ModelError(
                "the model's tokenizer makes no tokens of a pair of two short texts",
                expected="a tokenizer that can read pairs",
                remedy="leave --pair-column out, or use a model that was trained on pairs",
            )
        types = token_types(tokenizer, encoding)
        edges = [0, places[0][0], places[0][-1] + 1, places[1][0], places[1][-1] + 1, len(owners)]
        around = (
            Special(encoding.ids[start:end], encoding.tokens[start:end], types[start:end])
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        )
        before, between, behind = around
        return cls((before, between, behind), (types[places[0][0]], types[places[1][0]]))

    @property
    def special(self) -> int:
        """Number of special tokens of a pair."""
        return sum(len(special.ids) for special in self.around)

    @property
    def most(self) -> int:
        """The highest token type that it gives."""
        return max(*self.types, *chain.from_iterable(special.types for special in self.around))

    def types_of(self, first: int, second: int) -> Int32:
        """Token types of a pair with so many tokens of each text, int32 [tokens]."""
        before, between, behind = (special.types for special in self.around)
        texts = ([self.types[0]] * first, [self.types[1]] * second)
        return np.array([*before, *texts[0], *between, *texts[1], *behind], np.int32)

    def types_of_segments(self, segments: Int32) -> Int32:
        """Token types of a pair whose `segments` are these, int32 [tokens] both."""
        return self.types_of(int((segments == FIRST).sum()), int((segments == SECOND).sum()))

    def joined(self, first: Part, second: Part) -> tuple[Int32, list[str], Int32, Int32]:
        """(ids, tokens, word ids, segments) of a pair; words of the second text are numbered on from the first's."""
        before, between, behind = self.around
        offset = max(first.words, default=-1) + 1
        segments = [
            *[SPECIAL] * len(before.ids), *[FIRST] * len(first), *[SPECIAL] * len(between.ids),
            *[SECOND] * len(second), *[SPECIAL] * len(behind.ids),
        ]  # fmt: skip
        words = [
            *[SPECIAL] * len(before.ids), *first.words, *[SPECIAL] * len(between.ids),
            *(word + offset for word in second.words), *[SPECIAL] * len(behind.ids),
        ]  # fmt: skip
        ids = [*before.ids, *first.ids, *between.ids, *second.ids, *behind.ids]
        tokens = [*before.tokens, *first.tokens, *between.tokens, *second.tokens, *behind.tokens]
        return np.array(ids, np.int32), tokens, np.array(words, np.int32), np.array(segments, np.int32)


def token_types(tokenizer: Any, encoding: Any) -> list[int]:
    """Token types as transformers hands them to a network: 0 where the tokenizer does not tell them."""
    told = "token_type_ids" in tokenizer.model_input_names
    return list(encoding.type_ids) if told else [0] * len(encoding.ids)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens are kept of two texts that have so many: the longer one is cut until both are of one length.

    As transformers' fast tokenizers do with ``truncation="longest_first"``: of an odd room the longer text has one
    more, and of two that are equal the second.
    """
    if first + second <= room:
        return first, second
    short = min(first, second)
    kept = (short, room - short) if 2 * short <= room else (room // 2, room - room // 2)
    return kept if first <= second else (kept[1], kept[0])
