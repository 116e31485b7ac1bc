"""A network of each encoder, trained from nothing on the demo's made-up reviews, and what the race explains.

Both need processes of their own: training has torch, as ModernBERT is not in TensorFlow, and the documents are made by
this project's tokenizer and networks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.data.demo import demo_reviews
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.examples import length_batches
from ig_worker.models.recipes import RECIPES, learning_rate
from tests.benchmarks.workload import quantiles, save_documents
from tests.models.kinds import KINDS

# By the kinds of `tests.models.kinds`, of which all but the sizes is taken.
RACED = (
    "distilbert", "bert", "roberta", "xlm-roberta", "electra", "albert", "mpnet", "deberta-v2-largest", "deberta-v3",
    "modernbert",
)  # fmt: skip
BLOCKS, HIDDEN, HEADS, INTERMEDIATE, POSITIONS, LONGEST = 4, 128, 4, 512, 258, 256
VOCABULARY = 4000
STEPS, BATCH_ROWS, RATE = 600, 16, 5e-4  # as the demo's recipe has it
LEARNT_FROM = 3000  # of the training reviews; the pilot's are behind them
LEAST_TOKENS, PILOT_TOKENS = 96, 48  # shorter reviews are not explained, and not in the pilot


def title_of(kind: str) -> str:
    """The encoder's name for people."""
    return {"deberta-v2-largest": "DeBERTa v2", "deberta-v3": "DeBERTa v3"}.get(
        kind, ENCODERS[KINDS[kind]["model_type"]].title
    )


def config_of(kind: str, tokenizer: Any) -> dict[str, Any]:
    """The content of config.json."""
    known = KINDS[kind]
    sizes = {
        "vocabulary": len(tokenizer), "positions": POSITIONS, "hidden": HIDDEN, "blocks": BLOCKS, "heads": HEADS,
        "intermediate": INTERMEDIATE,
    }  # fmt: skip
    config = known | {ENCODERS[known["model_type"]].sizes[name]: value for name, value in sizes.items()}
    config["pad_token_id"] = tokenizer.pad_token_id
    if "embedding_size" in config:
        config["embedding_size"] = HIDDEN // 2
    if config.get("position_buckets", -1) > 0:  # as published networks have it
        config |= {"position_buckets": 256, "max_relative_positions": -1}
    if "local_attention" in config:
        config |= {"local_attention": 128, "global_attn_every_n_layers": 3}
    return config


class Words:
    """Makes the tokenizer that all networks share; lives in a `process.Child`, without torch."""

    def __init__(self, threads: int) -> None:
        pass

    def write(self, directory: str) -> None:
        """WordPiece, learnt from the training reviews."""
        from ig_worker.models.wordpiece import train_tokenizer

        train_tokenizer([text for _, text, _ in demo_reviews("train")], VOCABULARY, LONGEST).save_pretrained(directory)


class Trainer:
    """Trains networks by transformers' PyTorch classes; lives in a `process.Child`."""

    def __init__(self, threads: int) -> None:
        os.environ["USE_TF"] = "0"
        import torch

        torch.set_num_threads(threads)
        self._torch = torch

    def train(self, kind: str, tokenizer: str, directory: str, steps: int = STEPS) -> float:
        """Train a classifier of good and bad reviews, and write it with its tokenizer; its accuracy on others."""
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

        torch = self._torch
        torch.manual_seed(7)
        words = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
        config = config_of(kind, words)
        network = AutoModelForSequenceClassification.from_config(
            AutoConfig.for_model(**config), attn_implementation="eager"
        )
        recipe = RECIPES["tiny"]
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE, eps=recipe.epsilon)
        for step, (inputs, labels) in enumerate(_batches(torch, words, steps)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step, steps) * RATE / recipe.learning_rate
            loss = torch.nn.functional.cross_entropy(network(**inputs).logits, labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        network.eval()
        right = 0
        tested = list(demo_reviews("test"))
        with torch.no_grad():
            for start in range(0, len(tested), 2 * BATCH_ROWS):
                inputs, labels = _inputs(torch, words, tested[start : start + 2 * BATCH_ROWS])
                right += int((network(**inputs).logits.argmax(-1) == labels).sum())
        network.save_pretrained(directory, safe_serialization=True)
        words.save_pretrained(directory)
        return right / len(tested)


def _batches(torch: Any, words: Any, steps: int) -> Iterator[tuple[dict[str, Any], Any]]:
    reviews = list(demo_reviews("train"))[:LEARNT_FROM]
    lengths, random, left = [len(text) for _, text, _ in reviews], np.random.default_rng(7), steps
    while left:
        for members in length_batches(lengths, BATCH_ROWS, random)[:left]:
            yield _inputs(torch, words, [reviews[i] for i in members])
            left -= 1


def _inputs(torch: Any, words: Any, reviews: Sequence[tuple[str, str, int]]) -> tuple[dict[str, Any], Any]:
    found = words(
        [text for _, text, _ in reviews], truncation=True, max_length=LONGEST, padding=True, return_tensors="pt"
    )
    labels = torch.tensor([label for _, _, label in reviews])
    return {name: found[name] for name in ("input_ids", "attention_mask")}, labels


class Reader:
    """Makes the documents of a network; lives in a `process.Child`."""

    def __init__(self, threads: int, model: str) -> None:
        from ig_worker.explain.baselines import SpecialIds
        from ig_worker.models.classifier import load_classifier
        from ig_worker.models.files import find_model
        from ig_worker.models.runtime import configure
        from ig_worker.models.tokenize import TextEncoder

        configure(threads)
        classifier = load_classifier(find_model(model))
        self._special = SpecialIds.of(classifier.tokenizer)
        self._encoder = TextEncoder(classifier.tokenizer, "bert", LONGEST, classifier.counting)

    def documents(self, path: str, pilot: str, count: int, pilot_rows: int) -> list[int]:
        """Write `count` reviews of the test split, and a pilot of others; lengths of the first in tokens."""
        test = self._of("test", 0, LEAST_TOKENS)
        chosen = [test[i] for i in quantiles([len(one.ids) for one in test], count)]
        self._save(path, chosen)
        self._save(pilot, self._of("train", LEARNT_FROM, PILOT_TOKENS)[:pilot_rows])
        return [len(one.ids) for one in chosen]

    def _of(self, split: str, offset: int, least: int) -> list[Any]:
        texts = [text for _, text, _ in demo_reviews(split)][offset:]
        return [one.inputs for one in self._encoder.encode(texts) if len(one.inputs.ids) >= least]

    def _save(self, path: str, found: Sequence[Any]) -> None:
        from ig_worker.explain.baselines import baseline_ids
        from ig_worker.explain.problems import Problem

        save_documents(Path(path), [Problem(one, baseline_ids(one.ids, "pad", self._special)) for one in found])


def train_all(setting: Any, folder: Path) -> dict[str, float]:
    """Networks of all kinds in `folder`, each trained if it is not there; their accuracies."""
    found: dict[str, float] = {}
    tokenizer = folder / "tokenizer"
    if not tokenizer.exists():
        with setting.child("encoder_networks:Words") as words:
            words.ask("write", directory=str(tokenizer))
    with setting.child("encoder_networks:Trainer") as trainer:
        for kind in RACED:
            note = folder / kind / "accuracy.json"
            if not note.exists():
                setting.say(f"training {title_of(kind)}, {STEPS} steps of {BATCH_ROWS} reviews")
                accuracy = trainer.ask("train", kind=kind, tokenizer=str(tokenizer), directory=str(folder / kind))
                note.write_text(json.dumps(accuracy))
                setting.say(f"{title_of(kind)}: accuracy {accuracy:.3f}")
            found[kind] = json.loads(note.read_text())
    return found
