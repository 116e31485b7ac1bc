"""What a tokenizer does, found by trying it: its special tokens, and why words of a text are unknown to it."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ig_worker.models.pieces import Notation
from ig_worker.models.words import as_inner

# In BERT's own vocabularies, and in RoBERTa's and most of SentencePiece's.
_USUAL = {
    "pad_token": ("[PAD]", "<pad>"),
    "mask_token": ("[MASK]", "<mask>"),
    "unk_token": ("[UNK]", "<unk>"),
}
_SPACE = "▁"  # SentencePiece's, before a word
_A_TEXT = "a"
_MOST_WORDS = 500  # unknown words that are looked into


def declare_special_tokens(tokenizer: Any) -> list[str]:
    """Tell a fast tokenizer which tokens it treats specially, where its settings do not say so.

    Special are the tokens that are declared, those that were added to the vocabulary as special, and those that the
    tokenizer itself puts around a text or between two: it is asked for its encoding of an empty text, of a short one
    and of two. A tokenizer of which only tokenizer.json is left declares none of them, and adds them all the same.

    Args:
        tokenizer: gets what was found, among its ``additional_special_tokens`` or under its own name (``pad_token``).

    Returns:
        The tokens that were not declared.
    """
    declared = set(tokenizer.all_special_tokens)
    found = dict.fromkeys(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    for texts in (("",), (_A_TEXT,), (_A_TEXT, _A_TEXT)):
        encoding = tokenizer(*texts).encodings[0]
        found |= dict.fromkeys(
            token for token, special in zip(encoding.tokens, encoding.special_tokens_mask, strict=True) if special
        )
    if tokenizer.unk_token is None and (unknown := _unknown_of(tokenizer.backend_tokenizer)) in tokenizer.get_vocab():
        tokenizer.unk_token = unknown
    for name, usual in _USUAL.items():
        token = next((token for token in usual if token in found), None)
        if getattr(tokenizer, name) is None and token is not None:
            setattr(tokenizer, name, token)
    further = [token for token in found if token not in tokenizer.all_special_tokens]
    if further:
        tokenizer.additional_special_tokens = [*(tokenizer.additional_special_tokens or ()), *further]
    return [token for token in tokenizer.all_special_tokens if token not in declared]


def _unknown_of(backend: Any) -> str | None:
    """The token for what a vocabulary lacks; a unigram model has but its number, and tells it only when it is saved."""
    if type(backend.model).__name__ != "Unigram":
        return getattr(backend.model, "unk_token", None)
    number = json.loads(backend.to_str())["model"].get("unk_id")
    return None if number is None else backend.id_to_token(number)


def notation_of(tokenizer: Any) -> Notation | None:
    """How a fast tokenizer writes its pieces; None for WordPiece's own way, which results have as it is."""
    backend = tokenizer.backend_tokenizer
    if getattr(backend.model, "continuing_subword_prefix", None) == as_inner("") and is_word_piece(tokenizer):
        return None
    parts = [*_parts(backend.normalizer), *_parts(backend.pre_tokenizer)]
    kinds = {part.get("type") for part in parts}
    spaces = [part["replacement"] for part in parts if part.get("type") == "Metaspace"]
    spaces += [_SPACE for part in parts if part.get("type") == "Replace" and part.get("content") == _SPACE]
    return Notation(
        space="" if "ByteLevel" in kinds or not spaces else spaces[0],
        unknown=tokenizer.unk_token_id,
        special=frozenset(tokenizer.all_special_tokens),
    )


def is_word_piece(tokenizer: Any) -> bool:
    """Whether a fast tokenizer has a model of WordPiece, as BERT's."""
    return type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece"


def _parts(part: Any) -> Iterator[dict[str, Any]]:
    """A normalizer or pre-tokenizer as JSON, and those that it is made of."""
    waiting = [] if part is None else [json.loads(part.__getstate__())]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += [*one.get("normalizers", ()), *one.get("pretokenizers", ())]


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
                words.append(text[start:end].strip())
    return total, words


def suspicious_setting(tokenizer: Any, words: Sequence[str]) -> str:
    """The setting of the tokenizer that makes most of these words unknown, for people; "" where none does.

    Only of WordPiece: others know most words by their characters, and have settings of other names.

    Args:
        tokenizer: a fast one.
        words: that it does not know, as `unknown_words` finds them.
    """
    if not is_word_piece(tokenizer):
        return ""
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
