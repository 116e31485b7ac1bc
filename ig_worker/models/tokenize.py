"""Text to token ids, in the two text styles."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.data.style import apply_style
from ig_worker.errors import ModelError
from ig_worker.models.environment import quiet_transformers
from ig_worker.models.files import refuse_token_ids
from ig_worker.models.inputs import Counting, ModelInput, from_zero
from ig_worker.models.vocabulary import declare_special_tokens, unknown_words
from ig_worker.models.word_cache import WordCache, cuts_at_words

_UNKNOWN_WORD = "x" * 1000  # to any BERT tokenizer: longer than a word may be
_NEWER = "TokenizersBackend"  # a class of transformers 5
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
    """

    def __init__(self, tokenizer: Any, style: str, max_length: int, counting: Counting | None = None) -> None:
        self.tokenizer = tokenizer
        self.counting = counting or from_zero
        self.style = style
        self.max_length = max_length
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
        return [
            Tokens(
                inputs=self._input(encoding.ids, np.array(encoding.attention_mask, np.int32)),
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
    try:
        tokenizer = _read_tokenizer(Path(directory))
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {directory} cannot be loaded ({error})", expected="a BERT tokenizer"
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer in {directory} is a slow one", expected="a fast tokenizer (tokenizer.json)")
    # A blank line in vocab.txt has a number and is no token that a text can have.
    highest = max((number for token, number in tokenizer.get_vocab().items() if token), default=-1)
    if not (Path(directory) / "tokenizer.json").is_file():
        _refuse_made_up(Path(directory), tokenizer)
    refuse_token_ids(directory, highest, vocabulary)
    try:
        tokenizer(_UNKNOWN_WORD)
    except Exception as error:
        raise ModelError(
            f"the tokenizer in {directory} cannot read an unknown word ({error})",
            expected="a tokenizer that can read any text",
        ) from error
    declare_special_tokens(tokenizer)
    _refuse_other_tokens(directory, tokenizer)
    return tokenizer


def _refuse_other_tokens(directory: str, tokenizer: Any) -> None:
    """Raise ModelError where what is put around a text is not what it is called, or of another token type.

    transformers would add another type's embedding to a text's.
    """
    encoding, numbers = tokenizer("a").encodings[0], tokenizer.get_vocab()
    for token, number in zip(encoding.tokens, encoding.ids, strict=True):
        if numbers.get(token) != number:
            raise ModelError(
                f"the tokenizer in {directory} gives {token} the number {number}, which is "
                f"{tokenizer.convert_ids_to_tokens(number)!r} in its vocabulary",
                expected=str(numbers.get(token, f"a vocabulary with {token}")),
                remedy="give files of one tokenizer",
            )
    types = set(encoding.type_ids) if "token_type_ids" in tokenizer.model_input_names else set()
    if types - {0}:
        raise ModelError(
            f"the tokenizer in {directory} gives a text token type {max(types)}",
            expected="0, the type of a single text's tokens",
            remedy="mend the post_processor in its tokenizer.json",
        )


def _refuse_made_up(directory: Path, tokenizer: Any) -> None:
    """Raise ModelError where a special token of a text is in none of the tokenizer's files.

    transformers gives it a number behind all others, where the network has no embedding, or one that nobody trained.
    """
    content = (directory / "vocab.txt").read_bytes()
    lines = [line.rstrip("\r") for line in content.decode(errors="replace").removesuffix("\n").split("\n")]
    numbers = tokenizer.get_vocab()
    known = set(lines)
    for file in ("added_tokens.json", "tokenizer_config.json"):
        stored = json.loads(path.read_bytes()) if (path := directory / file).is_file() else {}
        if file == "tokenizer_config.json":
            stored = {token["content"]: number for number, token in stored.get("added_tokens_decoder", {}).items()}
        # What was added has numbers behind the lines; others are those of lines that are gone.
        known |= {token for token, number in stored.items() if numbers.get(token) == int(number) >= len(lines)}
    needed = [tokenizer.pad_token, tokenizer.unk_token, *tokenizer("").encodings[0].tokens]
    lost = [token for token in needed if token is not None and token not in known]
    if lost:
        mark = ", since it begins with a byte order mark" if content.startswith(b"\xef\xbb\xbf") else ""
        raise ModelError(
            f"vocab.txt in {directory} lacks {lost[0]}{mark}",
            expected="a line for each token, UTF-8, the special ones included",
            remedy="copy or download it once more",
        )


def _read_tokenizer(directory: Path) -> Any:
    transformers = quiet_transformers()
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_bytes()) if path.is_file() else {}
    if not isinstance(config, dict):
        raise ValueError("tokenizer_config.json holds no JSON object")
    newer = newer_settings(config)
    if newer is None:
        return transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not (directory / "tokenizer.json").is_file():
        raise ValueError("transformers 5 wrote tokenizer_config.json, but there is no tokenizer.json beside it")
    return transformers.PreTrainedTokenizerFast.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, **newer
    )


def newer_settings(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What to read a tokenizer with that transformers 5 wrote; None for a tokenizer of an earlier version.

    Version 5 lists further special tokens as ``extra_special_tokens``, where version 4 expects names for them, and can
    name a class that version 4 does not have. Its tokenizer.json is all of the tokenizer; version 4's own classes would
    set that right, as they see it, by settings which version 5 need not write, such as lower-casing.

    Args:
        config: content of tokenizer_config.json.
    """
    further = config.get("extra_special_tokens")
    if not isinstance(further, list):
        return None if "backend" not in config and config.get("tokenizer_class") != _NEWER else {}
    contents = [token["content"] if isinstance(token, dict) else token for token in further]
    older = config.get("additional_special_tokens") or []
    return {"extra_special_tokens": {}, "additional_special_tokens": [*older, *contents]}
