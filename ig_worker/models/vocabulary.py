"""What a tokenizer does, found by trying it: its special tokens, and why words of a text are unknown to it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

_USUAL = {"pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}  # in BERT's own vocabularies
_A_TEXT = "a"
_MOST_WORDS = 500  # unknown words that are looked into


def declare_special_tokens(tokenizer: Any) -> list[str]:
    """Tell a fast tokenizer which tokens it treats specially, where its settings do not say so.

    Special are the tokens that are declared, those that were added to the vocabulary as special, and those that the
    tokenizer itself puts around a text: it is asked for its encoding of an empty text and of a short one. A tokenizer
    of which only tokenizer.json is left declares none of them, and adds them all the same.

    Args:
        tokenizer: gets what was found, among its ``additional_special_tokens`` or under its own name (``pad_token``).

    Returns:
        The tokens that were not declared.
    """
    declared = set(tokenizer.all_special_tokens)
    found = dict.fromkeys(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    for text in ("", _A_TEXT):
        encoding = tokenizer(text).encodings[0]
        found |= dict.fromkeys(
            token for token, special in zip(encoding.tokens, encoding.special_tokens_mask, strict=True) if special
        )
    unknown = getattr(tokenizer.backend_tokenizer.model, "unk_token", None)
    if tokenizer.unk_token is None and unknown in tokenizer.get_vocab():
        tokenizer.unk_token = unknown
    for name, token in _USUAL.items():
        if getattr(tokenizer, name) is None and token in found:
            setattr(tokenizer, name, token)
    further = [token for token in found if token not in tokenizer.all_special_tokens]
    if further:
        tokenizer.additional_special_tokens = [*(tokenizer.additional_special_tokens or ()), *further]
    return [token for token in tokenizer.all_special_tokens if token not in declared]


def around(tokenizer: Any) -> tuple[list[str], list[str]]:
    """(tokens that are put before a text, tokens that are put behind it)."""
    encoding = tokenizer(_A_TEXT).encodings[0]
    inside = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    if not inside:
        return list(encoding.tokens), []
    return encoding.tokens[: inside[0]], encoding.tokens[inside[-1] + 1 :]


def unknown_words(tokenizer: Any, texts: Sequence[str], encodings: Sequence[Any]) -> tuple[int, list[str]]:
    """(number of tokens, special ones apart; the words among them that stand as [UNK], as the texts have them).

    Args:
        tokenizer: a fast one.
        texts: as the tokenizer was given them.
        encodings: what it made of them.
    """
    total, words = 0, []
    for text, encoding in zip(texts, encodings, strict=True):
        total += sum(word is not None for word in encoding.word_ids)
        for place, number in enumerate(encoding.ids):
            if number == tokenizer.unk_token_id and encoding.word_ids[place] is not None:
                start, end = encoding.offsets[place]
                words.append(text[start:end])
    return total, words


def suspicious_setting(tokenizer: Any, words: Sequence[str]) -> str:
    """The setting of the tokenizer that makes most of these words unknown, for people; "" where none does.

    Args:
        tokenizer: a fast one.
        words: that it does not know, as `unknown_words` finds them.
    """
    vocabulary = tokenizer.get_vocab()
    words = words[:_MOST_WORDS]
    reasons = Counter(filter(None, (_reason(tokenizer, vocabulary, word) for word in words)))
    reason, count = max(reasons.items(), key=lambda item: item[1], default=("", 0))
    return reason if 2 * count >= len(words) else ""


def _reason(tokenizer: Any, vocabulary: dict[str, int], word: str) -> str:
    lost = "the tokenizer lower-cases (do_lower_case), and the vocabulary has capital letters"
    if word in vocabulary:  # as it stands in the text: then the tokenizer looked for something else
        if word != word.lower():
            return lost
        return "the tokenizer takes accents away (strip_accents), and the vocabulary has them"
    for variant, reason in (
        (word.lower(), "the tokenizer keeps capital letters (do_lower_case is false), and the vocabulary has none"),
        (_plain(word), "the tokenizer keeps accents (strip_accents is false), and the vocabulary has none"),
        (_plain(word.lower()), "the tokenizer keeps capital letters and accents, and the vocabulary has neither"),
    ):
        if variant != word and not _is_unknown(tokenizer, variant):
            return reason
    capital = {word.capitalize(), word.upper()} - {word}
    known = [variant for variant in capital if variant in vocabulary]
    return lost if known and _is_unknown(tokenizer, known[0]) else ""


def _is_unknown(tokenizer: Any, word: str) -> bool:
    return tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False)["input_ids"]


def _plain(word: str) -> str:
    """Without accents, as BERT's own tokenizer takes them away."""
    return "".join(letter for letter in unicodedata.normalize("NFD", word) if unicodedata.category(letter) != "Mn")
