"""Text to tokens in both styles."""

from __future__ import annotations

from pathlib import Path

import pytest

from ig_worker.errors import ModelError
from ig_worker.models.tokenize import TextEncoder, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]):
    return load_tokenizer(str(tiny_models["bert"]), vocabulary=1000)


def test_style_bert_adds_special_tokens_and_no_padding(tokenizer) -> None:
    good, longer = TextEncoder(tokenizer, "bert", 16).encode(["Good film!", "slowly dull"])
    assert good.tokens == ["[CLS]", "good", "film", "!", "[SEP]"]
    assert good.word_ids.tolist() == [-1, 0, 1, 2, -1]
    assert good.inputs.mask.tolist() == [1] * 5
    assert longer.tokens == ["[CLS]", "slow", "##ly", "dull", "[SEP]"]
    assert longer.word_ids.tolist() == [-1, 0, 0, 1, -1]


def test_style_plain_cleans_adds_nothing_and_keeps_padding(tokenizer) -> None:
    (made,) = TextEncoder(tokenizer, "plain", 6).encode(["Good (film)!"])
    assert made.tokens == ["good", "film", "[PAD]", "[PAD]", "[PAD]", "[PAD]"]
    assert made.inputs.mask.tolist() == [1, 1, 0, 0, 0, 0]
    assert made.word_ids.tolist() == [0, 1, -1, -1, -1, -1]


@pytest.mark.parametrize(("words", "truncated"), [(6, False), (7, True), (900, True)])
@pytest.mark.parametrize("style", ["bert", "plain"])
def test_truncation_is_told(tokenizer, style: str, words: int, truncated: bool) -> None:
    length = 8 if style == "bert" else 6  # room for six words
    (made,) = TextEncoder(tokenizer, style, length).encode(["good " * words])
    assert made.truncated is truncated
    assert len(made.tokens) == length
    if style == "bert":
        assert made.tokens[-1] == "[SEP]"


def test_the_order_is_kept_over_many_texts(tokenizer) -> None:
    texts = ["good " * (i % 7 + 1) for i in range(150)]
    assert [len(t.tokens) for t in TextEncoder(tokenizer, "bert", 32).encode(texts)] == [i % 7 + 3 for i in range(150)]


def test_unknown_words_are_unk_but_words_all_the_same(tokenizer) -> None:
    (made,) = TextEncoder(tokenizer, "bert", 8).encode(["good 電影"])
    assert made.tokens[1] == "good"
    assert set(made.tokens[2:-1]) == {"[UNK]"}
    assert (made.word_ids[1:-1] >= 0).all()


def test_a_tokenizer_that_knows_more_than_the_network_is_refused(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match=r"tokens up to 46, the network has 40 embeddings"):
        load_tokenizer(str(tiny_models["bert"]), vocabulary=40)
