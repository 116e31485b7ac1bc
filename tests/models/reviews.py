"""Made-up reviews that are easy to tell apart, and a pretrained encoder that knows their words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ig_worker.data.sources import DataSpec
from tests.tiny import SPECIAL, WORDS, save_tokenizer


def write_reviews(path: Path, rows: int = 200) -> DataSpec:
    """A file of short reviews, good and bad by turns."""
    words = ["good great joy", "bad dull awful"]
    lines = [
        {"text": f"the film was {words[i % 2].split()[i % 3]} " * (i % 3 + 1), "label": 1 - i % 2} for i in range(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DataSpec(str(path))


def save_encoder(directory: Path) -> tuple[Path, Any]:
    """Write a random BERT encoder of width 32, without a head, and its tokenizer; also gives the encoder itself."""
    from ig_worker.models.runtime import tf  # isort: skip
    from transformers import BertConfig, TFBertModel

    tf.keras.utils.set_random_seed(3)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(SPECIAL + WORDS), max_position_embeddings=64, initializer_range=0.2, **sizes)
    encoder = TFBertModel(config)
    encoder(tf.zeros([1, 2], tf.int32))
    encoder.save_pretrained(directory, safe_serialization=True)
    save_tokenizer(directory)
    return directory, encoder
