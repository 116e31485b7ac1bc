"""Text to token ids, in the two text styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.data.style import apply_style
from ig_worker.errors import ModelError
from ig_worker.models.files import refuse_token_ids

_UNKNOWN_WORD = "x" * 1000  # to any BERT tokenizer: longer than a word may be
_TEXTS_AT_ONCE = 64  # long texts make many overflowing pieces: bound what is held at once


@dataclass(frozen=True)
class Tokens:
    """One tokenized text. All arrays are int32 [tokens]."""

    input_ids: npt.NDArray[np.int32]
    attention_mask: npt.NDArray[np.int32]  # 1 for tokens, 0 for the padding that style `plain` keeps
    word_ids: npt.NDArray[np.int32]  # number of the word in the text, -1 for special tokens
    tokens: list[str]
    truncated: bool


class TextEncoder:
    """A model's tokenizer, a text style and a length.

    Args:
        tokenizer: a fast transformers tokenizer.
        style: ``bert`` adds special tokens; ``plain`` cleans the text, adds none, and pads to `max_length`.
        max_length: longest result, in tokens.
    """

    def __init__(self, tokenizer: Any, style: str, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.style = style
        self.max_length = max_length

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenize texts; the order is kept."""
        encoded: list[Tokens] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            encoded += self._encode([apply_style(text, self.style) for text in texts[start : start + _TEXTS_AT_ONCE]])
        return encoded

    def _encode(self, texts: list[str]) -> list[Tokens]:
        plain = self.style == "plain"
        batch = self.tokenizer(
            texts,
            add_special_tokens=not plain,
            truncation=True,
            max_length=self.max_length,
            padding="max_length" if plain else False,
        )
        return [
            Tokens(
                input_ids=np.array(encoding.ids, np.int32),
                attention_mask=np.array(encoding.attention_mask, np.int32),
                word_ids=np.array([-1 if word is None else word for word in encoding.word_ids], np.int32),
                tokens=list(encoding.tokens),
                truncated=bool(encoding.overflowing),
            )
            for encoding in batch.encodings
        ]


def load_tokenizer(directory: str, vocabulary: int) -> Any:
    """The fast tokenizer of a model directory.

    Args:
        directory: a model's directory.
        vocabulary: rows of the network's embedding table.

    Raises:
        ModelError: no usable tokenizer, or one with tokens for which the network has no embeddings.
    """
    from transformers import AutoTokenizer

    import ig_worker.models.runtime  # noqa: F401  transformers looks for TensorFlow when it is imported

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {directory} cannot be loaded ({error})", expected="a BERT tokenizer"
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer in {directory} is a slow one", expected="a fast tokenizer (tokenizer.json)")
    refuse_token_ids(directory, max(tokenizer.get_vocab().values(), default=-1), vocabulary)
    try:
        tokenizer(_UNKNOWN_WORD)
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {directory} cannot read an unknown word ({error})",
            expected="a tokenizer that can read any text",
        ) from error
    return tokenizer
