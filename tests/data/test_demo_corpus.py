import hashlib
import json
import statistics

import pytest

from ig_worker.data.demo import DEMO_TEST, DEMO_TRAIN, demo_reviews, demo_rows, phrases

TRAIN = list(demo_reviews("train"))
TEST = list(demo_reviews("test"))
LENGTHS = [len(text.split()) for _, text, _ in TRAIN]


def test_there_are_hundreds_of_distinct_phrases_and_templates() -> None:
    bank = phrases("test")
    templates = {line for section, lines in bank.items() if section not in ("good", "bad", "very") for line in lines}
    assert len(templates) >= 300
    assert all(len(lines) == len(set(lines)) for lines in bank.values())


def test_every_placeholder_is_filled() -> None:
    assert not any("{" in text or "}" in text for _, text, _ in TRAIN + TEST)


def test_the_sizes_are_as_promised_and_ids_unique() -> None:
    assert (len(TRAIN), len(TEST)) == (DEMO_TRAIN, DEMO_TEST)
    assert len({row_id for row_id, _, _ in TRAIN + TEST}) == DEMO_TRAIN + DEMO_TEST


@pytest.mark.parametrize("rows", [TRAIN, TEST])
def test_half_of_the_reviews_are_positive(rows: list[tuple[str, str, int]]) -> None:
    assert sum(label for _, _, label in rows) == len(rows) // 2


def test_hardly_any_review_is_there_twice() -> None:
    assert len({text for _, text, _ in TRAIN}) > 0.98 * DEMO_TRAIN
    assert len({text for _, text, _ in TEST} - {text for _, text, _ in TRAIN}) > 0.98 * DEMO_TEST


def test_lengths_run_from_one_word_to_several_hundred() -> None:
    assert min(LENGTHS) == 1
    assert 35 <= statistics.median(LENGTHS) <= 60
    assert sum(length > 300 for length in LENGTHS) >= 0.02 * DEMO_TRAIN


def test_the_corpus_is_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(json.dumps(TEST).encode()).hexdigest()
    assert demo_rows("test")[1] == digest
    assert digest == "21ef86f4f6d9ebc030937dc28946ce99b8d7fac044b391d9abe465904e0a46bd"


def test_the_test_split_has_phrases_that_training_never_saw() -> None:
    held_out = {line for lines in phrases("test").values() for line in lines}
    held_out -= {line for lines in phrases("train").values() for line in lines}
    assert len(held_out) >= 30
    assert any("an ordeal for anyone" in text.lower() for _, text, _ in TEST)
    assert not any("an ordeal for anyone" in text.lower() for _, text, _ in TRAIN)


@pytest.mark.parametrize(
    "feature",
    ["never boring", "not exactly a masterpiece", ", but ", "watching paint dry", "<br /><br />", "<b>", "é", "★"],
)
def test_what_makes_reviews_hard_or_odd_is_in_both_splits(feature: str) -> None:
    for rows in (TRAIN, TEST):
        assert any(feature in text.lower() for _, text, _ in rows)


def test_contrast_and_negation_make_the_same_word_occur_on_both_sides() -> None:
    for word in ("boring", "wonderful"):
        with_word = [label for _, text, label in TRAIN if word in text.lower()]
        assert 0.1 < statistics.mean(with_word) < 0.9
