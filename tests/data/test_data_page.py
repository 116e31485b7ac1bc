"""What the page on data says can be read, and what words mean, is what the code does."""

from __future__ import annotations

import re

from ig_worker.data import files, spelling, splits
from ig_worker.data.several import FORMATS
from tests.pages import PAGES, table_after

PAGE = "ig_worker/data/README.md"


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_the_page_lists_every_format_and_packing() -> None:
    named = {name for row in table_after("| format", PAGE).splitlines()[2:] for name in quoted(row.split("|")[1])}
    assert named == {*FORMATS, ".npz"}
    packed = re.search(r"may be packed: (.+) at the end", PAGES[PAGE])
    assert packed is not None
    assert quoted(packed[1]) == set(files._PACKED_SUFFIXES)


def test_the_page_lists_the_words_for_nothing() -> None:
    section = PAGES[PAGE].partition("\nPrograms write")[2]
    programs, _, people = section.partition("People may write")
    assert quoted(programs) == set(spelling.NOTHING)
    assert quoted(people.partition(", too:")[0]) == set(spelling.MAYBE_NOTHING)
    assert all(spelling.says_nothing(word) for word in (*spelling.NOTHING, *spelling.MAYBE_NOTHING))


def test_the_splits_that_the_page_names_are_splits() -> None:
    line = next(line for line in PAGES[PAGE].splitlines() if "`--split` chooses" in line)
    assert {splits.split_in(f"{name}/a.csv") for name in quoted(line) - {"--split"}} == {"train", "test"}
