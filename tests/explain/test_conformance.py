"""The fused engine gives alibi's numbers for every rule, layer, baseline and architecture; and the exact ones.

Where a network is saturated, float32 itself is uncertain: a probability of 0.99999 has but two digits left of what it
lacks to 1, and alibi's gradient goes through that. There both are held against the truth in float64.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.explain.baselines import SpecialIds
from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem, Target
from ig_worker.explain.rules import RULES, fixed_rule
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.inputs import ModelInput
from tests.explain.engines import SHAPE, TEXTS, load, problems
from tests.truth import ROUNDING, ROUNDING_OF_PROBABILITY, TruthEngine, assert_no_further

STEPS = 7
FIRST = ("distilbert", "bert")
# transformers' TensorFlow networks and alibi walk through the two; others' networks are held against PyTorch's in
# tests/models/test_golden.py, and alibi integrates our functions. Those of XLM-RoBERTa and CamemBERT are RoBERTa's.
OTHERS = [name for name in ENCODERS if name not in FIRST]
LIMIT = 1e-4  # of the contract
LAYERS = ("embeddings", "block:0", "block:1", "block:2")


@cache
def engines(directory: Path, layer: str) -> tuple[Any, Any]:
    """The fused engine and the truth of a network and a layer; tracing their programs takes seconds."""
    from ig_worker.explain.fused import FusedEngine

    classifier = load(directory)
    return FusedEngine(classifier.split(layer), fixed_rule("riemann_left", 2), SHAPE), TruthEngine(classifier, layer)


def fused(directory: Path, layer: str, method: str, steps: int) -> Any:
    engine = copy.copy(engines(directory, layer)[0])
    engine._rule = fixed_rule(method, steps)  # which no program depends on
    return engine


def compare(directory: Path, layer: str, method: str, style: str = "bert", *, saturated: bool = False) -> None:
    from tests.explain.alibi_network import AlibiOverTransformers

    classifier = load(directory)
    cases = problems(classifier, style)
    theirs = AlibiOverTransformers(directory, classifier, layer, method, STEPS).explain(cases)
    ours = fused(directory, layer, method, STEPS).explain(cases)
    truth = engines(directory, layer)[1].explain(fixed_rule(method, STEPS), cases, [a.target for a in ours])
    for a, b, exact, case in zip(ours, theirs, truth, cases, strict=True):
        assert a.attributions.shape == case.text.ids.shape
        assert saturated or relative_l1(a.attributions, b.attributions) <= LIMIT
        assert_no_further(a.attributions, b.attributions, exact.attributions)
        assert (a.target, a.prediction, a.evaluations) == (b.target, b.prediction, STEPS + 1)
        np.testing.assert_allclose(a.probabilities, exact.probabilities, atol=ROUNDING_OF_PROBABILITY)
        at_baseline = exact.baseline_probabilities[a.target]
        assert a.baseline_probability == pytest.approx(at_baseline, abs=ROUNDING_OF_PROBABILITY)
        # A delta is the sum of the attributions less two probabilities.
        wrong = np.abs(a.attributions - exact.attributions).sum()
        assert a.delta == pytest.approx(exact.delta, abs=wrong + 2 * ROUNDING_OF_PROBABILITY)
    assert max(np.abs(a.attributions).sum() for a in ours) > 0.1, "the networks are too flat to show a mistake"


# A rule is its nodes and weights, which tests/explain/test_rules.py holds against alibi's. So every layer with one rule
# and every rule at one layer are quick; `make test-all` goes through all pairs.
PAIRS = [
    pytest.param(
        layer, method, marks=[] if method == "gausslegendre" or LAYERS[i % len(LAYERS)] == layer else pytest.mark.heavy
    )
    for i, method in enumerate(RULES)
    for layer in LAYERS
]


@pytest.mark.parametrize(("layer", "method"), PAIRS)
@pytest.mark.parametrize("architecture", FIRST)
def test_the_fused_engine_gives_alibis_numbers(tiny_models, architecture: str, layer: str, method: str) -> None:
    compare(tiny_models[architecture], layer, method)


@pytest.mark.parametrize("architecture", FIRST)
@pytest.mark.parametrize("layer", ["embeddings", "block:1"])
def test_padding_that_style_plain_keeps_is_explained_as_alibi_does(tiny_models, architecture: str, layer: str) -> None:
    compare(tiny_models[architecture], layer, "gausslegendre", style="plain")


UNLIKE_BERT = ("roberta", "deberta-v2", "modernbert")  # in positions, in attention, in blocks; each takes seconds
AGAINST_ALIBI = [
    pytest.param(name, layer, marks=[] if layer == "embeddings" and name in UNLIKE_BERT else pytest.mark.heavy)
    for name in OTHERS
    for layer in ("embeddings", "block:0", "block:1", "block:2")
]


@pytest.mark.parametrize(("architecture", "layer"), AGAINST_ALIBI)
def test_other_encoders_pass_alibis_audit(tiny_models, architecture: str, layer: str) -> None:
    from ig_worker.explain.reference import AlibiEngine

    classifier = load(tiny_models[architecture])
    cases = problems(classifier)
    theirs = AlibiEngine(classifier, layer, "gausslegendre", STEPS).explain(cases)
    ours = fused(tiny_models[architecture], layer, "gausslegendre", STEPS).explain(cases)
    truth = engines(tiny_models[architecture], layer)[1].explain(
        fixed_rule("gausslegendre", STEPS), cases, [a.target for a in ours]
    )
    for a, b, exact in zip(ours, theirs, truth, strict=True):
        assert relative_l1(a.attributions, b.attributions) <= LIMIT
        assert_no_further(a.attributions, b.attributions, exact.attributions)
        assert (a.target, a.prediction) == (b.target, b.prediction)
    assert max(np.abs(a.attributions).sum() for a in ours) > 0.1, "the networks are too flat to show a mistake"


@pytest.mark.parametrize("architecture", ["distilbert-head", "bert-head"])
@pytest.mark.parametrize("layer", ["embeddings", "block:0", "block:2"])
def test_a_head_that_reads_all_positions_conforms(tiny_models, architecture: str, layer: str) -> None:
    """These networks are saturated: most probabilities are above 0.99999 or below 0.00001."""
    compare(tiny_models[architecture], layer, "gausslegendre", style="plain", saturated=True)


@pytest.mark.parametrize("architecture", [*FIRST, "distilbert-head"])
@pytest.mark.parametrize("layer", ["embeddings", "block:1"])
def test_alibi_says_the_same_of_our_functions_as_of_transformers_network(tiny_models, architecture, layer) -> None:
    """The engine that audits has alibi integrate our functions: so it goes for every encoder that they know."""
    from ig_worker.explain.reference import AlibiEngine
    from tests.explain.alibi_network import AlibiOverTransformers

    directory, classifier = tiny_models[architecture], load(tiny_models[architecture])
    cases = problems(classifier, "plain" if architecture.endswith("head") else "bert")[: len(TEXTS)]
    ours = AlibiEngine(classifier, layer, "riemann_trapezoid", STEPS).explain(cases)
    theirs = AlibiOverTransformers(directory, classifier, layer, "riemann_trapezoid", STEPS).explain(cases)
    for a, b in zip(ours, theirs, strict=True):
        assert relative_l1(a.attributions, b.attributions) <= LIMIT
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=ROUNDING_OF_PROBABILITY)


@pytest.mark.parametrize("architecture", ["distilbert-head", "bert-head"])
def test_a_saturated_network_is_explained_to_float32s_digits(tiny_models, architecture: str) -> None:
    """Where alibi's own numbers are some 1e-5 and more from the truth: see `models.elementwise.softmax`."""
    directory = tiny_models[architecture]
    cases = problems(load(directory), "plain")
    ours = fused(directory, "block:2", "gausslegendre", STEPS).explain(cases)
    rule = fixed_rule("gausslegendre", STEPS)
    truth = engines(directory, "block:2")[1].explain(rule, cases, [a.target for a in ours])
    worst = max(relative_l1(a.attributions, exact.attributions) for a, exact in zip(ours, truth, strict=True))
    assert worst <= ROUNDING


@pytest.mark.parametrize("architecture", FIRST)
def test_alibi_explains_groups_of_several_sizes(tiny_models, architecture: str) -> None:
    """As real texts make them: here of two texts, and one of a single one."""
    from ig_worker.explain.reference import AlibiEngine

    classifier = load(tiny_models[architecture])
    cases = problems(classifier)
    cases = [case for case in cases if case.tokens == cases[0].tokens][:3]
    shape = BatchShape(length_multiple=8, batch_tokens=2 * cases[0].tokens)
    together = AlibiEngine(classifier, "embeddings", "gausslegendre", STEPS, shape=shape).explain(cases)
    for case, found in zip(cases, together, strict=True):
        (alone,) = AlibiEngine(classifier, "embeddings", "gausslegendre", STEPS).explain([case])
        assert relative_l1(found.attributions, alone.attributions) < 1e-5


@pytest.mark.parametrize(("labels", "architecture"), [(1, "distilbert"), (1, "bert"), (3, "bert")])
def test_other_numbers_of_logits_conform(tmp_path: Path, labels: int, architecture: str) -> None:
    from tests.tiny import save_tiny_model

    compare(save_tiny_model(tmp_path / "m", architecture, num_labels=labels), "embeddings", "gausslegendre")


@pytest.mark.parametrize("method", RULES)
def test_the_exact_integral_of_a_logistic_model_is_reached(method: str) -> None:
    """For F = sigmoid(Σ u·h) the integral is known: a[i] = u·(h − h')[i] / Σ u·(h − h') · (F(x) − F(x'))."""
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.models.network import SplitNetwork
    from ig_worker.models.runtime import tf

    rng = np.random.default_rng(3)
    table, u = rng.normal(size=(50, 6)).astype("f4"), rng.normal(size=6).astype("f4")

    def above(h, mask):
        logit = tf.reduce_sum(tf.einsum("btd,d->bt", h, u) * tf.cast(mask, tf.float32), axis=1)
        return tf.stack([tf.sigmoid(-logit), tf.sigmoid(logit)], axis=1)

    network = SplitNetwork.of(lambda text: tf.gather(table, text.ids), above)
    ids, base = rng.integers(0, 50, 9).astype("i4"), rng.integers(0, 50, 9).astype("i4")
    found = FusedEngine(network, fixed_rule(method, 400), SHAPE).explain(
        [Problem(ModelInput.single(ids, np.ones(9, "i4")), base, Target(1))]
    )[0]
    parts = (table[ids] - table[base]).astype("f8") @ u
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    f1, f0 = sigmoid(table[ids].astype("f8").sum(0) @ u), sigmoid(table[base].astype("f8").sum(0) @ u)
    exact = parts / parts.sum() * (f1 - f0)
    # One-sided Riemann sums are of first order: their error is (F'(1) - F'(0)) / 2n.
    one_sided = method in ("riemann_left", "riemann_right")
    assert relative_l1(found.attributions, exact) < (2e-2 if one_sided else 1e-4)


@pytest.mark.parametrize("architecture", [*ENCODERS])
def test_equal_ids_get_exactly_zero_at_the_embeddings(tiny_models, architecture: str) -> None:
    classifier = load(tiny_models[architecture])
    cases = problems(classifier)[: len(TEXTS)]  # baseline pad
    special = SpecialIds.of(classifier.tokenizer).special
    engine = fused(tiny_models[architecture], "embeddings", "gausslegendre", 4)
    for case, found in zip(cases, engine.explain(cases), strict=True):
        kept = np.isin(case.text.ids, list(special))
        assert kept.sum() >= 2
        assert (found.attributions[kept] == 0).all()


# BERT's tanh head is smooth; the kinks of DistilBERT's ReLU head leave Gauss-Legendre at first order.
@pytest.mark.parametrize(("architecture", "reachable"), [("distilbert", 1e-3), ("bert", 1e-5)])
def test_behind_the_last_block_all_attribution_is_at_cls_and_exact(tiny_models, architecture, reachable) -> None:
    """Only [CLS] reaches the head, so the integral is F(x) − F(x') there and 0 elsewhere."""
    engine = fused(tiny_models[architecture], "block:2", "gausslegendre", 400)
    for found in engine.explain(problems(load(tiny_models[architecture]))):
        exact = found.target_probability - found.baseline_probability
        assert found.attributions[0] == pytest.approx(exact, abs=reachable)
        assert (found.attributions[1:] == 0).all()


def test_results_do_not_depend_on_the_company_a_document_keeps(tiny_models) -> None:
    cases = problems(load(tiny_models["distilbert"]))
    engine = fused(tiny_models["distilbert"], "embeddings", "gausslegendre", 5)
    together = engine.explain(cases)
    for case, found in zip(cases, together, strict=True):
        assert relative_l1(engine.explain([case])[0].attributions, found.attributions) < 1e-5


def test_the_relative_difference_has_a_floor_for_saturated_texts() -> None:
    assert relative_l1([1e-6, 0], [0, 0]) == pytest.approx(1e-4)
    assert relative_l1([1, 1], [1, 3]) == pytest.approx(0.5)
