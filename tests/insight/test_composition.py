"""Composition: a network that ignores negation is told so, and one that composes is told as composing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from ig_worker.insight.findings.composition import COMPOSES, MOST_COMPOSING, composition
from ig_worker.insight.findings.finding import Finding
from ig_worker.insight.findings.word_marks import NEGATION
from tests.insight.planted_runs import GOOD, WEIGHTS, Planted, Texts, corpus_of, labels_of, plain_texts

ALWAYS = GOOD[0]


def negated(rows: int, share: float = 0.3) -> Texts:
    """Short texts, of which about this part has "not good0", and as many have the word after a plain one."""
    random = np.random.default_rng(12)
    texts = plain_texts(rows, words=(8, 25))
    for words in texts:
        at, kind = int(random.integers(len(words) - 1)), random.random()
        if kind < 2 * share:
            words[at : at + 2] = ["not" if kind < share else "film", ALWAYS]
    return texts


def composed(words: list[str], weights: Mapping[str, float]) -> np.ndarray:
    """The push of each word, which "not" before it turns round."""
    push = np.array([weights.get(word, 0.0) for word in words])
    turned = np.r_[False, np.array(words[:-1]) == "not"]
    return np.where(turned, -push, push)


def true_labels(texts: Texts, weights: Mapping[str, float] = WEIGHTS) -> np.ndarray:
    random = np.random.default_rng(2)
    score = np.array([composed(words, weights).sum() for words in texts])
    return (score + random.normal(0, 0.5, len(texts)) > 0).astype(np.int32)


STRONG = {**WEIGHTS, ALWAYS: 2.0}


def faults(found: list[Finding]) -> list[Finding]:
    return sorted((one for one in found if COMPOSES not in one.marks), key=lambda one: -one.cost)


def test_a_network_that_ignores_negation_is_told_so() -> None:
    texts = negated(3000)
    found = composition(Planted(texts, true_labels(texts, STRONG), STRONG).corpus())
    first = faults(found)[0]
    assert first.subject == f'"not {ALWAYS}" for positive'
    assert first.marks == [NEGATION]
    assert first.cost > 100
    assert first.low is not None
    assert first.low < first.effect < (first.high or 0) < -0.2
    assert first.ids == [f"t{i:06d}" for i, words in enumerate(texts) if f"not {ALWAYS}" in " ".join(words)]
    assert len(found) == 1


def test_a_network_that_composes_is_told_as_composing_only() -> None:
    texts = negated(3000)
    found = composition(Planted(texts, true_labels(texts, STRONG), STRONG, push=composed).corpus())
    assert faults(found) == []
    assert found[0].subject == f'"not {ALWAYS}" for positive'
    assert found[0].marks == [COMPOSES, NEGATION]
    assert found[0].cost == 0
    assert found[0].effect < 0
    assert len(found) <= MOST_COMPOSING


def test_a_network_that_writes_the_turn_on_the_word_before_is_not_blamed() -> None:
    def on_not(words: list[str], weights: Mapping[str, float]) -> np.ndarray:
        push = np.array([weights.get(word, 0.0) for word in words])
        before = np.r_[np.array(words[:-1]) == "not", False]
        return push - np.where(before, 2 * np.r_[push[1:], 0], 0)

    texts = negated(3000)
    assert composition(Planted(texts, true_labels(texts, STRONG), STRONG, push=on_not).corpus()) == []


def test_a_phrase_in_bad_company_that_the_model_sees_is_no_fault() -> None:
    texts = negated(3000)
    for words in texts:
        if f"not {ALWAYS}" in " ".join(words):
            words.extend(["bad1", "bad2", "bad3", "bad4"])
    assert faults(composition(Planted(texts, labels_of(texts, noise=0.5), noise=0.1).corpus())) == []


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_shuffled_labels_blame_no_phrase(share: float) -> None:
    texts = negated(1500)
    corpus = Planted(texts, true_labels(texts)).corpus()
    column = corpus.texts.schema.get_field_index("label")
    alarms = 0
    for seed in range(100):
        label = (np.random.default_rng(seed).random(1500) < share).astype(np.int32)
        alarms += bool(faults(composition(replace(corpus, texts=corpus.texts.set_column(column, "label", [label])))))
    assert alarms < 5


def test_findings_do_not_depend_on_how_a_run_is_cut() -> None:
    texts = negated(2000)
    for push in (None, composed):
        table = Planted(texts, true_labels(texts, STRONG), STRONG, push=push).table()
        whole = composition(corpus_of(table))
        assert whole
        assert whole == composition(corpus_of(table.slice(0, 700), table.slice(700, 1), table.slice(701)))
