"""Text to tokens in both styles."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ig_worker.errors import ModelError
from ig_worker.models import word_cache
from ig_worker.models.tokenize import TextEncoder, load_tokenizer
from ig_worker.models.word_cache import cuts_at_words


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


_ODD = [
    "", " ", "Good, slow_ly... (film)!", "it's  a\tdull\nfilm\r\n<br /><br />well-made", "a" * 300, "good " * 400,
    "caf\u00e9 good", "good [SEP] film [MASK]", "good [sep] film", "go\x00od fi\x7flm \x01",
    "##ly good##ly #", "\u96fb\u5f71 good",
    "\u00a0good\u3000film", "1,000 $5 ^`~{}|\\ @x", "good\u2028film",
    "\u0130good \u0301good go\u0301od don\u2019t",
    "\u96fb" * 60 + "good", "\x01 \x02good\x0bfilm", "!" * 300,
]  # fmt: skip


@pytest.mark.parametrize("style", ["bert", "plain"])
@pytest.mark.parametrize("length", [3, 8, 40])
def test_the_pieces_of_words_make_what_the_tokenizer_makes_of_texts(tokenizer, style: str, length: int) -> None:
    """Both ways through the encoder, with all texts twice: the second time each word is known."""
    chance = random.Random(7)
    letters = "adegilmosuy GOOD FILM slowly dull #_-.,'\"[]\t\u00e9\u2019\u96fb\u00a0\x01"
    texts = [*_ODD, *("".join(chance.choices(letters, k=chance.randrange(90))) for _ in range(150))]
    quick, plain = TextEncoder(tokenizer, style, length), TextEncoder(tokenizer, style, length)
    assert quick._cache is not None
    plain._cache = None
    for made, expected in zip(quick.encode(texts * 2), plain.encode(texts * 2), strict=True):
        assert made.tokens == expected.tokens
        assert made.truncated == expected.truncated
        for ours, theirs in zip((*made.inputs, made.word_ids), (*expected.inputs, expected.word_ids), strict=True):
            assert (ours.tolist(), ours.dtype) == (theirs.tolist(), theirs.dtype)


def test_words_are_forgotten_when_they_are_many(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_cache, "_MOST_WORDS", 20)
    encoder = TextEncoder(tokenizer, "bert", 16)
    for i in range(10):
        (made,) = encoder.encode([f"good {' '.join(f'a{i}b{k}' for k in range(12))}"])
        assert made.tokens[1] == "good"
        assert len(encoder._cache._pieces) <= 20 + 13


def test_words_of_great_length_are_not_kept(tokenizer) -> None:
    encoder = TextEncoder(tokenizer, "bert", 16)
    for _ in range(2):
        (made,) = encoder.encode(["good " + "x" * 10_000])
        assert made.tokens[2] == "[UNK]"
        encoder.encode(["good"])
        assert list(encoder._cache._pieces) == ["good"]


def test_a_tokenizer_that_looks_for_words_of_its_own_is_asked_for_each_text(tiny_models: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(str(tiny_models["bert"]), vocabulary=1000)
    assert cuts_at_words(tokenizer)
    tokenizer.add_tokens(["good film"])
    assert not cuts_at_words(tokenizer)
    (made,) = TextEncoder(tokenizer, "bert", 8).encode(["a good film"])
    assert "good film" in made.tokens


def test_threads_with_one_tokenizer_take_turns(tokenizer) -> None:
    encoder = TextEncoder(tokenizer, "bert", 16)
    texts = [f"caf\u00e9 good {'film ' * (i % 20)}" for i in range(200)]
    expected = [made.tokens for made in encoder.encode(texts)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: [made.tokens for made in encoder.encode(texts)], range(8)))
    assert all(one == expected for one in found)
