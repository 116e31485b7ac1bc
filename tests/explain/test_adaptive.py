"""The adaptive engine keeps its tolerance, counts what it spends, and is not fooled by completeness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ig_worker.explain.baselines import SpecialIds
from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem, Target
from ig_worker.models.inputs import ModelInput
from tests.explain.engines import SHAPE, adaptive, load, problems, refined

TOLERANCE = 0.005


def adaptive_of(network, **options):
    """An engine of a network that no other test has."""
    from ig_worker.explain.adaptive import AdaptiveEngine

    return AdaptiveEngine(network, shape=SHAPE, **options)


@pytest.mark.parametrize("layer", ["embeddings", "block:0", "block:1", "block:2"])
@pytest.mark.parametrize("architecture", ["distilbert", "bert", "distilbert-head"])
def test_converged_texts_are_within_the_tolerance(tiny_models: dict[str, Path], architecture: str, layer: str) -> None:
    model = tiny_models[architecture]
    cases = problems(load(model), "plain" if "head" in architecture else "bert")
    found, exact = adaptive(model, layer, TOLERANCE, 200).explain(cases), refined(model, layer).explain(cases)
    for a, b, case in zip(found, exact, cases, strict=True):
        assert (a.target, a.prediction) == (b.target, b.prediction)
        assert a.attributions.shape == case.text.ids.shape
        if b.error_estimate < TOLERANCE / 10:  # some of these networks are too sharp even for the reference
            assert a.status == "evaluation_limit" or relative_l1(a.attributions, b.attributions) <= TOLERANCE
    assert np.mean([a.status == "converged" for a in found]) >= 0.8


@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_behind_the_last_block_the_result_is_exact(tiny_models: dict[str, Path], architecture: str) -> None:
    """Only [CLS] reaches the head: the integral is F(x) − F(x') there and 0 elsewhere."""
    model = tiny_models[architecture]
    for found in adaptive(model, "block:2").explain(problems(load(model))):
        change = found.target_probability - found.baseline_probability
        assert found.attributions[0] == pytest.approx(change, abs=2e-4)
        assert (found.attributions[1:] == 0).all()


def test_a_network_known_only_as_two_halves_is_integrated_to_its_exact_value() -> None:
    from ig_worker.models.network import SplitNetwork
    from ig_worker.models.runtime import tf

    rng = np.random.default_rng(3)
    table, u = rng.normal(size=(50, 6)).astype("f4"), 3 * rng.normal(size=6).astype("f4")

    def above(h, mask):
        logit = tf.reduce_sum(tf.einsum("btd,d->bt", h, u) * tf.cast(mask, tf.float32), axis=1)
        return tf.stack([tf.sigmoid(-logit), tf.sigmoid(logit)], axis=1)

    network = SplitNetwork.of(lambda text: tf.gather(table, text.ids), above)
    ids, base = rng.integers(0, 50, 9).astype("i4"), rng.integers(0, 50, 9).astype("i4")
    case = Problem(ModelInput.single(ids, np.ones(9, "i4")), base, Target(1))
    (found,) = adaptive_of(network, max_evaluations=200).explain([case])
    parts = (table[ids] - table[base]).astype("f8") @ u
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    f1, f0 = sigmoid(table[ids].astype("f8").sum(0) @ u), sigmoid(table[base].astype("f8").sum(0) @ u)
    exact = parts / parts.sum() * (f1 - f0)
    assert found.status == "converged"
    assert relative_l1(found.attributions, exact) <= min(TOLERANCE, found.error_estimate)


def test_a_path_through_numbers_that_are_none_does_not_count_as_converged() -> None:
    from ig_worker.models.network import SplitNetwork
    from ig_worker.models.runtime import tf

    def above(h, mask):
        p = tf.sqrt(h[:, 0, 0] * (h[:, 0, 0] - 0.75))  # real at both ends only
        return tf.stack([p, 1.0 - p], axis=1)

    network = SplitNetwork.of(lambda text: tf.cast(text.ids, tf.float32)[:, :, None], above)
    (found,) = adaptive_of(network).explain(
        [Problem(ModelInput.single(np.ones(2, "i4"), np.ones(2, "i4")), np.zeros(2, "i4"), Target(0))]
    )
    assert np.isnan(found.error_estimate)
    assert found.status == "evaluation_limit"


def test_errors_that_cancel_in_the_sum_are_not_taken_for_accuracy() -> None:
    """Two tokens with opposite wavy shares: every rule has delta 0, and few nodes give nonsense for both."""
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.rules import fixed_rule
    from ig_worker.models.network import SplitNetwork
    from ig_worker.models.runtime import tf

    def above(h, mask):
        p = 0.5 + 0.1 * (tf.sin(20.0 * h[:, 0, 0]) - tf.sin(20.0 * h[:, 1, 0]))
        return tf.stack([p, 1.0 - p], axis=1)

    network = SplitNetwork.of(lambda text: tf.cast(text.ids, tf.float32)[:, :, None], above)
    case = Problem(ModelInput.single(np.array([1, 1], "i4"), np.ones(2, "i4")), np.zeros(2, "i4"), Target(0))
    exact = 0.1 * np.sin(20) * np.array([1, -1])
    (few,) = FusedEngine(network, fixed_rule("gausslegendre", 6), SHAPE).explain([case])
    assert abs(few.delta) < 1e-6
    assert relative_l1(few.attributions, exact) > 0.1
    (found,) = adaptive_of(network, max_evaluations=200).explain([case])
    assert relative_l1(found.attributions, exact) <= TOLERANCE


def test_the_limit_of_evaluations_is_kept_and_said(tiny_models: dict[str, Path]) -> None:
    model = tiny_models["distilbert"]
    found = adaptive(model, "embeddings", 1e-5, 20, shape=BatchShape(8, 1024)).explain(problems(load(model)))
    assert all(a.evaluations <= 20 for a in found)
    limited = [a for a in found if a.status == "evaluation_limit"]
    assert limited
    assert all(a.error_estimate > 1e-5 for a in limited)


@pytest.mark.parametrize("tolerance", [0.1, 1e-3])
def test_evaluations_count_every_row_that_the_network_ran(tiny_models, tolerance: float) -> None:
    model = tiny_models["distilbert"]
    engine = adaptive(model, "embeddings", tolerance, shape=BatchShape(8, 1024))
    ran = {"whole": 0, "forward": 0}
    integrate, vectors = engine._programs.integrate, engine._programs.vectors

    def counted_integrate(tasks, n, spread, length):
        ran["whole"] += len(tasks) * n
        return integrate(tasks, n, spread, length)

    def counted_vectors(rows, alphas):
        ran["forward"] += len(rows)
        return vectors(rows, alphas)

    engine._programs.integrate, engine._programs.vectors = counted_integrate, counted_vectors
    cases = problems(load(model))
    spent = sum(a.evaluations for a in engine.explain(cases))
    assert spent == ran["whole"] + 0.5 * (ran["forward"] + len(cases))


def test_nodes_that_do_not_fit_into_one_batch_give_the_same_and_cost_more(tiny_models: dict[str, Path]) -> None:
    model = tiny_models["distilbert"]
    cases = problems(load(model))[:3]
    usual = adaptive(model, "embeddings", 0.02).explain(cases)
    narrow = adaptive(model, "embeddings", 0.02, shape=BatchShape(8, 8)).explain(cases)  # one evaluation at a time
    for a, b in zip(usual, narrow, strict=True):
        assert relative_l1(a.attributions, b.attributions) < 1e-4
        assert b.evaluations > a.evaluations


def test_equal_calls_give_equal_bytes(tiny_models: dict[str, Path]) -> None:
    model = tiny_models["bert"]
    engine, cases = adaptive(model, "embeddings"), problems(load(model))
    first, second = engine.explain(cases), engine.explain(cases)
    assert all((a.attributions == b.attributions).all() for a, b in zip(first, second, strict=True))
    assert [a.evaluations for a in first] == [b.evaluations for b in second]


def test_equal_ids_get_exactly_zero(tiny_models: dict[str, Path]) -> None:
    model = tiny_models["distilbert"]
    cases = problems(load(model))[:4]
    special = list(SpecialIds.of(load(model).tokenizer).special)
    for case, found in zip(cases, adaptive(model, "embeddings").explain(cases), strict=True):
        assert (found.attributions[np.isin(case.text.ids, special)] == 0).all()


@pytest.mark.parametrize("layer", ["embeddings", "block:1"])
def test_hidden_attributions_sum_to_the_attributions(tiny_models: dict[str, Path], layer: str) -> None:
    model = tiny_models["bert"]
    cases = problems(load(model))
    kept = adaptive(model, layer, 0.001, keep_hidden=True).explain(cases)
    plain = adaptive(model, layer, 0.001).explain(cases)
    for a, b, case in zip(kept, plain, cases, strict=True):
        assert a.hidden.shape == (len(case.text.ids), 32)
        np.testing.assert_allclose(a.hidden.sum(axis=1), a.attributions, atol=1e-5)
        assert relative_l1(a.attributions, b.attributions) < 2e-3


def test_the_refined_reference_checks_itself(tiny_models: dict[str, Path]) -> None:
    model = tiny_models["bert"]
    found = refined(model, "block:1").explain(problems(load(model)))
    assert np.median([a.error_estimate for a in found]) < 1e-4
    assert max(abs(a.delta) for a in found) < 1e-3
