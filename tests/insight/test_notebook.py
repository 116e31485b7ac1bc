"""The notebook interface, on tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.heat.pieces import joined
from ig_worker.insight.notebook.explain_texts import TextExplanations

TEXTS = ["the film was slowly dull", None, "a <b>great</b> joy"]


@pytest.fixture(scope="module")
def found(tiny_models: dict[str, Path]):
    return ig_worker.explain(
        TEXTS, model=str(tiny_models["distilbert"]), method="gausslegendre", n_steps=5, max_length=16, keep_hidden=True
    )


def test_the_room_that_can_be_called_is_still_a_package() -> None:
    import ig_worker.explain.rules as rules

    assert ig_worker.explain.rules is rules
    assert callable(ig_worker.explain)


def test_rows_come_in_order_and_failures_are_named(found) -> None:
    assert [row.id for row in found] == ["0", "2"]
    assert found[-1].id == "2"
    assert list(found.failures) == [1]
    assert "null" in found.failures[1]
    with pytest.raises(IndexError):
        found[2]


def test_a_row_shows_its_tokens_with_their_values_and_escapes_them(found) -> None:
    shown = found[1]._repr_html_()
    assert "<b>" not in shown
    assert "&lt;" in shown
    assert f'title="great {found[1].attributions[found[1].tokens.index("great")]:+.4f}"' in shown
    assert shown.count("<span") == len(found[1].tokens)


def test_word_pieces_can_be_joined(found) -> None:
    assert "slow" in found[0].tokens
    assert "##ly" in found[0].tokens
    assert ">slowly<" in found[0].html(by_word=True)
    tokens, ids, sums = joined(found[0].tokens, found[0].word_ids, found[0].attributions)
    assert len(set(ids[1:-1])) == len(ids[1:-1])
    assert sum(sums) == pytest.approx(sum(found[0].attributions), abs=1e-6)
    assert tokens[1] == "the"


def test_palettes_change_the_colours_only(found) -> None:
    one, other = found[0].html(palette="PiYG"), found[0].html(palette="PuOr")
    assert one != other
    with pytest.raises(UsageError, match="palette"):
        found[0].html(palette="jet")


def test_arrow_and_pandas_hold_the_same(found) -> None:
    assert found.to_arrow().schema.equals(schema.attributions(hidden=32))
    frame = found.to_pandas()
    assert list(frame["id"]) == ["0", "2"]
    np.testing.assert_array_equal(frame["attributions"][0], found[0].attributions)


def test_alibis_own_object_is_what_alibi_itself_gives(found, tiny_models: dict[str, Path]) -> None:
    from alibi.api.interfaces import Explanation

    ours = found.to_alibi()
    texts = [text for text in TEXTS if text]
    settings = {"method": "gausslegendre", "n_steps": 5, "max_length": 16, "keep_hidden": True, "engine": "alibi"}
    theirs = ig_worker.explain(texts, model=str(tiny_models["distilbert"]), **settings).to_alibi()
    assert isinstance(ours, Explanation)
    assert ours.attributions[0].shape == (2, 16, 32)
    np.testing.assert_allclose(ours.attributions[0], theirs.attributions[0], atol=1e-5)
    np.testing.assert_allclose(ours.deltas, theirs.deltas, atol=1e-5)
    assert ours.predictions.shape == (2, 2)
    assert ours.meta["name"] == "IntegratedGradients"
    assert ours.meta["params"]["n_steps"] == 5
    assert (ours.X[:, -1] == 0).all()


def test_without_the_hidden_axis_alibis_object_says_how_to_get_it(tiny_models: dict[str, Path]) -> None:
    plain = ig_worker.explain(
        ["good"], model=str(tiny_models["distilbert"]), method="gausslegendre", n_steps=5, max_length=16
    )
    with pytest.raises(UsageError, match=r"keep_hidden=True"):
        plain.to_alibi()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 5}, "there is no setting steps; did you mean n_steps"),
        ({"method": "gausslegendre", "n_steps": 0}, "--n-steps is 0"),
        ({"max_length": 99}, "at most 64"),
    ],
)
def test_wrong_settings_are_refused(tiny_models: dict[str, Path], change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ig_worker.explain(["good"], model=str(tiny_models["distilbert"]), **{"max_length": 16, **change})


def test_one_string_is_not_taken_for_a_list(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="texts is one string"):
        ig_worker.explain("good film", model=str(tiny_models["distilbert"]))


def explained(models: dict[str, Path], texts: Any, **settings: Any) -> TextExplanations:
    common = {"model": models["distilbert"], "method": "gausslegendre", "n_steps": 5, "max_length": 16}
    return ig_worker.explain(texts, **{**common, **settings})


def test_no_texts_have_no_explanations(tiny_models: dict[str, Path]) -> None:
    found = explained(tiny_models, [], keep_hidden=True)
    assert len(found) == 0
    assert found.failures == {}
    assert found.to_arrow().schema.equals(schema.attributions(hidden=32))
    assert list(found.to_pandas().columns) == schema.attributions(hidden=32).names
    assert found._repr_html_() == ""
    assert list(found) == found[:] == []
    with pytest.raises(IndexError):
        found[0]
    with pytest.raises(UsageError, match="no text is explained"):
        found.to_alibi()


def test_what_is_no_text_has_its_reason_beside_the_explanations_of_the_others(tiny_models: dict[str, Path]) -> None:
    given = pd.Series(["the film was dull", np.nan, 3.5, None, "", "a great joy"], index=[9, 8, 7, 6, 5, 4])
    found = explained(tiny_models, given)
    assert [row.id for row in found] == ["0", "5"]
    assert found.failures == {
        1: "text is null",
        2: "text 3.5 is not a string",
        3: "text is null",
        4: "text '' has no words",
    }
    assert "text 2: text 3.5 is not a string" in found._repr_html_()
    assert len(explained(tiny_models, [1, 2])) == 0


@pytest.mark.parametrize("target", [1, np.int64(1), 1.0, np.array(1), True, "1"])
def test_a_target_is_a_class_number_of_any_kind(tiny_models: dict[str, Path], target: Any) -> None:
    assert [row.target for row in explained(tiny_models, ["a great joy", "the film was dull"], target=target)] == [1, 1]


@pytest.mark.parametrize(
    "labels",
    [
        [1, 0, None],
        (1.0, 0.0, float("nan")),
        ["LABEL_1", "label_0", None],
        [True, False, None],
        np.array([1, 0, -1]),
        pd.Series([1, 0, None], index=list("abc")),
        pd.Series([1, 0, None], dtype="Int64"),
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series(["LABEL_1", "LABEL_0", None], dtype="category"),
        pa.array(["1", "0", None]),
        iter([1, 0, None]),
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_are_taken_as_they_come(tiny_models: dict[str, Path], labels: Any) -> None:
    texts = np.array(["a great joy", "the film was dull", "not bad"])
    found = explained(tiny_models, texts, labels=labels, target="label")
    assert [(row.id, row.label, row.target) for row in found] == [("0", 1, 1), ("1", 0, 0)]
    assert list(found.failures) == [2]
    predicted = explained(tiny_models, texts, labels=[1, 0, None], target="predicted")
    assert [row.label for row in predicted] == [1, 0, None]


@pytest.mark.parametrize("label_map", ["0=0,4=1", {0: 0, 4: np.int64(1)}, {"0": "0", 4.0: "1"}])
def test_a_map_says_what_labels_mean_here_too(tiny_models: dict[str, Path], label_map: Any) -> None:
    found = explained(tiny_models, ["good", "bad"], labels=[4, 0], label_map=label_map)
    assert [row.label for row in found] == [1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1]}, "there are 1 labels and 2 texts"),
        ({"labels": [1, 7]}, "7"),
        ({"labels": [1, [0]]}, r"label \[0\] is not a class"),
        ({"labels": pd.DataFrame({"label": [1, 0]})}, "labels is a table"),
        ({"target": -1}, "--target is '-1'; expected predicted, label, all, top:K, a class from 0 to 1"),
        ({"target": 2}, "--target is '2'; expected predicted, label, all, top:K, a class from 0 to 1"),
        ({"target": 0.5}, "target is 0.5; expected a text"),
        ({"n_steps": "5"}, "n_steps is '5'; expected a whole number"),
        ({"n_steps": 5.5}, "n_steps is 5.5; expected a whole number"),
        ({"n_steps": None}, "n_steps is None; expected a whole number"),
        ({"keep_hidden": "yes"}, "keep_hidden is 'yes'; expected True or False"),
        ({"method": "gauslegendre"}, "method is 'gauslegendre'; expected one of .*did you mean gausslegendre"),
        ({"baseline": 0}, "baseline is 0; expected one of"),
        ({"layer": 0}, "layer is 0; expected a text"),
        ({"label_map": {0: [1]}}, r"label_map says \[1\] of 0; expected the number or name of a class"),
        ({"label_map": 4}, "label_map is 4; expected a text"),
        ({"model": None}, "model is None; expected the name of a model directory, or a hub name"),
        ({"model": ""}, "model is ''"),
        ({"model": 3}, "model is 3"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line(
    tiny_models: dict[str, Path], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        explained(tiny_models, ["good", "bad"], **change)
    assert "\n" not in str(caught.value)


def test_settings_may_be_numbers_of_numpy(tiny_models: dict[str, Path]) -> None:
    plain = explained(tiny_models, ["good"])
    other = explained(tiny_models, ["good"], n_steps=np.int32(5), max_length=16.0, keep_hidden=np.bool_(False))
    assert other.to_arrow().equals(plain.to_arrow())


def test_a_model_in_memory_is_refused_with_what_to_do(tiny_models: dict[str, Path]) -> None:
    class Classifier:
        def save_pretrained(self, directory: str) -> None: ...

    with pytest.raises(UsageError, match=r"model is a Classifier; .* model.save_pretrained\(DIRECTORY\) writes one"):
        explained(tiny_models, ["good"], model=Classifier())
