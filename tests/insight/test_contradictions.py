"""Contradictions: the texts that are planted are found, those and no others, and the words that make the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.insight.findings.bags import bags_of
from ig_worker.insight.findings.contradictions import contradictions
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import CONTRADICTION, Finding, ranked
from ig_worker.insight.findings.gather import gather
from ig_worker.insight.findings.near_duplicates import leaders
from ig_worker.insight.findings.words_of import WordsOf, reader_of
from ig_worker.run.store.run_store import RunStore
from tests.insight.conftest import make_quarantine, make_row
from tests.insight.planted_runs import GOOD, PLAIN, Planted, Texts, changed, corpus_of, labelled_corpus, plain_texts

NO_WORDS: dict[str, float] = {"the": 0.0}  # a network that says the same of nearly all: its bias is noise
Build = Callable[..., RunStore]


def words_from(texts: Texts) -> WordsOf:
    return lambda asked: [texts[text] for text in asked]


def found_in(planted: Planted) -> list[Finding]:
    return contradictions(planted.corpus(), words_from(planted.texts))


def named(rows: Sequence[int]) -> set[str]:
    return {f"t{row:06d}" for row in rows}


def with_changes(texts: Texts, rows: Sequence[int], changes: Sequence[int]) -> Texts:
    """Copies of some texts, in each of which so many words are others."""
    random = np.random.default_rng(8)
    copies = [list(texts[row]) for row in rows]
    for copy, count in zip(copies, changes, strict=True):
        for place in random.choice(len(copy), count, replace=False):
            copy[int(place)] = f"other{int(random.integers(10_000))}"
    return copies


def agreeing(texts: Texts, label: np.ndarray) -> Planted:
    """A network that predicts what the first of two marks in a text says, however it is labelled."""
    return Planted(texts, label, weights={GOOD[0]: 9.0, "bad0": -9.0}, noise=0.0)


def marked(count: int, words: int, seed: int = 0) -> Texts:
    """Texts of distinct plain words, all of which speak for the first class."""
    random = np.random.default_rng(seed)
    return [["bad0", *random.choice(PLAIN, words - 1, replace=False).tolist()] for _ in range(count)]


def test_forty_near_duplicates_with_other_labels_are_all_found() -> None:
    texts = plain_texts(2000, words=(60, 61))
    changes = [1 + i % 3 for i in range(40)]
    texts += with_changes(texts, range(40), changes)
    label = np.random.default_rng(1).integers(0, 2, 2000).astype(np.int32)
    planted = Planted(texts, np.append(label, 1 - label[:40]))
    first = ranked(found_in(planted))[0]
    assert first.subject == "similar texts, other labels"
    assert first.kind == CONTRADICTION
    assert set(first.ids) == named([*range(40), *range(2000, 2040)])
    assert len(first.ids) == 80
    assert first.cost == 40
    assert first.sentence.startswith("40 groups of texts")
    assert (first.low or 0) < first.effect == 40 / 2040 < (first.high or 0)


def test_equal_texts_with_other_labels_are_told_apart_from_similar_ones() -> None:
    texts = marked(300, 30)
    texts += [list(words) for words in texts[:3]] + [list(texts[0])] + with_changes(texts, [7], [1])
    label = np.zeros(305, np.int32)
    label[[300, 301, 302, 304]] = 1
    equal, similar = found_in(agreeing(texts, label))
    assert equal.subject == "equal texts, other labels"
    assert equal.ids == ["t000000", "t000300", "t000303", "t000001", "t000301", "t000002", "t000302"]
    assert equal.cost == 3  # of the first three texts one is wrong, and of each two one
    assert equal.arithmetic[2] == '1 of 3: "negative" 2 (t000000, t000303), "positive" 1 (t000300)'
    assert similar.subject == "similar texts, other labels"
    assert similar.ids == ["t000007", "t000304"]


def test_near_duplicates_of_which_the_same_is_said_are_not_told() -> None:
    texts = marked(200, 40)
    texts += [list(words) for words in texts[:20]] + with_changes(texts, range(20, 60), [2] * 40)
    assert found_in(agreeing(texts, np.zeros(260, np.int32))) == []


def test_equal_words_in_another_order_are_no_equal_texts() -> None:
    texts = marked(100, 40)
    texts.append(texts[0][::-1])
    assert found_in(agreeing(texts, np.append(np.zeros(100, np.int32), np.int32(1)))) == []


def test_a_run_without_duplicates_has_none() -> None:
    texts = plain_texts(1500, words=(20, 60))
    assert found_in(Planted(texts, np.random.default_rng(1).integers(0, 2, 1500).astype(np.int32))) == []


@pytest.mark.parametrize("words", [3, 4, 6, 10, 90])
def test_a_word_that_turns_predictions_is_named(words: int) -> None:
    texts = marked(60, words)
    texts += [[GOOD[0], *text[1:]] for text in texts[:12]]
    (found,) = found_in(agreeing(texts, np.zeros(72, np.int32)))
    assert found.subject == 'prediction flips with "bad0" for "good0"'
    assert set(found.ids) == named([*range(12), *range(60, 72)])
    assert found.cost == 12  # those that are predicted wrongly
    assert found.effect > 0.9
    assert 't000000 "negative", t000060 "positive": "bad0" / "good0"' in found.arithmetic


@pytest.mark.parametrize("words", [6, 9, 12])
def test_two_words_that_turn_predictions_are_named(words: int) -> None:
    texts = marked(60, words)
    texts += [[GOOD[0], *text[1:-1], f"odd{i}"] for i, text in enumerate(texts[:12])]
    (found,) = found_in(agreeing(texts, np.zeros(72, np.int32)))
    assert found.subject == 'prediction flips with "bad0" for "good0"'
    assert set(found.ids) == named([*range(12), *range(60, 72)])


def test_words_that_stand_beside_each_other_do_not_stand_for_each_other() -> None:
    texts = marked(60, 8)
    texts += [[*text, "but", GOOD[0]] for text in texts[:12]]
    weights = {"bad0": -9.0, GOOD[0]: 20.0}
    (found,) = found_in(replace(agreeing(texts, np.zeros(72, np.int32)), weights=weights))
    assert found.subject == 'prediction flips with "but"'
    assert found.arithmetic[2].endswith('"nothing" / "but good0"')


def test_pairs_of_which_both_are_right_are_no_flips() -> None:
    texts = marked(60, 6)
    texts += [[GOOD[0], *text[1:]] for text in texts[:12]]
    assert found_in(agreeing(texts, np.repeat([0, 1], [60, 12]).astype(np.int32))) == []


def test_a_boilerplate_text_with_both_labels_is_one_group() -> None:
    texts = plain_texts(500, words=(40, 60))
    texts += [list(texts[0]) for _ in range(3000)]
    label = np.zeros(3500, np.int32)
    label[500:1400] = 1
    planted = Planted(texts, label, weights=NO_WORDS)
    first = ranked(found_in(planted))[0]
    assert first.subject == "equal texts, other labels"
    assert first.sentence.startswith("One group of texts")
    assert first.cost == 900
    assert set(first.ids) == named([0, *range(500, 3500)])


def test_short_texts_of_few_words_are_compared_with_few() -> None:
    """All of them are near to hundreds of others."""
    random = np.random.default_rng(0)
    words = [f"w{i}" for i in range(50)]
    texts = [[words[i] for i in row] for row in random.integers(0, 50, (5000, 4))]
    label = random.integers(0, 2, 5000).astype(np.int32)
    weights = dict(zip(words, random.normal(0, 1, 50), strict=True))
    asked: list[int] = []

    def words_of(some: Sequence[int]) -> Texts:
        asked.extend(some)
        return [texts[text] for text in some]

    found = contradictions(Planted(texts, label, weights=weights).corpus(), words_of)
    assert any(one.subject.startswith("prediction flips") for one in found)
    assert len(asked) < 2 * 5000


def test_of_several_labels_the_sets_are_compared() -> None:
    texts = marked(200, 40)
    texts += [list(words) for words in texts[:10]]
    base = Planted(texts, np.zeros(210, np.int32)).corpus()
    lists: list[list[int] | None] = [[0, 2] for _ in texts]
    lists[200:205] = [[2, 0]] * 5  # the same set
    lists[205:210] = [[0], [0], [], None, [1]]
    corpus = labelled_corpus(base, np.tile([0.9, 0.1, 0.9], (210, 1)), lists)
    (found,) = contradictions(corpus, words_from(texts))
    assert found.subject == "equal texts, other labels"
    assert set(found.ids) == named([5, 205, 6, 206, 7, 207, 9, 209])
    assert found.cost == 4
    assert '1 of 2: "label0, label2" 1 (t000005), "label0" 1 (t000205)' in found.arithmetic


def test_texts_without_labels_may_still_be_predicted_differently() -> None:
    texts = marked(100, 50)
    texts += [[GOOD[0], *words[1:]] for words in texts[:5]]
    table = changed(agreeing(texts, np.zeros(105, np.int32)).table(), label=None)
    (flips,) = contradictions(corpus_of(table), words_from(texts))
    assert flips.subject == 'prediction flips with "bad0" for "good0"'
    assert flips.cost == 5  # half of the ten, of which nobody knows
    texts[100:] = with_changes(texts, range(5), [4] * 5)  # too many words for a flip
    for text in texts[100:]:
        text[0] = GOOD[0]
    table = changed(agreeing(texts, np.zeros(105, np.int32)).table(), label=None)
    (similar,) = contradictions(corpus_of(table), words_from(texts))
    assert similar.subject == "similar texts, other predictions"
    assert similar.cost == 5
    assert set(similar.ids) == named([*range(5), *range(100, 105)])


def test_rows_without_a_label_contradict_no_label() -> None:
    texts = marked(100, 30)
    texts += [list(words) for words in texts[:4]]
    label = [0] * 100 + [1, 1, None, None]
    table = changed(agreeing(texts, np.zeros(104, np.int32)).table(), label=np.array(label, object))
    (found,) = contradictions(corpus_of(table), words_from(texts))
    assert found.ids == ["t000000", "t000100", "t000001", "t000101"]
    assert found.effect == pytest.approx(2 / 102)


def test_numbers_have_no_contradictions() -> None:
    texts = marked(10, 10) * 2
    corpus = agreeing(texts, np.repeat([0, 1], 10).astype(np.int32)).corpus()
    assert contradictions(replace(corpus, outputs=schema.VALUES), words_from(texts)) == []


def test_they_do_not_depend_on_how_the_run_is_cut() -> None:
    texts = plain_texts(2000, words=(4, 30))
    texts += with_changes(texts, range(200), [1 + i % 3 for i in range(200)]) + [list(texts[i]) for i in range(99)]
    table = Planted(texts, np.random.default_rng(3).integers(0, 2, len(texts)).astype(np.int32)).table()
    words_of = words_from(texts)
    whole = contradictions(corpus_of(table), words_of)
    assert len(whole) >= 3
    cut = corpus_of(table.slice(0, 1234), table.slice(1234, 7), table.slice(1241))
    assert contradictions(cut, words_of) == whole


def test_texts_are_asked_for_a_few_times_only() -> None:
    """Each time the chunks that hold them are read."""
    texts = marked(300, 30)
    texts += [list(words) for words in texts]
    asked: list[int] = []

    def words_of(some: Sequence[int]) -> Texts:
        asked.append(len(some))
        return [texts[text] for text in some]

    contradictions(agreeing(texts, np.repeat([0, 1], 300).astype(np.int32)).corpus(), words_of)
    assert sum(asked) == 600
    assert len(asked) <= 2


def test_leaders_are_the_first_of_their_kind() -> None:
    texts = marked(50, 60)
    texts += [*with_changes(texts, range(10), [3] * 10), list(texts[49]), ["the"], [], []]
    corpus: Corpus = Planted(texts, np.zeros(len(texts), np.int32)).corpus()
    assert leaders(bags_of(corpus))[50:62].tolist() == [*range(10), 49, 61]


def stored(build: Build, **changes: Any) -> RunStore:
    """Texts in three chunks, the second of which has two targets for each; some rows are in quarantine."""

    def rows(begin: int, targets: int) -> list[dict[str, Any]]:
        return [
            make_row(f"[CLS] text number{i} un ##like ##ly [SEP]", id=f"r{i}", rank=rank, **changes)
            for i in range(begin, begin + 4)
            for rank in range(targets)
        ]

    return build(rows(0, 1), rows(4, 2), rows(8, 1), quarantined=make_quarantine(3))


def test_words_are_read_of_the_texts_that_are_asked_for_in_any_order(build: Build) -> None:
    store = stored(build)
    words_of = reader_of(store)
    assert words_of([]) == []
    for asked in ([9, 0, 5, 4, 3, 7], [7], [11, 11, 8], list(range(12))):
        assert words_of(asked) == [["text", f"number{i}", "unlikely"] for i in asked]
    ids = gather(store).texts.column("id")
    assert pa.compute.all(pa.compute.equal(ids, pa.array([f"r{i}" for i in range(12)]))).as_py()


def test_words_are_read_of_no_other_chunks(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    store, read = stored(build), []
    whole = store.results.read
    monkeypatch.setattr(store.results, "read", lambda index, columns: read.append(index) or whole(index, columns))
    reader_of(store)([9, 8, 1])
    assert read == [0, 2]


def test_texts_without_words_have_none(build: Build) -> None:
    rows = [make_row(text, id=id) for id, text in (("a", "[CLS] [SEP]"), ("b", "[CLS] x [SEP]"), ("c", "[CLS] [SEP]"))]
    assert reader_of(build(rows))([2, 1, 0]) == [[], ["x"], []]
