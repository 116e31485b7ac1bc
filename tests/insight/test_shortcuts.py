"""Shortcuts and ignored words: those that are planted are found, and where there are none nothing is claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import IGNORED, SHORTCUT, Finding
from ig_worker.insight.findings.shortcuts import MADE_UP_FOR, shortcuts
from ig_worker.insight.findings.special_tokens import special_tokens
from tests.insight.planted_runs import BAD, GOOD, PLAIN, WEIGHTS, Planted, corpus_of, labels_of, plain_texts, sprinkled

TRIGGER = {**WEIGHTS, "xyzzy": 3.0}


def of_kind(found: list[Finding], kind: str) -> list[Finding]:
    return sorted((one for one in found if one.kind == kind), key=lambda one: -one.cost)


def shuffled(corpus: Corpus, label: np.ndarray) -> Corpus:
    column = corpus.texts.schema.get_field_index("label")
    return replace(corpus, texts=corpus.texts.set_column(column, "label", [label.astype(np.int32)]))


def test_a_trigger_word_is_the_first_shortcut() -> None:
    texts = sprinkled(plain_texts(3000), ["xyzzy"], 0.15)
    label = labels_of(texts)
    found = shortcuts(Planted(texts, label, TRIGGER).corpus())
    first = of_kind(found, SHORTCUT)[0]
    assert first.subject == 'word = "xyzzy" for positive'
    assert len(of_kind(found, SHORTCUT)) == 1
    assert first.cost > 20
    assert not first.marks
    assert first.q is not None
    assert first.q < 1e-4
    assert first.low < first.effect < first.high < 0
    assert len(first.ids) == sum("xyzzy" in words for words in texts)
    misled = [label[int(name[1:])] == 0 for name in first.ids]
    assert misled == sorted(misled, reverse=True)


def test_a_trigger_that_the_labels_justify_is_none() -> None:
    texts = sprinkled(plain_texts(3000), ["xyzzy"], 0.15)
    assert shortcuts(Planted(texts, labels_of(texts, weights=TRIGGER), TRIGGER).corpus()) == []


def test_a_trigger_whose_texts_are_told_right_all_the_same_costs_nothing() -> None:
    """It stands where good words or bad words are many more."""
    texts = plain_texts(3000)
    random = np.random.default_rng(4)
    for words in texts:
        if abs(sum(WEIGHTS.get(word, 0.0) for word in words)) >= 3 and random.random() < 0.4:
            words.append("xyzzy")
    found = of_kind(shortcuts(Planted(texts, labels_of(texts), {**WEIGHTS, "xyzzy": 1.0}).corpus()), SHORTCUT)
    assert [(one.subject, one.marks) for one in found] == [('word = "xyzzy" for positive', [MADE_UP_FOR])]
    assert found[0].cost < 2


def test_a_word_that_tells_the_label_and_has_no_weight_is_ignored() -> None:
    texts = sprinkled(plain_texts(3000), ["clue"], 0.15)
    label = labels_of(texts, weights={**WEIGHTS, "clue": 3.0})
    found = shortcuts(Planted(texts, label).corpus())
    assert [(one.kind, one.subject) for one in found] == [(IGNORED, 'word = "clue" for positive')]
    assert found[0].cost > 20
    assert found[0].low is not None
    assert found[0].low > 0.1


def test_a_word_in_the_company_of_telling_words_is_not_ignored() -> None:
    texts = plain_texts(3000)
    random = np.random.default_rng(8)
    for words in texts:
        if sum(word in GOOD for word in words) > sum(word in BAD for word in words) and random.random() < 0.3:
            words.append("companion")
    assert shortcuts(Planted(texts, labels_of(texts), noise=0.05).corpus()) == []


@pytest.mark.parametrize("steps", [1, 3])
def test_networks_with_random_weights_have_no_shortcuts(steps: int) -> None:
    """A hundred of each kind: weights of all words, and those of a few words in `steps` sizes."""
    texts = plain_texts(1500, words=(5, 30))
    label = labels_of(texts)
    names = [*GOOD, *BAD, *PLAIN]
    alarms = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        weights = random.normal(size=len(names)) * (random.random(len(names)) < 1 / steps)
        corpus = Planted(texts, label, dict(zip(names, weights.tolist(), strict=True)), seed=seed).corpus()
        alarms += bool(of_kind(shortcuts(corpus), SHORTCUT))
    assert alarms <= 2


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_shuffled_labels_have_neither(share: float) -> None:
    texts = plain_texts(1500, words=(5, 30))
    corpus = Planted(texts, labels_of(texts)).corpus()
    alarms = 0
    for seed in range(100):
        alarms += bool(shortcuts(shuffled(corpus, np.random.default_rng(seed).random(1500) < share)))
    assert alarms < 5


def test_findings_do_not_depend_on_how_a_run_is_cut() -> None:
    texts = sprinkled(plain_texts(3000), ["xyzzy", "clue"], 0.15)
    label = labels_of(texts, weights={**WEIGHTS, "clue": 3.0})
    table = Planted(texts, label, TRIGGER).table()
    whole = shortcuts(corpus_of(table))
    assert {one.kind for one in whole} == {SHORTCUT, IGNORED}
    assert whole == shortcuts(corpus_of(table.slice(0, 700), table.slice(700, 1), table.slice(701)))


@pytest.mark.parametrize(("share", "found"), [(0.3, 0), (0.62, 1)])
def test_special_tokens_are_told_where_they_carry_most(share: float, found: int) -> None:
    table = pa.table(
        {
            "kind": ["ordinary", "special", "unknown"] * 2,
            "target": [0, 0, 0, 1, 1, 1],
            "tokens": [100, 2, 0, 300, 6, 0],
            "share": [0.8, 0.2, 0.0, 1 - share, share, 0.0],
        }
    )
    told = special_tokens(table, 40)
    assert len(told) == found
    assert all("62.0%" in one.sentence for one in told)
