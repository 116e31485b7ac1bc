"""What labels mean: numbers, names, maps of the user's, and refusals before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ig_worker.data.label_map import read_label_map
from ig_worker.data.labels import LabelCounter, Labelling, class_numbers, number_labels, numbered
from ig_worker.errors import DataError
from tests.fuzz import one_line

SENTIMENT = ("negative", "positive")
STARS = ("1", "2", "3", "4", "5")


def labelled(
    values: Sequence[object],
    classes: Sequence[str] | None = SENTIMENT,
    own: Sequence[str] = (),
    said: str | None = None,
) -> Labelling:
    counter = LabelCounter()
    for value in values:
        counter.add_value(value)
    return number_labels(counter, "d.csv", classes, own, read_label_map(said))


def meant(*arguments: object, **more: object) -> Mapping[str, int | None]:
    return labelled(*arguments, **more).numbers  # type: ignore[arg-type]


def refused(*arguments: object, **more: object) -> str:
    with pytest.raises(DataError) as caught:
        labelled(*arguments, **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([0, 1, "1.0", 0.0, None, ""], {"0": 0, "1": 1}),
        (["POSITIVE", "Negative", " positive "], {"POSITIVE": 1, "Negative": 0, "positive": 1}),
        ([True, False, "TRUE", "false"], {"True": 1, "False": 0, "TRUE": 1, "false": 0}),
        (["LABEL_0", "label_1"], {"LABEL_0": 0, "label_1": 1}),
        ([-1, "-1.0", 0], {"-1": None, "0": 0}),
        (["NaN", "NA", "null", "None", "n/a", "#N/A", "<NA>", 1], dict.fromkeys(
            ["NaN", "NA", "null", "None", "n/a", "#N/A", "<NA>"]) | {"1": 1}),
    ],
)  # fmt: skip
def test_numbers_and_names_of_classes_are_understood_and_what_says_nothing_is_no_label(values, numbers) -> None:
    assert meant(values) == numbers


def test_a_class_that_is_called_none_is_a_class() -> None:
    assert meant(["none", "None", "mild"], ("none", "mild", "severe")) == {"None": 0, "mild": 1, "none": 0}


def test_labels_outside_the_classes_are_refused_with_their_counts_and_the_classes() -> None:
    message = refused([4, 0, 4, 0, 4])
    assert "the labels of d.csv are 0 (2 rows), 4 (3 rows): 4 is no class" in message
    assert "expected the model's classes 0 (negative), 1 (positive), or -1 or nothing" in message
    assert "--label-map 0=negative,4=positive" in message
    assert "--label-column ''" in message


@pytest.mark.parametrize("value", [2, -2, 2**40, "good", 0.5, "1e3", float("inf"), "x" * 5000, "9" * 4000, "é\ud800"])
def test_one_label_outside_the_classes_among_many_is_enough(value: object) -> None:
    message = refused([0, 1] * 50 + [value])
    assert "0 (50 rows), 1 (50 rows)" in message
    assert "(1 row)" in message
    assert message.count(" is no class") == 1
    assert len(message) < 600


@pytest.mark.parametrize(
    ("values", "classes", "suggestion"),
    [
        (["pos", "neg"], SENTIMENT, " neg=negative,pos=positive"),
        ([1, 2], SENTIMENT, " 1=negative,2=positive"),
        ([1, 2, 3], ("1 star", "2 stars", "3 stars"), " '1=1 star,2=2 stars,3=3 stars'"),
        (["yes", "no"], SENTIMENT, " no=CLASS,yes=CLASS"),
        (["very bad", "good"], ("very_bad", "good"), " 'good=good,very bad=very_bad'"),
        ([1, 2, 3, 4, 5], SENTIMENT, " 1=CLASS,2=CLASS,3=CLASS,4=CLASS,5=CLASS"),
        ([0, 4], ("LABEL_0", "LABEL_1"), " 0=0,4=1"),
        ([-2, 2], SENTIMENT, "=-2=negative,2=positive"),
        (["a=b", "c"], SENTIMENT, ' FILE.toml, with lines such as "a=b" = ...'),
    ],
)
def test_a_refusal_suggests_a_map_to_begin_with(values: list[object], classes: Sequence[str], suggestion: str) -> None:
    assert f"--label-map{suggestion}" in refused(values, classes)


def test_a_map_gives_labels_to_names_and_numbers_of_classes_or_to_none() -> None:
    assert meant([4, 0, 2, "4.0"], said="0=Negative, 4=1 ,2=") == {"0": 0, "2": None, "4": 1}
    assert meant(["Pos", "NEG", "?"], said="pos=positive,neg=negative,?=null") == {"?": None, "NEG": 0, "Pos": 1}
    assert meant([True, False], said="true=negative,false=positive") == {"False": 1, "True": 0}


def test_a_map_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a=b,c.toml"
    path.write_text('0 = "negative"\n4 = 1\n"a,b=c" = "Positive"\n-1 = ""\n')
    assert meant([0, 4, "a,b=c", -1], said=str(path)) == {"-1": None, "0": 0, "4": 1, "a,b=c": 1}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("0 = 1.5", "says 1.5 of 0"),
        ("0 = [", "is not TOML"),
        ("", "is empty"),
        ("a.b = 1", "says {'b': 1} of a"),
        ("0 = true", "says True"),
    ],
)
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "map.toml").write_text(content)
    assert told in refused([0], said=str(tmp_path / "map.toml"))


def test_a_missing_file_of_a_map_is_named_with_its_flag() -> None:
    assert "gone.toml does not exist; expected a file; check the path given with --label-map" in refused(
        [0], said="gone.toml"
    )


@pytest.mark.parametrize("said", ["", "0", "=1", "0=1=2", "0=1,0=1", ","])
def test_what_is_no_map_is_refused(said: str) -> None:
    assert f"--label-map {said!r}" in refused([0], said=said)


def test_a_map_to_no_class_is_refused() -> None:
    assert "maps '4' to 'postive'; expected one of 0 (negative), 1 (positive), or null" in refused(
        [4], said="4=postive"
    )
    assert "maps '4' to '2'" in refused([4], said="4=2")
    assert "maps '4' to '-1'" in refused([4], said="4=-1")


def test_a_map_has_to_be_complete_since_numbers_are_then_no_class_numbers() -> None:
    message = refused([1, 2], said="2=positive")
    assert "1 (1 row), 2 (1 row): 1 is not in --label-map" in message
    assert "add --label-map 1=negative to it" in message or "add --label-map 1=CLASS to it" in message
    assert meant([-1, None, "NA", "negative", 2], said="2=positive") == {
        "-1": None, "2": 1, "NA": None, "negative": 0
    }  # fmt: skip


def test_labels_are_names_where_the_model_calls_its_classes_by_numbers_and_they_fit_no_other_way() -> None:
    found = labelled([1, 5, 3], STARS)
    assert found.numbers == {"1": 0, "3": 2, "5": 4}
    assert "taken for names" in found.notes[0]
    assert meant([0, 1, 4], STARS) == {"0": 0, "1": 1, "4": 4}


def test_labels_that_may_be_numbers_or_names_are_refused() -> None:
    assert "they may be numbers of the model's classes, or names of others" in refused([1, 2, 3], STARS)
    assert "the name of class 0 and the number of another" in refused([1, 2], STARS, said="1=1,2=2")


def test_a_file_says_whether_a_class_is_meant_by_name_or_by_number(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('1 = "1"\n2 = 2\n')
    assert meant([1, 2], STARS, said=str(tmp_path / "map.toml")) == {"1": 0, "2": 2}


def test_the_data_sets_own_class_names_put_its_numbers_in_the_models_order() -> None:
    found = labelled([0, 1, 1], SENTIMENT, ("pos", "neg"))
    assert found.numbers == {"0": 1, "1": 0}
    assert "labels are taken by name" in found.notes[0]
    assert found.class_names == SENTIMENT
    assert labelled([0, 1], SENTIMENT, ("neg", "pos")).notes == ()


def test_a_class_that_only_the_data_set_has_is_refused() -> None:
    assert "1 is no class" in refused([0, 1, 2], SENTIMENT, ("negative", "neutral", "positive"))


def test_class_names_without_anything_in_common_are_told_and_taken_by_number() -> None:
    assert "labels are taken by number" in labelled([0, 1], ("ham", "spam"), SENTIMENT).notes[0]
    assert labelled([0, 1], ("LABEL_0", "LABEL_1"), SENTIMENT).notes == ()
    assert labelled([0, 1], ("LABEL_0", "LABEL_1"), SENTIMENT).class_names == SENTIMENT


def test_a_map_knows_the_data_sets_own_names() -> None:
    assert meant([0, 1], ("good", "bad"), ("neg", "pos"), said="neg=bad,pos=good") == {"0": 1, "1": 0}


def test_without_a_model_class_numbers_are_taken_and_names_refused() -> None:
    assert meant([0, 4, 2**31 - 1], None) == {"0": 0, "4": 4, "2147483647": 2**31 - 1}
    assert "though they are 0, 4 only" in labelled([0, 4], None).notes[0]
    assert "--label-map neg=0,pos=1" in refused(["pos", "neg"], None)
    assert "-2 is no class" in refused([-2], None)
    assert "2147483648 is no class" in refused([2**31], None)


def test_without_a_model_a_map_names_the_classes_in_its_order() -> None:
    found = labelled([4, 0], None, said="0=negative,4=positive")
    assert (found.numbers, found.class_names) == ({"0": 0, "4": 1}, SENTIMENT)
    assert "maps 'a' to 'x'" in refused(["a", "b"], None, said="a=x,b=1")


def test_a_column_of_something_else_is_refused() -> None:
    assert "has more than 1000 different values, such as 'a0'" in refused([f"a{i}" for i in range(1001)])


def test_only_rows_that_are_asked_for_count() -> None:
    counter = LabelCounter(2, 5)
    counter.add(3, pa.array([7, 7, 1]))
    counter.add(2, None)
    counter.add_value(9)
    counter.add_same(3, "9")
    assert (dict(counter.counts), counter.missing, counter.rows) == ({"1": 1}, 2, 9)


def test_a_label_of_no_scalar_is_a_fault_of_its_row() -> None:
    counter = LabelCounter()
    counter.add_value([1])
    counter.add_value(0)
    assert (dict(counter.counts), counter.missing) == ({"0": 1}, 1)


def test_the_labels_of_a_data_set_can_be_told() -> None:
    found = labelled([0, "positive", 1, None, -1])
    assert found.of_classes() == {0: 1, 1: 2, None: 2}
    assert found.line() == "0 negative: 1, 1 positive: 2, none: 2"


def test_only_labels_that_are_not_simply_numbers_count_in_a_digest() -> None:
    assert labelled([0, 1, -1, True, None]).unusual() == {}
    assert labelled([0, 1], said="0=0,1=1").unusual() == {}
    assert labelled(["positive", "NaN", 0]).unusual() == {"NaN": None, "positive": 1}
    assert labelled([0, 4], said="0=0,4=1").unusual() == {"4": 1}


def test_labels_in_memory_are_numbered_like_those_of_files() -> None:
    assert class_numbers([1, None, "Negative", float("nan"), True], SENTIMENT) == [1, None, 0, None, 1]
    assert class_numbers([4, 0], SENTIMENT, {4: "positive", 0: "negative"}) == [1, 0]  # type: ignore[dict-item]
    with pytest.raises(DataError, match="2 is no class"):
        class_numbers([2], SENTIMENT)
    with pytest.raises(DataError, match="is not a class"):
        class_numbers([[1]], SENTIMENT)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5))


@given(values=st.lists(scalars, max_size=8), classes=st.lists(st.text(max_size=3), min_size=2, max_size=4))
def test_every_label_is_a_class_or_nothing_or_all_are_refused_in_one_line(values, classes) -> None:
    with one_line():
        found = labelled(values, classes)
        assert all(number is None or 0 <= number < len(classes) for number in found.numbers.values())


@given(labels=st.lists(st.one_of(st.none(), st.sampled_from(["0", "1", "positive", "NaN", "-1"])), min_size=1))
def test_a_column_is_numbered_value_by_value(labels: list[str | None]) -> None:
    found = labelled(labels)
    column, faults = numbered(pa.array(labels, pa.string()), found.numbers)
    assert column.to_pylist() == [None if label is None else found.numbers[label] for label in labels]
    assert faults == {}
