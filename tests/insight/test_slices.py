"""Slices: those that are planted are found, and where there are none nothing is claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ig_worker.insight.findings.slices import EXPECTED, slices
from tests.insight.planted_runs import Planted, labels_of, plain_texts


def test_flipped_labels_of_long_texts_with_a_word_are_the_first_slice() -> None:
    texts = plain_texts(6000, words=(20, 120))
    random = np.random.default_rng(3)
    for words in texts:
        if random.random() < 0.25:
            words[int(random.integers(len(words)))] = "not"
    label = labels_of(texts)
    planted = np.array(["not" in words and len(words) > 80 for words in texts])
    label = np.where(planted, 1 - label, label)
    found = slices(Planted(texts, label).corpus())
    first = max(found, key=lambda slice: slice.cost)
    assert first.subject in [f'word = "not" and length > {length}' for length in (78, 79, 80, 81, 82)]
    assert first.q is not None
    assert first.q < 1e-6
    ids = {f"t{i:06d}" for i in np.flatnonzero(planted)}
    assert len(ids & set(first.ids)) > 0.9 * len(ids)
    assert len(ids & set(first.ids)) > 0.9 * len(first.ids)


def test_a_kept_column_tells_where_the_model_fails() -> None:
    texts = plain_texts(4000)
    label = labels_of(texts)
    source = np.random.default_rng(5).choice(["mail", "web", "phone"], 4000)
    flipped = (source == "phone") & (np.random.default_rng(6).random(4000) < 0.3)
    found = slices(Planted(texts, np.where(flipped, 1 - label, label)).corpus(source=source.tolist()))
    first = max(found, key=lambda slice: slice.cost)
    assert first.subject == 'source = "phone"'
    assert not first.marks
    # Short texts have fewer words that tell a class: that is true, too.
    assert all(slice.subject.startswith("length <") or EXPECTED in slice.marks for slice in found if slice != first)
    assert first.low is not None
    assert first.low < first.effect < (first.high or 0) < 0


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_shuffled_labels_have_no_slices(share: float) -> None:
    """However unbalanced the classes are: fewer than 5 of 100 runs may show one."""
    texts = plain_texts(1500, words=(5, 30))
    source = np.random.default_rng(5).choice(["mail", "web", "phone"], 1500).tolist()
    corpus = Planted(texts, labels_of(texts)).corpus(source=source)
    alarms = 0
    for seed in range(100):
        shuffled = (np.random.default_rng(seed).random(1500) < share).astype(np.int32)
        table = corpus.texts.set_column(corpus.texts.schema.get_field_index("label"), "label", [shuffled])
        alarms += bool(slices(replace(corpus, texts=table)))
    assert alarms < 5
