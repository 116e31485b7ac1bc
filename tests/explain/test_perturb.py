"""Rankings, the texts that they make, and what the curves say: on functions whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ig_worker.errors import UsageError
from ig_worker.explain.baselines import SpecialIds
from ig_worker.explain.perturb import Curves, Eraser, Grid, ModelInput, ranked, shuffled

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = SpecialIds(PAD, MASK, UNK, frozenset(range(5)))
GRID = Grid((0.01, 0.05, 0.1, 0.2, 0.5), 10)
EFFECTS = st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=40).map(np.array)
NUMBER = {name: i for i, name in enumerate(GRID.names)}


def text(n: int) -> ModelInput:
    """[CLS], n different ordinary tokens, [SEP]."""
    ids = np.array([CLS, *range(5, 5 + n), SEP], np.int32)
    return ModelInput.single(ids)


def curves(
    f: Callable[[ModelInput], float], x: ModelInput, order: np.ndarray, eraser: Eraser, grid: Grid = GRID
) -> Curves:
    counts = grid.counts(len(order))
    return Curves(
        counts,
        np.array([f(eraser.without(x, order[:k])) for k in counts]),
        np.array([f(eraser.without(x, order[k:])) for k in counts]),
    )


def additive(effects: np.ndarray) -> Callable[[ModelInput], float]:
    return lambda x: float(sum(effects[id - 5] for id in x.ids.tolist() if id >= 5))


@settings(deadline=None)
@given(st.integers(1, 60), st.sampled_from(["mask", "pad", "delete"]), st.data())
def test_only_the_ordinary_tokens_that_were_named_are_taken(n: int, kind: str, data: st.DataObject) -> None:
    x, eraser = text(n), Eraser(kind, SPECIAL)
    assert eraser.ordinary(x.ids).tolist() == list(range(1, n + 1))
    taken = np.array(data.draw(st.lists(st.integers(1, n), unique=True)), np.int64)
    found = eraser.without(x, taken)
    kept = [id for position, id in enumerate(x.ids.tolist()) if position not in taken.tolist()]
    assert [id for id in found.ids.tolist() if id not in (PAD, MASK)] == kept
    assert len(found.ids) == len(found.mask) == (n + 2 - len(taken) if kind == "delete" else n + 2)
    assert found.mask.all()


def test_a_text_whose_padding_counts_keeps_its_length_and_hides_what_fills_it() -> None:
    x = ModelInput.single(np.array([7, 8, 9, PAD], np.int32), np.array([1, 1, 1, 0], np.int32))
    found = Eraser("delete", SPECIAL, keep_length=True).without(x, np.array([1]))
    assert (found.ids.tolist(), found.mask.tolist()) == ([7, 9, PAD, PAD], [1, 1, 0, 0])


def test_a_replacement_that_the_tokenizer_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match="--replace is 'mask', and the model's tokenizer has no such token"):
        Eraser("mask", SpecialIds(PAD, None, UNK, frozenset({PAD, UNK})))


def test_tokens_are_ranked_by_signed_score_and_ties_by_position() -> None:
    scores = np.array([9.0, 0.5, -2.0, 0.5, 0.7, 9.0])
    assert ranked(scores, np.array([1, 2, 3, 4])).tolist() == [4, 1, 3, 2]


def test_a_random_ranking_depends_on_the_id_alone() -> None:
    positions = np.arange(1, 30)
    a, b = shuffled("row-1", positions), shuffled("row-2", positions)
    assert a.tolist() == shuffled("row-1", positions).tolist() != b.tolist()
    assert sorted(a.tolist()) == positions.tolist()


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 20))
def test_counts_ascend_from_none_to_all(n: int, steps: int) -> None:
    counts = Grid((0.01, 0.5), steps).counts(n)
    assert (counts[0], counts[-1]) == (0, n)
    assert (np.diff(counts) > 0).all()


def test_at_a_fraction_its_part_of_the_tokens_is_taken_and_at_least_one() -> None:
    x, order = text(30), np.arange(1, 31)
    numbers = Grid((0.01, 0.05, 0.5), 2).measure(curves(additive(np.ones(30)), x, order, Eraser("mask", SPECIAL)))
    assert numbers[:3].tolist() == [1, 2, 15]  # 1.5 tokens are 2
    assert numbers[3:6].tolist() == [29, 28, 15]


@settings(deadline=None)
@given(EFFECTS, st.sampled_from(["mask", "pad", "delete"]))
def test_the_ends_of_the_curves_are_the_text_and_the_text_without_tokens(effects: np.ndarray, kind: str) -> None:
    x, f, eraser = text(len(effects)), additive(effects), Eraser(kind, SPECIAL)
    numbers = GRID.measure(curves(f, x, shuffled("a", eraser.ordinary(x.ids)), eraser))
    nothing = f(eraser.without(x, eraser.ordinary(x.ids)))
    found = [numbers[NUMBER[name]] for name in (("deletion", 0), ("insertion", 1), ("deletion", 1), ("insertion", 0))]
    assert found == [f(x), f(x), nothing, nothing]


@settings(deadline=None)
@given(EFFECTS, st.text(max_size=5))
def test_no_ranking_beats_the_true_effects_of_an_additive_function(effects: np.ndarray, id: str) -> None:
    x, f, eraser = text(len(effects)), additive(effects), Eraser("mask", SPECIAL)
    positions = eraser.ordinary(x.ids)
    best = GRID.measure(curves(f, x, ranked([0, *effects, 0], positions), eraser))
    other = GRID.measure(curves(f, x, shuffled(id, positions), eraser))
    more = [name in ("comprehensiveness", "comprehensiveness_aopc", "insertion_auc", "insertion") for name, _ in NUMBER]
    assert (np.where(more, best - other, other - best) >= -1e-9).all()


def test_one_decisive_token_is_the_whole_comprehensiveness_of_a_ranking_that_finds_it() -> None:
    x, eraser = text(20), Eraser("delete", SPECIAL)
    f = lambda x: 0.9 if 12 in x.ids else 0.1  # noqa: E731
    knows = np.where(x.ids == 12, 1.0, 0.0)
    found = GRID.measure(curves(f, x, ranked(knows, eraser.ordinary(x.ids)), eraser))
    missed = GRID.measure(curves(f, x, ranked(-knows, eraser.ordinary(x.ids)), eraser))
    at_one = NUMBER["comprehensiveness", 0.01], NUMBER["sufficiency", 0.01]
    assert found[[*at_one]] == pytest.approx([0.8, 0])
    assert missed[[*at_one]] == pytest.approx([0, 0.8])


def test_areas_and_means_are_those_of_a_worked_example() -> None:
    given = Curves(np.array([0, 1, 2, 4]), np.array([0.8, 0.4, 0.2, 0.0]), np.array([0.0, 0.2, 0.6, 0.8]))
    grid = Grid((0.25, 0.5), 2)
    numbers = dict(zip(grid.names, grid.measure(given), strict=True))
    assert numbers["comprehensiveness_aopc", None] == pytest.approx((0.4 + 0.6) / 2)
    assert numbers["sufficiency_aopc", None] == pytest.approx((0.6 + 0.2) / 2)
    assert numbers["deletion_auc", None] == pytest.approx((0.8 + 0.2) / 4 + (0.2 + 0.0) / 4)
    assert numbers["insertion_auc", None] == pytest.approx((0.0 + 0.6) / 4 + (0.6 + 0.8) / 4)
