"""The head on a frozen encoder: learnt from features on disk, saved, and a classifier like any other."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import ModelError, UsageError
from ig_worker.models.checkpoint import Scratch
from ig_worker.models.examples import TokenRows
from ig_worker.models.finetune import finetune
from ig_worker.models.inputs import ModelInput
from ig_worker.models.recipes import RECIPES, revise
from tests.models.reviews import save_encoder, write_reviews
from tests.tiny import save_tiny_model

LENGTH, WIDTH = 16, 64


def test_a_head_is_learnt_and_its_classifier_loads(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from ig_worker.models.tokenize import TextEncoder

    (base, _), out = save_encoder(tmp_path / "encoder"), tmp_path / "model"
    recipe = revise(RECIPES["bert-head"], base=str(base), max_length=12, batch_rows=16, learning_rate=5e-3, epochs=4)
    metrics = finetune(recipe, write_reviews(tmp_path / "reviews.jsonl"), str(out))
    assert metrics.test_accuracy == 1.0
    assert metrics.trained_parameters == 12 * 32 * 128 + 128 + 128 * 2 + 2 < metrics.parameters
    classifier = load_classifier(find_model(str(out)))
    assert classifier.shape.head == recipe.head
    ids, mask = _plain(TextEncoder(classifier.tokenizer, "plain", 12), ["the film was great", "the film was awful"])
    for layer in ("embeddings", "block:1"):
        halves = classifier.split(layer)
        assert np.argmax(halves.above(halves.below(ModelInput.single(ids, mask)), mask), -1).tolist() == [1, 0]
    before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before), "the encoder is frozen"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "model", "reviews.jsonl"]


def _plain(encoder: Any, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    tokens = encoder.encode(texts)
    return np.stack([row.inputs.ids for row in tokens]), np.stack([row.inputs.mask for row in tokens])


def echo(input_ids: Any, attention_mask: Any, training: bool) -> SimpleNamespace:
    """An encoder whose features are the token ids."""
    from ig_worker.models.runtime import tf

    return SimpleNamespace(last_hidden_state=tf.repeat(tf.cast(input_ids, tf.float32)[..., None], WIDTH, axis=-1))


def numbered(rows: int) -> TokenRows:
    ids = [np.full(LENGTH, i, np.int32) for i in range(rows)]
    return TokenRows(ids, [LENGTH] * rows, np.zeros(rows, np.int32), LENGTH)


def test_features_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    from ig_worker.models.features import extract, read_features

    rows, scratch = numbered(4000), Scratch(tmp_path / "model")
    scratch.begin({})
    extract(echo, numbered(40), WIDTH, scratch, lambda done: None)  # what TensorFlow allocates once
    scratch.note_feature_rows(0)
    tracemalloc.start()
    extract(echo, rows, WIDTH, scratch, lambda done: None)
    for start in range(0, 4000, 50):
        read_features(scratch.features, np.arange(start, start + 50))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    total = 4000 * LENGTH * WIDTH * 4
    assert scratch.features.stat().st_size > total
    assert peak < total / 10
    assert read_features(scratch.features, np.array([3999, 7]))[:, 3, 5].tolist() == [3999, 7]


def test_stopped_features_go_on_where_they_were(tmp_path: Path) -> None:
    from ig_worker.models.features import extract, read_features

    rows, scratch = numbered(1500), Scratch(tmp_path / "model")
    scratch.begin({})

    def stop(done: int) -> None:
        if done >= 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(echo, rows, WIDTH, scratch, stop)
    assert scratch.feature_rows == 640
    seen: list[int] = []
    extract(echo, rows, WIDTH, scratch, seen.append)
    assert (seen[0], seen[-1], scratch.feature_rows) == (672, 1500, 1500)
    assert read_features(scratch.features, np.arange(1500))[:, 0, 0].tolist() == list(range(1500))


def test_a_base_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    base = str(save_tiny_model(tmp_path / "base", "distilbert"))
    spec, out = write_reviews(tmp_path / "reviews.jsonl"), str(tmp_path / "model")
    with pytest.raises(ModelError, match="is a distilbert encoder; expected a bert encoder for --recipe bert"):
        finetune(revise(RECIPES["bert"], base=base, max_length=24), spec, out)
    with pytest.raises(UsageError, match="--max-length is 100; expected at most the 64 positions of"):
        finetune(revise(RECIPES["bert-head"], base=base), spec, out)
    (tmp_path / "base" / "vocab.txt").unlink()
    (tmp_path / "base" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"model directory .*base has no tokenizer"):
        finetune(revise(RECIPES["distilbert"], base=base, max_length=24), spec, out)


def test_mixed_precision_learns_and_leaves_float32_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import load_file

    from ig_worker.models import build
    from ig_worker.models.runtime import tf

    monkeypatch.setattr(build, "gpus_multiply_bfloat16", lambda: True)
    recipe = revise(
        RECIPES["distilbert"], from_scratch=True, blocks=1, hidden=32, heads=2, intermediate=64, vocabulary=200,
        max_length=24, batch_rows=16, learning_rate=5e-3, steps=60,
    )  # fmt: skip
    metrics = finetune(recipe, write_reviews(tmp_path / "reviews.jsonl"), str(tmp_path / "model"))
    assert (metrics.precision, metrics.test_accuracy) == ("bfloat16", 1.0)
    kept = load_file(tmp_path / "model" / "model.safetensors")
    assert {value.dtype.name for value in kept.values()} == {"float32"}
    assert tf.keras.mixed_precision.global_policy().name == "float32"
