"""A WordPiece vocabulary learnt from texts (Schuster & Nakajima 2012; Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ig_worker.errors import DataError
from ig_worker.models.words import as_inner

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LEAST_FREQUENCY = 2


def train_tokenizer(texts: Iterable[str], vocabulary: int, positions: int) -> Any:
    """A fast, lower-casing BERT tokenizer with a vocabulary learnt from `texts`; equal texts give an equal one.

    Args:
        texts: what to learn from.
        vocabulary: most word pieces, special tokens included.
        positions: longest input of the network, in tokens.

    Raises:
        DataError: the texts hold no words.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizerFast

    import ig_worker.models.runtime  # noqa: F401  transformers looks for TensorFlow when it is imported

    learnt = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[1]))
    learnt.normalizer = normalizers.BertNormalizer(lowercase=True)
    learnt.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = list(texts)
    inner = _inner_characters(texts, learnt)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=_LEAST_FREQUENCY,
        # The trainer numbers inner characters in the order of a randomly seeded hash table and breaks ties between
        # merges by number, so that equal texts would give different vocabularies; named here, they have fixed numbers.
        special_tokens=[*SPECIAL_TOKENS, *map(as_inner, inner)],
        show_progress=False,
    )
    learnt.train_from_iterator(texts, trainer)
    pieces = [piece for piece, _ in sorted(learnt.get_vocab().items(), key=lambda item: item[1])]
    if len(pieces) <= len(SPECIAL_TOKENS):
        raise DataError("the training texts hold no words", expected="texts to learn a vocabulary from")
    # transformers builds the fast tokenizer, post-processor and all, from a vocabulary file.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
        return BertTokenizerFast(vocab_file=str(path), do_lower_case=True, model_max_length=positions)


def _inner_characters(texts: Iterable[str], tokenizer: Any) -> list[str]:
    """Characters that stand inside a word of `texts`, sorted."""
    distinct = {word for text in texts for word in text.split()}
    inner: set[str] = set()
    for word in distinct:
        for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(word)):
            inner.update(part[1:])
    return sorted(inner)
