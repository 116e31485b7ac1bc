"""What is explained in a benchmark: networks, and reviews with the lengths of IMDB's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.explain.problems import Problem
from ig_worker.models.inputs import ModelInput

LONGEST = 256  # tokens
REVIEWS_FILE, VOCABULARY_FILE = "imdb.npz", "bert-base-uncased-vocab.txt"
PILOT = 154  # rows of a pilot; 107 of them judge, and 99 are enough for a promise
_READ = 2000  # reviews of the test split from which those of the benchmark are chosen; a pilot's come after them

# Quantiles (2i + 1) / 128 of the lengths, in word pieces of bert-base-uncased cut at 256, of the 25,000 test reviews;
# their mean is 187.9, as that of all is.
IMDB_LENGTHS = (
    45, 55, 64, 72, 81, 90, 100, 109, 115, 120, 124, 128, 130, 133, 136, 138, 140, 143, 145, 148, 150, 153, 156, 159,
    162, 166, 169, 173, 176, 180, 184, 188, 193, 197, 202, 208, 213, 218, 225, 231, 237, 244, 251, *[256] * 21,
)  # fmt: skip


def quantiles(values: Sequence[int], count: int) -> list[int]:
    """The positions in `values` of its quantiles 1/2n, 3/2n, ... for n = `count`, in ascending order of value."""
    order = np.argsort(values, kind="stable")
    return [int(order[(2 * i + 1) * len(values) // (2 * count)]) for i in range(count)]


def save_documents(path: Path, problems: Sequence[Problem]) -> None:
    """Write problems as arrays that every process reads without a tokenizer."""
    np.savez(
        path,
        lengths=[problem.tokens for problem in problems],
        ids=np.concatenate([problem.text.ids for problem in problems]),
        base=np.concatenate([problem.baseline for problem in problems]),
        positions=np.concatenate([problem.text.positions for problem in problems]),
    )


def load_documents(path: str | Path) -> list[Problem]:
    """What `save_documents` wrote."""
    with np.load(path) as saved:
        cuts = np.cumsum(saved["lengths"])[:-1]
        parts = zip(*(np.split(saved[name], cuts) for name in ("ids", "base", "positions")), strict=True)
        return [Problem(ModelInput.single(ids)._replace(positions=places), base) for ids, base, places in parts]


def read_sizes(directory: str | Path) -> dict[str, Any]:
    """The arguments of `arithmetic.Sizes` for a model directory."""
    config = json.loads((Path(directory) / "config.json").read_text())
    bert = config["model_type"] == "bert"
    keys = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    sizes = [config[key] for key in (keys if bert else ("n_layers", "dim", "n_heads", "hidden_dim"))]
    return dict(zip(("blocks", "hidden", "heads", "intermediate"), sizes, strict=True))


class Maker:
    """Makes networks and problems; lives in a `process.Child`, since it needs TensorFlow and tokenizers."""

    def __init__(self, threads: int) -> None:
        from ig_worker.models.runtime import configure

        configure(threads)

    def base_model(self, directory: str, vocabulary: str | None, **sizes: Any) -> None:
        """Write a DistilBERT classifier with random weights; by default in the sizes of distilbert-base-uncased."""
        from ig_worker.models.runtime import tf  # isort: skip
        from transformers import BertTokenizerFast, DistilBertConfig, TFDistilBertForSequenceClassification

        tf.keras.utils.set_random_seed(7)
        model = TFDistilBertForSequenceClassification(DistilBertConfig(**sizes))
        model(tf.zeros([1, 2], tf.int32))
        model.save_pretrained(directory, safe_serialization=True)
        pieces = Path(vocabulary).read_text().splitlines() if vocabulary else _made_up_pieces(model.config.vocab_size)
        file = Path(directory) / "vocab.txt"
        file.write_text("\n".join(pieces) + "\n")
        BertTokenizerFast(vocab_file=str(file), do_lower_case=True).save_pretrained(directory)

    def problems(self, path: str, model: str, reviews: str | None, count: int) -> list[int]:
        """Write `count` problems with IMDB's distribution of lengths, shortest first; their lengths in tokens.

        Args:
            path: the file to write.
            model: directory of the network whose tokenizer is used.
            reviews: directory of real reviews; None makes up tokens.
            count: how many.
        """
        tokenizer = _tokenizer(model)
        ids = _real_ids(tokenizer, reviews, count) if reviews else _made_up_ids(tokenizer, count)
        return _save(Path(path), tokenizer, ids)

    def pilot(self, path: str, model: str, reviews: str, count: int) -> list[int]:
        """Write `count` real reviews that are none of `problems`; their lengths in tokens."""
        tokenizer = _tokenizer(model)
        return _save(Path(path), tokenizer, _read(tokenizer, reviews, _READ, count))


def _tokenizer(model: str) -> Any:
    from ig_worker.models.tokenize import load_tokenizer

    return load_tokenizer(model, vocabulary=10**9)


def _save(path: Path, tokenizer: Any, ids: Sequence[Any]) -> list[int]:
    from ig_worker.explain.baselines import SpecialIds, baseline_ids

    special = SpecialIds.of(tokenizer)
    save_documents(path, [Problem(ModelInput.single(x), baseline_ids(x, "pad", special)) for x in ids])
    return [len(x) for x in ids]


def _real_ids(tokenizer: Any, reviews: str, count: int) -> list[np.ndarray]:
    found = _read(tokenizer, reviews, 0, _READ)
    return [found[i] for i in quantiles([len(ids) for ids in found], count)]


def _read(tokenizer: Any, reviews: str, offset: int, limit: int) -> list[np.ndarray]:
    from ig_worker.data.sources import DataSpec, open_documents
    from ig_worker.models.tokenize import TextEncoder

    batches = open_documents(DataSpec(str(Path(reviews) / REVIEWS_FILE), limit=limit, offset=offset)).batches()
    texts = [text for batch in batches for text in batch.column("text").to_pylist()]
    return [tokens.inputs.ids for tokens in TextEncoder(tokenizer, "bert", LONGEST).encode(texts)]


def _made_up_ids(tokenizer: Any, count: int) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    made = []
    for i in quantiles(IMDB_LENGTHS, count):
        ids = random.integers(len(tokenizer) // 30, len(tokenizer), IMDB_LENGTHS[i])
        ids[[0, -1]] = tokenizer.cls_token_id, tokenizer.sep_token_id
        made.append(ids.astype(np.int32))
    return made


def _made_up_pieces(size: int) -> list[str]:
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(size - 5))]
