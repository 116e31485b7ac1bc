"""Tokenizers of each kind, in each of the files that people have them in, beside what transformers makes of them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.errors import ModelError
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.models.tokenize import TextEncoder, load_tokenizer
from ig_worker.models.vocabulary import around, is_word_piece, suspicious_setting
from ig_worker.models.words import UNKNOWN, as_inner, word_of
from tests.models.tokenizer_makers import MAKERS, TEXTS, json_alone, make, newer, saved, settings

LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "as it is": lambda source, _: source,
    "saved": saved,
    "tokenizer.json": json_alone,
    "transformers 5": newer,
}
ROBERTA_LIKE = {"roberta", "mpnet", "xlm-roberta", "camembert", "byte-fallback"}
BYTE_LEVEL = {"roberta", "modernbert"}
COMPOSED = ("\u0301", "")  # a mark that a normalizer makes one with its letter: offsets then name the letter alone


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The directory of a tokenizer by its name and layout."""
    folder = tmp_path_factory.mktemp("tokenizers")
    sources: dict[str, Path] = {}
    done: dict[tuple[str, str], Path] = {}

    def find(name: str, layout: str = "as it is") -> Path:
        if name not in sources:
            sources[name] = make(folder / name, name)
        if (name, layout) not in done:
            place = folder / f"{name}-{layout}"
            place.mkdir()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of bytes that transformers leaves aside
                done[name, layout] = LAYOUTS[layout](sources[name], place)
        return done[name, layout]

    return find


def words_of(tokens: list[str], words: list[int]) -> list[str]:
    """The words that tokens make."""
    pairs = [(word, token) for word, token in zip(words, tokens, strict=True) if word >= 0]
    return [word_of(token for _, token in group) for _, group in groupby(pairs, key=lambda pair: pair[0])]


def theirs(directory: Path) -> Any:
    """The tokenizer by transformers alone."""
    from transformers import AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoTokenizer.from_pretrained(directory)


def load(directory: Path) -> Any:
    return load_tokenizer(str(directory), 100_000)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MAKERS)
def test_ids_are_those_of_transformers_and_the_same_in_every_layout(made, name: str, layout: str) -> None:
    encoder = TextEncoder(load(made(name, layout)), "bert", 60)
    expected = theirs(made(name))(TEXTS, truncation=True, max_length=60)["input_ids"]
    found = encoder.encode(TEXTS)
    assert [tokens.inputs.ids.tolist() for tokens in found] == expected
    whole = theirs(made(name))(TEXTS)["input_ids"]
    assert [tokens.truncated for tokens in found] == [len(ids) > 60 for ids in whole]
    assert {True, False} == {tokens.truncated for tokens in found}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MAKERS)
def test_words_and_tokens_fit_the_ids(made, name: str, layout: str) -> None:
    tokenizer = load(made(name, layout))
    before, behind = around(tokenizer)
    for text, found in zip(TEXTS, TextEncoder(tokenizer, "bert", 1000).encode(TEXTS), strict=True):
        ids, words, tokens = found.inputs.ids.tolist(), found.word_ids.tolist(), found.tokens
        assert len(ids) == len(words) == len(tokens) == found.inputs.mask.sum()
        assert tokens[: len(before)] == before
        assert tokens[len(tokens) - len(behind) :] == behind
        inside = words[len(before) : len(words) - len(behind)]
        assert words == [-1] * len(before) + inside + [-1] * len(behind)
        assert set(inside) == set(range(len(set(inside))))
        assert inside == sorted(inside)
        if not is_word_piece(tokenizer):
            unknown = [number == tokenizer.unk_token_id for number in ids]
            assert unknown == [token == UNKNOWN for token in tokens]
        if name in BYTE_LEVEL:
            shown = "".join(words_of(tokens, words)).replace(*COMPOSED)
            assert "".join(shown.split()) == "".join(text.replace(*COMPOSED).split())


def test_byte_level_words_are_the_texts(made) -> None:
    (found,) = TextEncoder(load(made("roberta")), "bert", 40).encode(["good unforgettable, 😀 film!"])
    words = words_of(found.tokens, found.word_ids.tolist())
    assert words == ["good", "unforgettable", ",", "😀", "film", "!"]
    assert found.tokens[0] == "<s>"
    assert as_inner("") in found.tokens  # of the emoji's bytes


def test_pieces_of_sentencepiece_are_written_without_their_spaces(made) -> None:
    (found,) = TextEncoder(load(made("xlm-roberta")), "bert", 40).encode(["The film 象"])
    assert not any("▁" in token for token in found.tokens)
    assert found.tokens[-2] == UNKNOWN
    assert words_of(found.tokens, found.word_ids.tolist()) == ["The", "film", UNKNOWN]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"llama"}))
def test_special_tokens_are_found_and_kept_by_baselines(made, name: str, layout: str) -> None:
    tokenizer = load(made(name, layout))
    special = SpecialIds.of(tokenizer)
    numbers = tokenizer.get_vocab()
    pad = "<pad>" if name in ROBERTA_LIKE | {"albert"} else "[PAD]"
    assert special.pad == numbers[pad]
    assert special.mask == numbers["<mask>" if name in ROBERTA_LIKE else "[MASK]"]
    assert special.unk in special.special
    (tokens,) = TextEncoder(tokenizer, "bert", 20).encode(["good film"])
    baseline = baseline_ids(tokens.inputs.ids, "pad", special)
    inside = tokens.word_ids >= 0
    unknown = tokens.inputs.ids == special.unk
    assert (baseline[inside & ~unknown] == special.pad).all()
    assert np.array_equal(baseline[~inside], tokens.inputs.ids[~inside])


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"llama"}))
def test_style_plain_pads_with_the_tokenizer_s_own_token(made, name: str) -> None:
    tokenizer = load(made(name))
    (found,) = TextEncoder(tokenizer, "plain", 40).encode(["Good (film)!"])
    expected = theirs(made(name))("good film", add_special_tokens=False)["input_ids"]
    ids = found.inputs.ids.tolist()
    assert ids == expected + [tokenizer.pad_token_id] * (40 - len(expected))
    assert found.inputs.mask.tolist() == [1] * len(expected) + [0] * (40 - len(expected))
    assert set(found.tokens[len(expected) :]) == {tokenizer.pad_token}
    assert (found.word_ids[len(expected) :] == -1).all()
    assert (found.word_ids[: len(expected)] >= 0).all()


def test_a_tokenizer_without_a_token_for_padding_reads_texts_that_need_none(made) -> None:
    tokenizer = load(made("llama"))
    assert tokenizer.pad_token_id is None
    (found,) = TextEncoder(tokenizer, "bert", 40).encode(["good film"])
    assert found.tokens[0] == "<s>"
    with pytest.raises(ModelError, match=r"no token for padding, which text style plain needs; expected a pad_token"):
        TextEncoder(tokenizer, "plain", 40)


def test_a_survey_counts_unknown_pieces_and_blames_no_setting(made) -> None:
    tokenizer = load(made("albert"))
    survey = TextEncoder(tokenizer, "bert", 8).survey(["the film 象", "the end"])
    assert survey.unknown == ["象"]
    assert survey.lengths.tolist() == [len(ids) for ids in tokenizer(["the film 象", "the end"])["input_ids"]]
    assert suspicious_setting(tokenizer, survey.unknown) == ""


def test_a_byte_level_tokenizer_knows_every_word(made) -> None:
    survey = TextEncoder(load(made("roberta")), "bert", 8).survey(TEXTS)
    assert survey.unknown == []


@pytest.mark.parametrize("name", ["albert", "deberta", "modernbert"])
def test_another_token_type_is_refused_of_every_kind_that_has_types(made, tmp_path: Path, name: str) -> None:
    json_alone(made(name), tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    for part in content["post_processor"]["single"]:
        next(iter(part.values()))["type_id"] = 1
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="gives a text token type 1; expected 0"):
        load(tmp_path)
    names = ["input_ids", "attention_mask"]  # of a network without types
    settings(tmp_path, tokenizer_class="PreTrainedTokenizerFast", model_input_names=names)
    assert load(tmp_path)("film").keys() == set(names)


def test_a_vocabulary_without_the_letter_a_is_read(tmp_path: Path) -> None:
    """A unigram model calls an unknown piece what the text has."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁", -1.0), ("電", -2.0)], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.save(str(tmp_path / "tokenizer.json"))
    settings(tmp_path, tokenizer_class="PreTrainedTokenizerFast")
    tokenizer = load(tmp_path)
    assert tokenizer.unk_token == "<unk>"
    (found,) = TextEncoder(tokenizer, "bert", 9).encode(["電 a"])
    assert found.tokens == ["", as_inner("電"), "", UNKNOWN]
    assert found.word_ids.tolist() == [0, 0, 1, 1]


def test_a_space_that_transformers_5_puts_before_a_text_is_put(made, tmp_path: Path) -> None:
    newer(made("roberta"), tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"]["add_prefix_space"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    expected = theirs(made("roberta"))(" film")["input_ids"]
    assert load(tmp_path)("film")["input_ids"] == expected != theirs(made("roberta"))("film")["input_ids"]
