"""Words from offsets and pieces alone: where they begin, how they are written, and that no character is lost."""

from __future__ import annotations

from itertools import groupby, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ig_worker.models.characters import Character, first_and_last, kind_of, parts_words
from ig_worker.models.pieces import Notation, PieceReader
from ig_worker.models.words import UNKNOWN, as_inner, word_of
from tests.fuzz import quick

SLICES = Notation(space="", unknown=None, special=frozenset({"<s>", "</s>", "<mask>"}))
SPACES = Notation(space="▁", unknown=99, special=frozenset({"<s>", "</s>", "<unk>"}))


def of_slices(text: str, *sizes: int) -> tuple[list[str], list[int]]:
    """Tokens and word numbers of a text that is cut into tokens of so many characters, none left out."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    offsets = [(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    assert ends[-1] == len(text)
    pieces = [text[start:end] for start, end in offsets]
    return PieceReader(SLICES).read(text, [0] * len(sizes), pieces, offsets, [0] * len(sizes))


def of_pieces(text: str, *pieces: tuple[str, int, int]) -> tuple[list[str], list[int]]:
    """Tokens and word numbers of pieces with spaces in them, each with its first character and the one behind it."""
    names = [piece for piece, _, _ in pieces]
    ids = [99 if name in ("<unk>", "?unknown") else 1 for name in names]
    return PieceReader(SPACES).read(text, ids, names, [(start, end) for _, start, end in pieces], [0] * len(names))


def words_of(tokens: list[str], words: list[int]) -> list[str]:
    """The words that tokens make."""
    pairs = [(word, token) for token, word in zip(tokens, words, strict=True) if word >= 0]
    return [word_of(token for _, token in group) for _, group in groupby(pairs, key=lambda pair: pair[0])]


@pytest.mark.parametrize(
    ("text", "sizes", "tokens", "words"),
    [
        ("good film", (4, 5), ["good", "film"], [0, 1]),
        ("unforgettable", (2, 4, 7), ["un", as_inner("forg"), as_inner("ettable")], [0, 0, 0]),
        ("film!", (4, 1), ["film", "!"], [0, 1]),
        ("wait... what", (4, 3, 5), ["wait", "...", "what"], [0, 1, 2]),
        ("it's", (2, 2), ["it", "'s"], [0, 1]),
        ("well-made", (4, 1, 4), ["well", "-", "made"], [0, 1, 2]),
        ("2nd", (1, 2), ["2", as_inner("nd")], [0, 0]),
        ("good\n\nfilm", (4, 2, 4), ["good", "", as_inner("film")], [0, 1, 1]),
        ("a.\n b", (1, 3, 1), ["a", ".", "b"], [0, 1, 2]),
        ("good  ", (4, 1, 1), ["good", as_inner(""), as_inner("")], [0, 0, 0]),
        ("  ", (1, 1), ["", as_inner("")], [0, 0]),
        ("été", (1, 2), ["é", as_inner("té")], [0, 0]),
        ("e\u0301te\u0301", (1, 1, 3), ["e", as_inner("\u0301"), as_inner("te\u0301")], [0, 0, 0]),
        ("電影", (1, 1), ["電", "影"], [0, 1]),
        ("電影", (2,), ["電影"], [0]),
        ("カメラ", (1, 2), ["カ", "メラ"], [0, 1]),
        ("ไทยa", (3, 1), ["ไทย", "a"], [0, 1]),
        ("ที่", (1, 2), ["ท", as_inner("ี่")], [0, 0]),
        ("한국어", (1, 2), ["한", as_inner("국어")], [0, 0]),
        ("हिन्दी", (1, 2, 3), ["ह", as_inner("िन"), as_inner("्दी")], [0, 0, 0]),
        ("so😀", (2, 1), ["so", "😀"], [0, 1]),
        ("👍🏽", (1, 1), ["👍", as_inner("🏽")], [0, 0]),
        ("👩\u200d💻", (1, 1, 1), ["👩", as_inner("\u200d"), as_inner("💻")], [0, 0, 0]),
        ("##s", (2, 1), ["##", "s"], [0, 1]),
    ],
)
def test_words_of_a_text_that_is_cut_into_tokens(
    text: str, sizes: tuple[int, ...], tokens: list[str], words: list[int]
) -> None:
    assert of_slices(text, *sizes) == (tokens, words)


def test_tokens_that_share_a_character_show_it_once() -> None:
    """As bytes of an emoji, and of an ideograph whose last byte is one token with the next ideograph."""
    text = "a 😀電影"
    offsets = [(0, 1), (1, 3), (2, 3), (2, 3), (3, 4), (3, 5)]
    tokens, words = PieceReader(SLICES).read(text, [0] * 6, ["x"] * 6, offsets, [0] * 6)
    assert tokens == ["a", "😀", as_inner(""), as_inner(""), "電", as_inner("影")]
    assert words == [0, 1, 1, 1, 2, 2]


def test_offsets_without_the_space_before_a_word_say_the_same() -> None:
    """RoBERTa's tokenizer trims them, and leaves a space that is a token without any characters."""
    text = "good  film, dull "
    offsets = [(0, 4), (5, 5), (6, 10), (10, 11), (12, 16), (17, 17)]
    tokens, words = PieceReader(SLICES).read(text, [0] * 6, ["x"] * 6, offsets, [0] * 6)
    assert tokens == ["good", "", as_inner("film"), ",", "dull", as_inner("")]
    assert words == [0, 1, 1, 2, 3, 3]


def test_what_is_put_around_a_text_stays_as_it_is_written_and_is_in_no_word() -> None:
    offsets = [(0, 0), (0, 4), (4, 5), (0, 0), (0, 0)]
    pieces = ["<s>", "good", "Ġ", "</s>", "<pad>"]
    tokens, words = PieceReader(SLICES).read("good ", [0] * 5, pieces, offsets, [1, 0, 0, 1, 1])
    assert tokens == ["<s>", "good", as_inner(""), "</s>", "<pad>"]
    assert words == [-1, 0, 0, -1, -1]


def test_a_special_token_within_a_text_is_a_word_by_itself() -> None:
    offsets = [(0, 3), (3, 7), (7, 14), (14, 16)]
    tokens, words = PieceReader(SLICES).read(
        "<s>good <mask>ly", [0] * 4, ["<s>", "good", "<mask>", "ly"], offsets, [0] * 4
    )
    assert (tokens, words) == (["<s>", "good", "<mask>", "ly"], [0, 1, 2, 3])


def test_whitespace_before_a_special_token_within_a_text_belongs_to_the_word_before() -> None:
    offsets = [(0, 4), (4, 5), (5, 8), (8, 10)]
    tokens, words = PieceReader(SLICES).read("good <s>ly", [0] * 4, ["good", "Ġ", "<s>", "ly"], offsets, [0] * 4)
    assert (tokens, words) == (["good", as_inner(""), "<s>", "ly"], [0, 0, 1, 2])


@pytest.mark.parametrize(
    ("text", "pieces", "tokens", "words"),
    [
        ("good film", (("▁good", 0, 4), ("▁fi", 4, 7), ("lm", 7, 9)), ["good", "fi", as_inner("lm")], [0, 1, 1]),
        ("a, b", (("▁a", 0, 1), (",", 1, 2), ("▁b", 2, 4)), ["a", ",", "b"], [0, 1, 2]),
        ("(a", (("▁", 0, 1), ("(", 0, 1), ("a", 1, 2)), ["", as_inner("("), "a"], [0, 0, 1]),
        ("a ", (("▁a", 0, 1), ("▁", 1, 2)), ["a", as_inner("")], [0, 0]),
        ("½", (("▁1", 0, 1), ("⁄", 0, 1), ("2", 0, 1)), ["1", "⁄", "2"], [0, 1, 2]),  # a character of three
        ("of the", (("▁of▁the", 0, 6),), ["of the"], [0]),
        (
            "go 電!",
            (("▁go", 0, 2), ("▁", 2, 3), ("?unknown", 3, 4), ("!", 4, 5)),
            ["go", "", UNKNOWN, "!"],
            [0, 1, 1, 2],
        ),
        ("oxo", (("▁o", 0, 1), ("<unk>", 1, 2), ("o", 2, 3)), ["o", UNKNOWN, as_inner("o")], [0, 0, 0]),
        (
            "a 😀b",
            (("▁a", 0, 1), ("▁", 1, 2), ("<0xF0>", 2, 3), ("<0x9F>", 2, 3), ("<0x98>", 2, 3), ("b", 3, 4)),
            ["a", "", as_inner("😀"), as_inner(""), as_inner(""), "b"],
            [0, 1, 1, 1, 1, 2],
        ),
        ("a\nb", (("▁a", 0, 1), ("<0x0A>", 1, 2), ("b", 2, 3)), ["a", "", as_inner("b")], [0, 1, 1]),
    ],
)
def test_words_of_pieces_that_have_spaces_in_them(text: str, pieces, tokens: list[str], words: list[int]) -> None:
    assert of_pieces(text, *pieces) == (tokens, words)


ALPHABET = "ab2é\u0301,.' \n\t\u00a0電ไカ😀👍🏽\u200d한#<>_"


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text and tokens that cover it, of which some share characters and some leave the space before them out."""
    text = draw(st.text(ALPHABET, min_size=1, max_size=30))
    offsets, at = [], 0
    while at < len(text):
        end = draw(st.integers(at + 1, min(len(text), at + 5)))
        start = max(0, at - 1) if offsets and draw(st.booleans()) else at  # with a byte of the character before
        trimmed = draw(st.booleans()) and start == at
        while trimmed and start < end and text[start].isspace():
            start += 1
        offsets += [(start, end)] * draw(st.integers(1, 2))
        at = end
    return text, offsets


@quick
@given(cut())
@example(("\u200da", [(0, 1), (1, 2)]))
def test_the_words_are_the_text_without_its_whitespace_and_are_numbered_without_gaps(made) -> None:
    text, offsets = made
    zeros = [0] * len(offsets)
    tokens, words = PieceReader(SLICES).read(text, zeros, ["x"] * len(offsets), offsets, zeros)
    assert len(tokens) == len(words) == len(offsets)
    assert "".join("".join(words_of(tokens, words)).split()) == "".join(text.split())
    assert words[0] == 0
    assert all(0 <= after - before <= 1 for before, after in pairwise(words))
    # A word without text is whitespace alone, of which a text has at most one: where nothing else is in it.
    assert "" not in words_of(tokens, words) or not text.strip()


@quick
@given(cut())
def test_no_word_has_whitespace_or_a_mark_beside_a_letter_in_it_where_tokens_are_characters(made) -> None:
    text, _ = made
    words = words_of(*of_slices(text, *[1] * len(text)))
    kinds = [[kind_of(character) for character in word] for word in words]
    letters = {Character.WORD, Character.INNER, Character.JOINER}
    assert all(not any(character.isspace() for character in word) for word in words)
    for kind in kinds:
        joined = Character.JOINER in kind
        assert joined or len(kind) - kind.count(Character.INNER) <= 1 or set(kind) <= letters


def test_a_reader_gives_the_same_when_it_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ig_worker.models.pieces._MOST_LOOKS", 2)
    reader = PieceReader(SLICES)
    offsets = [(i, i + 1) for i in range(6)]
    first, second = (reader.read("ab cde", [0] * 6, ["x"] * 6, offsets, [0] * 6) for _ in range(2))
    assert first == second
    assert len(reader._looks) <= 6


def test_long_unknown_runs_are_not_kept() -> None:
    reader = PieceReader(SPACES)
    text = "象" * 5000
    assert reader.read(text, [1, 99], ["▁", "<unk>"], [(0, 1), (0, 5000)], [0, 0]) == (["", UNKNOWN], [0, 0])
    assert list(reader._looks) == ["▁"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a", (Character.WORD, Character.WORD)),
        ("e\u0301", (Character.WORD, Character.WORD)),
        ("\u0301", (Character.INNER, Character.INNER)),
        ("a.", (Character.WORD, Character.ALONE)),
        ("影a", (Character.UNSPACED, Character.WORD)),
        ("", (Character.NONE, Character.NONE)),
    ],
)
def test_what_a_text_begins_and_ends_with(text: str, kinds: tuple[Character, Character]) -> None:
    assert first_and_last(text) == kinds


def test_only_letters_and_digits_stay_together() -> None:
    together = [(a, b) for a in "a2.電" for b in "a2.電" if not parts_words(kind_of(a), kind_of(b))]
    assert together == [("a", "a"), ("a", "2"), ("2", "a"), ("2", "2")]
