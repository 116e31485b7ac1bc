"""Labels that are missed beside another: those that are planted are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import SLICE
from ig_worker.insight.findings.label_pairs import label_pairs
from tests.insight.planted_runs import Planted, labelled_corpus, labels_of, plain_texts

ROWS = 1500
TEXTS = plain_texts(ROWS, words=(3, 6))
BASE = Planted(TEXTS, labels_of(TEXTS)).corpus()


def run(seed: int, missed_beside: float = 0.1) -> tuple[Corpus, np.ndarray, np.ndarray]:
    """Five labels of which a tenth is missed, of label 2 a share where label 4 applies; and what is true, and told."""
    random = np.random.default_rng(seed)
    applies = random.random((ROWS, 5)) < [0.5, 0.4, 0.3, 0.2, 0.3]
    missed = random.random((ROWS, 5)) < 0.1
    beside = applies[:, 2] & applies[:, 4]
    missed[beside, 2] = random.random(beside.sum()) < missed_beside
    told = applies & ~missed | (random.random((ROWS, 5)) < 0.02)
    return labelled_corpus(BASE, np.where(told, 0.9, 0.1), lists(applies)), applies, told


def lists(applies: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in applies]


def test_a_label_that_is_missed_beside_another_is_told_with_what_that_costs() -> None:
    corpus, applies, told = run(0, missed_beside=0.6)
    (found,) = label_pairs(corpus)
    assert (found.kind, found.subject) == (SLICE, 'label "label2" where "label4" applies')
    both, alone = applies[:, 2] & applies[:, 4], applies[:, 2] & ~applies[:, 4]
    elsewhere = (~told[alone, 2]).mean()
    assert found.cost == pytest.approx((~told[both, 2]).sum() - both.sum() * elsewhere)
    assert found.effect == pytest.approx((~told[both, 2]).mean() - elsewhere)
    assert found.low is not None
    assert 0.3 < found.low < found.effect < (found.high or 0)
    assert found.ids == corpus.ids(both & ~told[:, 2])


def test_labels_that_are_missed_anywhere_are_no_pairs() -> None:
    corpus, _, _ = run(1)
    assert not label_pairs(corpus)
    assert not label_pairs(BASE)


def test_rare_pairs_are_left_aside() -> None:
    _, applies, told = run(2, missed_beside=0.6)
    applies[np.flatnonzero(applies[:, 2] & applies[:, 4])[9:], 4] = False
    assert not label_pairs(labelled_corpus(BASE, np.where(told, 0.9, 0.1), lists(applies)))


def test_texts_whose_labels_nobody_knows_do_not_count() -> None:
    corpus, applies, told = run(3, missed_beside=0.6)
    unknown = [None if i < ROWS // 2 else row for i, row in enumerate(lists(applies))]
    half = labelled_corpus(BASE, np.where(told, 0.9, 0.1), unknown)
    (found,) = label_pairs(half)
    assert set(found.ids) == set(label_pairs(corpus)[0].ids) & set(corpus.ids(np.arange(ROWS // 2, ROWS)))


def test_label_lists_dealt_out_anew_have_no_pairs() -> None:
    """Fewer than 5 of 100 runs may show one."""
    _, applies, told = run(4, missed_beside=0.6)
    probability = np.where(told, 0.9, 0.1)
    alarms = 0
    for seed in range(100):
        dealt = applies[np.random.default_rng(seed).permutation(ROWS)]
        alarms += bool(label_pairs(labelled_corpus(BASE, probability, lists(dealt))))
    assert alarms < 5
