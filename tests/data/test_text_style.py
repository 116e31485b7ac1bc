import pytest

from ig_worker.data.style import STYLES, apply_style, plain_text
from ig_worker.errors import UsageError


def test_plain_deletes_punctuation_and_lower_cases() -> None:
    assert plain_text('Don\'t "STOP" (now); [ever]: yes, no. Why?!') == "dont stop now ever yes no why"


def test_plain_turns_a_pair_of_line_breaks_into_one_blank() -> None:
    assert plain_text("Good.<br /><br />Bad.<br/><BR />Ugly") == "good bad ugly"


def test_plain_leaves_a_single_line_break_as_the_tutorial_does() -> None:
    assert plain_text("one<br />two") == "one<br  >two"


def test_plain_blanks_hyphens_and_slashes_one_by_one() -> None:
    assert plain_text("well-made and/or so--so") == "well made and or so  so"


def test_plain_keeps_what_the_tutorial_does_not_name() -> None:
    assert plain_text("Café & naïve* – 7_8") == "café & naïve* – 7_8"


def test_bert_style_leaves_the_text_alone() -> None:
    assert apply_style("As IS.<br />", "bert") == "As IS.<br />"


def test_an_unknown_style_names_the_known_ones() -> None:
    assert STYLES == ("bert", "plain")
    with pytest.raises(UsageError, match="'gpt' does not exist; expected bert or plain"):
        apply_style("text", "gpt")
