"""Training: the parts by themselves, and a small model from nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.data.sources import DataSpec
from ig_worker.errors import DataError, ModelError, UsageError
from ig_worker.models.examples import TokenRows, length_batches, read_examples
from ig_worker.models.finetune import finetune
from ig_worker.models.inputs import ModelInput
from ig_worker.models.recipes import RECIPES, find_recipe, revise
from tests.models.reviews import write_reviews
from tests.tiny import IN_TENSORFLOW

SMALL = replace(
    RECIPES["tiny"], blocks=1, hidden=32, heads=2, intermediate=64, positions=32, vocabulary=200, max_length=24,
    batch_rows=16, learning_rate=5e-3, least_steps=60,
)  # fmt: skip


@given(st.lists(st.integers(1, 300), max_size=300), st.integers(1, 9))
def test_every_text_is_in_one_batch(lengths: list[int], rows: int) -> None:
    batches = length_batches(lengths, rows, np.random.default_rng(1))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= rows for batch in batches)


def test_batches_hold_texts_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(10, 256, 3200)
    batches = length_batches(lengths, 32, np.random.default_rng(1))
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_a_batch_is_padded_to_its_longest_text_and_attends_to_tokens_only() -> None:
    rows = TokenRows([np.full(n, 7, np.int32) for n in (3, 20, 12)], [3, 20, 5], np.zeros(3, np.int32), 24)
    ids, mask = rows.batch([0, 2])
    assert ids.shape == mask.shape == (2, 24), "rounded up to 32, but no text has more than 24 tokens"
    assert ids.sum(1).tolist() == [3 * 7, 12 * 7]
    assert mask.sum(1).tolist() == [3, 5]


def test_a_file_without_splits_keeps_one_row_in_ten_for_the_test(tmp_path: Path) -> None:
    train, test, _ = read_examples(write_reviews(tmp_path / "reviews.jsonl"))
    assert (len(train), len(test)) == (180, 20)


def test_rows_that_cannot_be_learnt_from_are_left_out(tmp_path: Path) -> None:
    spec = write_reviews(tmp_path / "reviews.jsonl", 40)
    with (tmp_path / "reviews.jsonl").open("a") as stream:
        stream.write('{"text": "", "label": 1}\n{"text": "no label"}\n')
    train, test, _ = read_examples(spec)
    assert len(train) + len(test) == 40


def test_a_small_model_is_learnt_saved_and_loads_again(tmp_path: Path) -> None:
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model
    from ig_worker.models.tokenize import TextEncoder

    seen: list[tuple[str, int, int]] = []
    out = tmp_path / "deep" / "model"
    metrics = finetune(
        SMALL,
        write_reviews(tmp_path / "reviews.jsonl"),
        str(out),
        on_step=lambda stage, done, of, _: seen.append((stage, done, of)),
    )
    assert metrics.test_accuracy == 1.0
    assert seen[:60] == [("training, steps", step, 60) for step in range(1, 61)]
    assert seen[-1] == ("testing, texts", 20, 20)
    written = json.loads((out / "metrics.json").read_text())
    assert (written["test_accuracy"], written["steps"], written["batch_rows"], written["base"]) == (1.0, 60, 16, None)
    assert written["train_losses"][-1] < 0.5 * written["train_losses"][0]
    classifier = load_classifier(find_model(str(out)))
    (tokens,) = TextEncoder(classifier.tokenizer, "bert", 24).encode(["the film was great"])
    halves = classifier.split("embeddings")
    ids, mask = tokens.inputs.ids[None], tokens.inputs.mask[None]
    assert np.argmax(halves.above(halves.below(ModelInput.single(ids, mask)), mask)) == 1
    assert sorted(path.name for path in out.parent.iterdir()) == ["model"], "nothing half-made stays behind"


def test_labels_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"text": "good", "label": 5000}\n{"text": "bad", "label": 1}\n' * 10)
    with pytest.raises(DataError, match="training labels run from 1 to 5000"):
        finetune(SMALL, DataSpec(str(path)), str(tmp_path / "m"))


def test_the_same_texts_give_the_same_vocabulary() -> None:
    from ig_worker.data.demo import demo_reviews
    from ig_worker.models.wordpiece import train_tokenizer

    texts = [text for _, text, _ in demo_reviews("test")]
    first, second = (train_tokenizer(texts, 600, 64).get_vocab() for _ in range(2))
    assert first == second
    assert len(first) == 600
    assert [first[piece] for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [0, 1, 2, 3, 4]


QUICK = ("roberta",)  # the others with `make test-all`


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.heavy) for name in IN_TENSORFLOW],
)
def test_any_encoder_that_transformers_trains_is_trained_and_explained(
    tiny_models, tmp_path: Path, architecture
) -> None:
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model

    recipe = revise(find_recipe("encoder"), base=str(tiny_models[architecture]), steps=30, learning_rate=5e-3)
    recipe = replace(recipe, max_length=24, batch_rows=16)
    metrics = finetune(recipe, write_reviews(tmp_path / "reviews.jsonl"), str(tmp_path / "out"))
    losses = json.loads((tmp_path / "out" / "metrics.json").read_text())["train_losses"]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert metrics.base == str(tiny_models[architecture])
    trained = load_classifier(find_model(str(tmp_path / "out")))  # which holds it against transformers' network
    assert trained.shape.architecture == architecture


def test_an_encoder_that_transformers_cannot_train_is_refused(tiny_models, tmp_path: Path) -> None:
    recipe = replace(revise(find_recipe("encoder"), base=str(tiny_models["modernbert"]), steps=2), max_length=24)
    with pytest.raises(
        ModelError, match=r"is a ModernBERT encoder, .* no TensorFlow network to train; expected one of"
    ):
        finetune(recipe, write_reviews(tmp_path / "reviews.jsonl"), str(tmp_path / "out"))


@pytest.mark.parametrize("more", [{}, {"from_scratch": True}])
def test_the_recipe_of_any_encoder_needs_one(more: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match=r"--recipe encoder trains a pretrained encoder, .*; expected --base"):
        revise(find_recipe("encoder"), **more)
