"""What a word's pieces say of its text, and that only one place knows how."""

from __future__ import annotations

import re

from ig_worker.models.words import MARKED, as_inner, inner_text, word_of
from tests.pages import ROOT


def test_a_word_is_its_pieces_without_their_marks() -> None:
    assert word_of(["un", "##for", "##get", "##table"]) == "unforgettable"
    assert word_of(["#", "##1"]) == "#1"
    assert word_of(["film"]) == "film"


def test_only_the_mark_goes() -> None:
    assert inner_text(as_inner("#s")) == re.sub(MARKED, "", as_inner("#s")) == "#s"
    assert inner_text("s##") == "s##"


def test_no_other_file_knows_the_mark() -> None:
    knowing = [
        path.relative_to(ROOT).as_posix()
        for kind in ("*.py", "*.js")
        for path in (ROOT / "ig_worker").rglob(kind)
        if "vendor" not in path.parts and "##" in path.read_text()
    ]
    assert knowing == ["ig_worker/models/words.py"]
