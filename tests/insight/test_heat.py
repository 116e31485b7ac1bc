from __future__ import annotations

import pytest

from ig_worker.insight.format import signed
from ig_worker.insight.heat.pieces import words


def text_of(tokens: list[str], word_ids: list[int]) -> str:
    found = words(tokens, word_ids, [0.1] * len(tokens))
    return "".join(" " * word.space + "".join(piece.text for piece in word.pieces) for word in found)


def test_word_pieces_are_joined_to_their_word():
    tokens = ["[CLS]", "un", "##for", "##get", "##table", "film", "!", "[SEP]"]
    assert text_of(tokens, [-1, 0, 0, 0, 0, 1, 2, -1]) == "[CLS] unforgettable film! [SEP]"


def test_contractions_are_joined_and_quotes_are_not():
    assert text_of(["it", "'", "s", "'", "fine", "'"], [0, 1, 2, 3, 4, 5]) == "it's ' fine '"


def test_marks_that_are_tokens_of_several_characters_stand_as_in_a_text():
    """As byte-level tokenizers have them."""
    tokens = ["<s>", "It", "'s", "", "##so", "...", "((", "good", ")),", "isn", "'t", "it", "?", "</s>"]
    ids = [-1, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1]
    assert text_of(tokens, ids) == "<s> It's so... ((good)), isn't it? </s>"


def test_a_literal_number_sign_is_kept_at_the_start_of_a_word():
    assert text_of(["##", "##x"], [0, 1]) == "## ##x"


def test_adjacent_special_tokens_stand_alone_and_padding_is_gathered():
    tokens, ids = ["[CLS]", "[SEP]", "a", *["[PAD]"] * 5], [-1, -1, 0, *[-1] * 5]
    found = words(tokens, ids, [0.0, 0.0, 1.0, *[0.5] * 5])
    assert [word.pieces[0].text for word in found] == ["[CLS]", "[SEP]", "a", "[PAD] ×5"]
    assert found[-1].pieces[0].title == "[PAD] ×5, sum +2.5000"
    assert [word.pieces[0].special for word in found] == [True, True, False, True]


def test_a_token_says_its_value():
    piece = words(["good"], [0], [-0.25])[0].pieces[0]
    assert piece.title == "good -0.2500"


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="argument"):
        words(["a", "b"], [0], [0.1, 0.2])


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.1, "+0.1000"), (-0.1, "-0.1000"), (0.00012, "+1.2e-04")])
def test_a_sign_is_always_shown(value, text):
    assert signed(value) == text
