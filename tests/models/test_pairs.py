"""Pairs of texts as token ids, beside what transformers makes of them, for tokenizers of each kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import ModelError, UsageError
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.models.inputs import behind_padding
from ig_worker.models.pairs import longest_first
from ig_worker.models.read_tokenizer import refuse_token_types
from ig_worker.models.tokenize import TextEncoder, load_tokenizer
from tests.models.tokenizer_makers import MAKERS, TEXTS, make
from tests.tiny import save_tokenizer

ROWS = [(first, second) for first in TEXTS[:9] for second in TEXTS[-6:]] + list(zip(TEXTS, TEXTS[::-1], strict=True))
FIRST, SECOND = [first for first, _ in ROWS], [second for _, second in ROWS]
TYPED = {"electra", "albert", "deberta", "deberta-bytes"}  # whose second texts have type 1


def word_piece(folder: Path) -> None:
    save_tokenizer(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A tokenizer by its name, as a model's."""
    folder = tmp_path_factory.mktemp("tokenizers")
    known: dict[str, Any] = {}

    def find(name: str) -> Any:
        if name not in known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of bytes that transformers leaves aside
                known[name] = load_tokenizer(str(make(folder / name, name)), 100_000)
        return known[name]

    return find


@pytest.mark.parametrize("length", [7, 24, 61, 1000])
@pytest.mark.parametrize("name", MAKERS)
def test_ids_types_and_truncation_are_those_of_transformers(made, name: str, length: int) -> None:
    tokenizer = made(name)
    expected = tokenizer(FIRST, SECOND, truncation="longest_first", max_length=length)
    whole = tokenizer(FIRST, SECOND)["input_ids"]
    found = TextEncoder(tokenizer, "bert", length).encode(FIRST, SECOND)
    assert [tokens.inputs.ids.tolist() for tokens in found] == expected["input_ids"]
    assert [tokens.truncated for tokens in found] == [len(ids) > length for ids in whole]
    types = expected.get("token_type_ids", [[0] * len(ids) for ids in expected["input_ids"]])
    assert [tokens.inputs.types.tolist() for tokens in found] == types
    assert all(tokens.inputs.mask.all() for tokens in found)
    if name in TYPED:
        assert {1} == {int(tokens.inputs.types[tokens.segments == 1].max(initial=1)) for tokens in found}


@pytest.mark.parametrize("name", MAKERS)
def test_segments_say_of_which_text_a_token_is_and_words_are_numbered_through(made, name: str) -> None:
    tokenizer = made(name)
    encodings = tokenizer(FIRST, SECOND, truncation=True, max_length=40).encodings
    for row, found, encoding in zip(
        ROWS, TextEncoder(tokenizer, "bert", 40).encode(FIRST, SECOND), encodings, strict=True
    ):
        owners = [-1 if owner is None else owner for owner in encoding.sequence_ids]
        assert found.segments.tolist() == owners
        assert len(found.tokens) == len(owners)
        assert (found.word_ids < 0).tolist() == (found.segments < 0).tolist()
        words = found.word_ids[found.word_ids >= 0]
        assert sorted(set(words.tolist())) == list(range(len(set(words.tolist()))))
        assert (np.diff(words) >= 0).all()
        both = [set(found.word_ids[found.segments == text].tolist()) for text in (0, 1)]
        assert not both[0] & both[1], row


@pytest.mark.parametrize("name", MAKERS)
def test_each_text_of_a_pair_has_the_tokens_and_words_that_it_has_alone(made, name: str) -> None:
    encoder = TextEncoder(made(name), "bert", 2000)
    alone = [encoder.encode(texts) for texts in (FIRST, SECOND)]
    for number, found in enumerate(encoder.encode(FIRST, SECOND)):
        before = 0
        for text in (0, 1):
            one, here = alone[text][number], found.segments == text
            inside = one.segments == 0
            assert found.inputs.ids[here].tolist() == one.inputs.ids[inside].tolist()
            assert [found.tokens[i] for i in np.flatnonzero(here)] == [one.tokens[i] for i in np.flatnonzero(inside)]
            assert (found.word_ids[here] - before).tolist() == one.word_ids[inside].tolist()
            before = int(found.word_ids[here].max(initial=before - 1)) + 1


def test_pairs_are_cut_as_transformers_cuts_them_for_all_lengths(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), 100)
    for room in range(2, 8):
        for first in range(1, 12):
            for second in range(1, 12):
                ids = tokenizer("good " * first, "bad " * second, truncation="longest_first", max_length=room + 3)
                owners = ids.encodings[0].sequence_ids
                assert longest_first(first, second, room) == (owners.count(0), owners.count(1)), (room, first, second)


def test_words_that_are_known_give_what_the_tokenizer_gives(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    quick = TextEncoder(load_tokenizer(str(tmp_path), 100), "bert", 24)
    plain = TextEncoder(load_tokenizer(str(tmp_path), 100), "bert", 24)
    assert quick._cache is not None
    plain._cache = None
    for one, other in zip(quick.encode(FIRST, SECOND), plain.encode(FIRST, SECOND), strict=True):
        assert one.tokens == other.tokens
        assert one.truncated == other.truncated
        for a, b in zip(
            (*one.inputs, one.word_ids, one.segments), (*other.inputs, other.word_ids, other.segments), strict=True
        ):
            assert a.dtype == b.dtype == np.int32
            assert a.tolist() == b.tolist()


def test_a_tokenizer_that_cuts_at_the_beginning_does_so_of_pairs(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    tokenizer = load_tokenizer(str(tmp_path), 100)
    tokenizer.truncation_side = "left"
    texts = ["good film never boring . " * 5, "a dull plot"], ["the end", "slow and awful " * 9]
    expected = tokenizer(*texts, truncation="longest_first", max_length=12)
    found = TextEncoder(tokenizer, "bert", 12).encode(*texts)
    assert [tokens.inputs.ids.tolist() for tokens in found] == expected["input_ids"]
    assert [tokens.word_ids[1] for tokens in found] == [0, 0]


def test_positions_are_counted_over_the_whole_pair(made) -> None:
    tokenizer = made("roberta")
    (found,) = TextEncoder(tokenizer, "bert", 40, lambda ids: behind_padding(ids, 1)).encode(["good"], ["a film"])
    assert found.inputs.positions.tolist() == list(range(2, 2 + len(found.inputs.ids)))
    assert found.inputs.types.tolist() == [0] * len(found.inputs.ids)


@pytest.mark.parametrize("name", MAKERS)
def test_baselines_keep_what_stands_around_and_between_the_texts(made, name: str) -> None:
    tokenizer = made(name)
    special = SpecialIds.of(tokenizer)
    (found,) = TextEncoder(tokenizer, "bert", 60).encode(["good film"], ["the film"])
    baseline = baseline_ids(found.inputs.ids, "pad" if special.pad is not None else "unk", special)
    around = found.segments < 0
    assert (baseline[around] == found.inputs.ids[around]).all()
    assert len(set(baseline[~around].tolist())) == 1


@pytest.mark.parametrize("name", MAKERS)
def test_token_types_follow_from_the_segments_that_are_stored(made, name: str) -> None:
    encoder = TextEncoder(made(name), "bert", 20)
    for found in encoder.encode(FIRST, SECOND):
        assert encoder.pair_template.types_of_segments(found.segments).tolist() == found.inputs.types.tolist()


def test_two_long_texts_take_no_more_time_than_each_of_them(made) -> None:
    """The tokenizer's own pieces of what it cut off would be as many as the product of both lengths."""
    encoder = TextEncoder(made("roberta"), "bert", 16)
    (found,) = encoder.encode(["good film " * 20_000], ["the end " * 20_000])
    assert len(found.tokens) == 16
    assert found.truncated


def test_a_survey_counts_both_texts(made) -> None:
    encoder = TextEncoder(made("electra"), "bert", 8)
    survey = encoder.survey(["the film 象", "the end"], ["good", "dull zebra and so"])
    expected = made("electra")(["the film 象", "the end"], ["good", "dull zebra and so"])["input_ids"]
    assert survey.lengths.tolist() == [len(ids) for ids in expected]
    assert survey.tokens == sum(map(len, expected)) - 2 * 3
    assert survey.unknown == ["象", "end", "zebra"]


@pytest.mark.parametrize(
    ("style", "length", "message"),
    [
        ("plain", 20, "--text-style is 'plain', which puts nothing between two texts"),
        ("bert", 4, "--max-length is 4, and a pair has 3 special tokens; expected at least 5"),
    ],
)
def test_what_leaves_no_room_for_a_pair_is_refused_in_one_line(made, style: str, length: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        TextEncoder(made("electra"), style, length).encode(["good"], ["film"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_type_that_the_network_lacks_is_refused_in_one_line(made) -> None:
    template = TextEncoder(made("electra"), "bert", 20).pair_template
    refuse_token_types(template.most, 2)
    refuse_token_types(template.most, 0)  # a network without types reads none
    with pytest.raises(ModelError) as caught:
        refuse_token_types(template.most, 1)
    assert str(caught.value).startswith("the model's tokenizer gives the second of two texts token type 1")
    assert "\n" not in str(caught.value)
