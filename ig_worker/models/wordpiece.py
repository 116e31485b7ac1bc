"""A WordPiece vocabulary learnt from texts (Schuster & Nakajima 2012; Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ig_worker.errors import DataError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_tokenizer(texts: Iterable[str], vocabulary: int, positions: int) -> Any:
    """A fast, lower-casing BERT tokenizer with a vocabulary learnt from `texts`.

    Args:
        texts: what to learn from.
        vocabulary: most word pieces, special tokens included.
        positions: longest input of the network, in tokens.

    Raises:
        DataError: the texts hold no words.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizerFast

    import ig_worker.models.runtime  # noqa: F401  transformers looks for TensorFlow when it is imported

    learnt = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learnt.normalizer = normalizers.BertNormalizer(lowercase=True)
    learnt.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learnt.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    learnt.train_from_iterator(texts, trainer)
    pieces = sorted(learnt.get_vocab().items(), key=lambda item: item[1])
    if len(pieces) <= len(SPECIAL_TOKENS):
        raise DataError("the training texts hold no words", expected="texts to learn a vocabulary from")
    return _bert_tokenizer(BertTokenizerFast, [piece for piece, _ in pieces], positions)


def _bert_tokenizer(kind: Any, pieces: list[str], positions: int) -> Any:
    # transformers builds the fast tokenizer, post-processor and all, from a vocabulary file.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
        return kind(vocab_file=str(path), do_lower_case=True, model_max_length=positions)
