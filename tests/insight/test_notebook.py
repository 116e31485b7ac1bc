"""The notebook interface, on tiny networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ig_worker
from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.heat import joined

TEXTS = ["the film was slowly dull", None, "a <b>great</b> joy"]


@pytest.fixture(scope="module")
def found(tiny_models: dict[str, Path]):
    return ig_worker.explain(
        TEXTS, model=str(tiny_models["distilbert"]), method="gausslegendre", n_steps=5, max_length=16, keep_hidden=True
    )


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
