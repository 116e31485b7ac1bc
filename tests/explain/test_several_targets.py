"""Several targets of one text: what each alone gives, at the price of shared forward passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.explain.explanation import Explanation, relative_l1
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem
from ig_worker.explain.rules import fixed_rule
from ig_worker.explain.targets import SECOND, Target
from tests.explain import engines
from tests.explain.engines import SHAPE, load, problems
from tests.tiny import save_tiny_model
from tests.truth import TruthEngine, assert_no_further

ENGINES = ("fused", "adaptive")
STEPS = 7
CONTRASTS = (Target(0), Target(2, minus=1), Target(minus=0), Target(minus=SECOND))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Tiny networks by their number of classes."""
    folder = tmp_path_factory.mktemp("classes")
    kinds = {3: "bert", 28: "distilbert"}
    return {n: save_tiny_model(folder / f"{n}", kind, num_labels=n) for n, kind in kinds.items()}


@cache
def _fused(model: Path, keep_hidden: bool) -> Any:
    from ig_worker.explain.fused import FusedEngine

    return FusedEngine(
        load(model).split("embeddings"), fixed_rule("gausslegendre", STEPS), SHAPE, keep_hidden=keep_hidden
    )


def engine(name: str, model: Path, *, keep_hidden: bool = False, lanes: int = 1, most: float = STEPS + 0.5) -> Any:
    """Both with so many nodes for every target: a tolerance that is out of reach, and a limit at the first rule."""
    if name == "fused":
        return _fused(model, keep_hidden)
    return engines.adaptive(model, "embeddings", 1e-5, most, keep_hidden=keep_hidden, lanes=lanes)


def ends(model: Path, count: int = 5) -> list[Problem]:
    """Texts of several lengths, each with a baseline."""
    return problems(load(model))[:count]


def with_each(cases: Sequence[Problem], targets: Sequence[Target]) -> list[Problem]:
    """Every case with every target, by case."""
    return [replace(case, target=target) for case in cases for target in targets]


def all_of(model: Path) -> list[Target]:
    return [Target(c) for c in range(load(model).shape.classes)]


def one_by_one(by: Any, cases: Sequence[Problem]) -> list[Explanation]:
    return [found for case in cases for found in by.explain([case])]


def same_bytes(a: Explanation, b: Explanation) -> bool:
    numbers = [(e.delta, e.error_estimate, e.evaluations, e.target, e.contrast, e.target_probability) for e in (a, b)]
    hidden = [None if e.hidden is None else e.hidden.tobytes() for e in (a, b)]
    return a.attributions.tobytes() == b.attributions.tobytes() and numbers[0] == numbers[1] and hidden[0] == hidden[1]


@pytest.mark.parametrize("classes", [3, 28])
@pytest.mark.parametrize("name", ENGINES)
def test_all_classes_together_are_what_each_is_alone(models, name: str, classes: int) -> None:
    by, cases = engine(name, models[classes]), with_each(ends(models[classes], 3), all_of(models[classes]))
    together, alone = by.explain(cases), one_by_one(by, cases)
    for case, a, b in zip(cases, together, alone, strict=True):
        assert (a.target, a.target, a.contrast) == (case.target.number, b.target, None)
        assert relative_l1(a.attributions, b.attributions) <= 1e-6
        assert a.target_probability == pytest.approx(b.target_probability, abs=1e-6)
        assert a.delta == pytest.approx(b.delta, abs=1e-6)
    assert len({case.tokens for case in cases}) > 1
    assert max(np.abs(a.attributions).sum() for a in together) > 0.05


@pytest.mark.parametrize("classes", [3, 28])
@pytest.mark.parametrize("name", ENGINES)
def test_a_forward_pass_is_paid_once_for_all_targets(models, name: str, classes: int) -> None:
    cases = with_each(ends(models[classes], 1), all_of(models[classes]))
    spent = sum(found.evaluations for found in engine(name, models[classes]).explain(cases))
    at_ends = 1.0 if name == "fused" else 0.5  # the baseline's is shared by texts and counted for none
    assert spent == pytest.approx(STEPS * (1 + classes) / 2 + at_ends)


@pytest.mark.parametrize("tolerance", [0.05, 1e-4])
def test_evaluations_count_what_the_device_did(models, tolerance: float) -> None:
    by = engines.adaptive(models[28], "embeddings", tolerance, 200, shape=BatchShape(8, 1024))
    programs, spent = by._programs, Counter[str]()

    def counted(program: str, cost: Any) -> None:
        run = getattr(programs, program)

        def call(*given: Any) -> Any:
            spent[program] += cost(*given)
            return run(*given)

        setattr(programs, program, call)

    counted("_ends", lambda text, base: 0.5 * len(base))
    counted("_vectors", lambda *given: 0.5 * len(given[-1]))
    counted("_whole", lambda *given: float(given[4].size))
    counted("_whole_several", lambda *given: given[4].size * (1 + len(given[5])) / 2)
    cases = with_each(ends(models[28]), [*all_of(models[28])[:3], Target(1, minus=SECOND)])
    found = by.explain(cases)
    assert sum(one.evaluations for one in found) == pytest.approx(spent.total())
    if tolerance < 1e-3:
        assert len({one.evaluations for one in found}) > 3, "no target took another rule"
        assert spent["_vectors"] > 0, "no path was cut"


def test_what_a_target_lacks_is_not_computed_for_the_others(models) -> None:
    """Second rules and cuts are for the targets that need them; each keeps the limit and the tolerance by itself."""
    cases = with_each(ends(models[3]), all_of(models[3]))
    by = engines.adaptive(models[3], "embeddings", 1e-3, 64)
    together, alone = by.explain(cases), one_by_one(by, cases)
    assert sum(a.evaluations for a in together) < 0.85 * sum(b.evaluations for b in alone)
    assert all(a.evaluations <= 64 for a in together)
    exact = engines.refined(models[3], "embeddings").explain(cases)
    for a, b in zip(together, exact, strict=True):
        if b.error_estimate < 1e-4:
            assert a.status == "evaluation_limit" or relative_l1(a.attributions, b.attributions) <= 1e-3


def test_the_refined_reference_shares_too(models) -> None:
    cases = with_each(ends(models[3], 2), all_of(models[3]))
    by = engines.refined(models[3], "embeddings")
    together, alone = by.explain(cases), one_by_one(by, cases)
    assert sum(a.evaluations for a in together) == pytest.approx(2 * (72 * 2 + 0.5))
    assert max(relative_l1(a.attributions, b.attributions) for a, b in zip(together, alone, strict=True)) <= 1e-6


@pytest.mark.parametrize("name", ENGINES)
def test_a_class_has_the_bits_that_it_has_in_a_network_of_no_other(models, name: str) -> None:
    """Weights of 0 and 1 change nothing: x · 1 + 0 is exact. And a network may have one output."""
    from ig_worker.explain.adaptive import AdaptiveEngine
    from ig_worker.explain.fused import FusedEngine

    network, number = load(models[3]).split("embeddings"), 2
    single = replace(network, readout=lambda z: network.readout(z)[:, number : number + 1])

    def explained(of: Any, target: Target) -> list[Explanation]:
        cases = with_each(ends(models[3], 3), [target])
        if name == "fused":
            return FusedEngine(of, fixed_rule("gausslegendre", STEPS), SHAPE).explain(cases)
        return AdaptiveEngine(of, 0.01, shape=SHAPE).explain(cases)

    for a, b in zip(explained(network, Target(number)), explained(single, Target(0)), strict=True):
        assert a.attributions.tobytes() == b.attributions.tobytes()
        assert (a.delta, a.error_estimate, a.evaluations) == (b.delta, b.error_estimate, b.evaluations)


@pytest.mark.parametrize("name", ENGINES)
def test_outputs_need_not_sum_to_one(models, name: str) -> None:
    """As those of labels that do not exclude each other, or values that are no probabilities."""
    from ig_worker.explain.adaptive import AdaptiveEngine
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.models.runtime import tf

    network = load(models[3]).split("embeddings")
    scale = tf.constant([[1.0, 5.0, -3.0]])
    apart = replace(network, readout=lambda z: scale * tf.sigmoid(5 * network.readout(z)))
    if name == "fused":
        by: Any = FusedEngine(apart, fixed_rule("gausslegendre", 60), SHAPE)
    else:
        by = AdaptiveEngine(apart, 1e-3, 200, SHAPE)
    cases = with_each(ends(models[3], 3), [Target(0), Target(1), Target(2), Target(1, minus=2)])
    for found in by.explain(cases):
        norm = float(np.abs(found.attributions).sum())
        assert found.attributions.sum() == pytest.approx(
            found.target_probability - found.baseline_probability, abs=2e-3 * max(norm, 0.01)
        )
    assert max(abs(found.target_probability) for found in by.explain(cases)) > 1


@pytest.mark.parametrize("name", ENGINES)
def test_the_attributions_of_a_contrast_are_the_difference_of_two(models, name: str) -> None:
    cases = with_each(ends(models[3]), [Target(2), Target(1), Target(2, minus=1)])
    found = engine(name, models[3]).explain(cases)
    for a, b, contrast in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert (contrast.target, contrast.contrast) == (2, 1)
        assert relative_l1(contrast.attributions, a.attributions - b.attributions) <= 1e-5
        assert contrast.target_probability == a.target_probability - b.target_probability
        assert contrast.baseline_probability == a.baseline_probability - b.baseline_probability
        assert contrast.delta == pytest.approx(a.delta - b.delta, abs=1e-6)


def test_contrasts_are_complete(models) -> None:
    cases = with_each(ends(models[3]), [Target(2, minus=1), Target(minus=0), Target(minus=SECOND)])
    found = engines.adaptive(models[3], "embeddings", 0.005, 200).explain(cases)
    assert {one.status for one in found} == {"converged"}
    for one in found:
        change = one.probabilities[one.target] - one.probabilities[one.contrast]
        assert one.target_probability == pytest.approx(float(change), abs=1e-7)
        change = one.target_probability - one.baseline_probability
        norm = float(np.abs(one.attributions).sum())
        assert float(one.attributions.sum()) == pytest.approx(change, abs=0.005 * max(norm, 0.01) + 1e-6)


def test_a_prediction_less_itself_is_zero(models) -> None:
    """That the class to be taken away is the predicted one shows at the text only."""
    (case, *_) = ends(models[3])
    (plain,) = engine("fused", models[3]).explain([replace(case, target=Target())])
    for name in ENGINES:
        (found,) = engine(name, models[3]).explain([replace(case, target=Target(minus=plain.target))])
        assert (found.target, found.contrast) == (plain.target, plain.target)
        assert not found.attributions.any()
        assert (found.target_probability, found.baseline_probability, found.delta) == (0, 0, 0)


@pytest.mark.parametrize("classes", [3, 28])
def test_contrasts_and_classes_are_alibis(models, classes: int) -> None:
    from ig_worker.explain.reference import AlibiEngine

    classifier = load(models[classes])
    cases = with_each(ends(models[classes]), CONTRASTS)
    ours = engine("fused", models[classes]).explain(cases)
    theirs = AlibiEngine(classifier, "embeddings", "gausslegendre", STEPS).explain(cases)
    scalars = [case.target.of(a.probabilities) for case, a in zip(cases, ours, strict=True)]
    truth = TruthEngine(classifier, "embeddings").explain(fixed_rule("gausslegendre", STEPS), cases, scalars)
    for a, b, exact in zip(ours, theirs, truth, strict=True):
        assert (a.target, a.contrast) == (b.target, b.contrast)
        assert relative_l1(a.attributions, b.attributions) <= 1e-4
        assert_no_further(a.attributions, b.attributions, exact.attributions)
        assert a.target_probability == pytest.approx(b.target_probability, abs=1e-5)
        assert (b.evaluations, a.evaluations) == (STEPS + 1, STEPS * (0.5 + 0.5 / 4) + 1 / 4)


@pytest.mark.parametrize("keep_hidden", [False, True])
def test_bytes_do_not_depend_on_lanes_nor_on_the_order_of_targets(models, keep_hidden: bool) -> None:
    cases = with_each(ends(models[3]), [*all_of(models[3]), Target(minus=SECOND)])
    one, two = (
        engines.adaptive(models[3], "embeddings", 1e-3, keep_hidden=keep_hidden, lanes=lanes).explain(cases)
        for lanes in (1, 2)
    )
    assert all(map(same_bytes, one, two))
    count = len(CONTRASTS)
    by_target = [cases[i] for t in range(count) for i in range(t, len(cases), count)]  # neighbours are no longer so
    other = engines.adaptive(models[3], "embeddings", 1e-3, keep_hidden=keep_hidden).explain(by_target)
    again = [other[i] for first in range(len(cases) // count) for i in range(first, len(cases), len(cases) // count)]
    assert all(map(same_bytes, one, again))


@pytest.mark.parametrize("name", ENGINES)
def test_a_text_with_one_target_has_its_bytes_beside_texts_with_several(models, name: str) -> None:
    first, *others = ends(models[3])
    several, single = with_each([first], all_of(models[3])), with_each(others, [Target()])
    by = engine(name, models[3], most=64)
    alone, apart = by.explain(single), by.explain(several)
    mixed = by.explain([*single[:2], *several, *single[2:]])
    assert all(map(same_bytes, alone, [*mixed[:2], *mixed[5:]]))
    assert all(map(same_bytes, apart, mixed[2:5]))


@pytest.mark.parametrize("name", ENGINES)
def test_however_rows_are_grouped_decisions_are_the_same(models, name: str) -> None:
    rows = [with_each([case], all_of(models[3])) for case in ends(models[3])]
    by = engine(name, models[3]) if name == "fused" else engines.adaptive(models[3], "embeddings", 1e-3, 200)
    together = by.explain([case for row in rows for case in row])
    for a, b in zip(together, [found for row in rows for found in by.explain(row)], strict=True):
        assert (a.evaluations, a.status) == (b.evaluations, b.status)
        assert relative_l1(a.attributions, b.attributions) <= 1e-6


@pytest.mark.parametrize("name", ENGINES)
def test_hidden_attributions_of_several_targets_sum_to_the_attributions(models, name: str) -> None:
    """More targets than are held at a time where hidden units are kept."""
    cases = with_each(ends(models[28], 2), all_of(models[28]))
    kept, plain = (engine(name, models[28], keep_hidden=keep).explain(cases) for keep in (True, False))
    for a, b, case in zip(kept, plain, cases, strict=True):
        assert a.hidden is not None
        assert a.hidden.shape == (case.tokens, 32)
        np.testing.assert_allclose(a.hidden.sum(axis=1), a.attributions, atol=1e-5)
        assert relative_l1(a.attributions, b.attributions) <= 1e-5


@pytest.mark.parametrize("keep_hidden", [False, True])
def test_targets_of_paths_that_do_not_fit_at_once_are_the_same_and_cost_more(models, keep_hidden: bool) -> None:
    cases = with_each(ends(models[3], 3), all_of(models[3]))
    usual = engine("adaptive", models[3], keep_hidden=keep_hidden).explain(cases)
    narrow = engines.adaptive(
        models[3], "embeddings", 1e-5, STEPS + 0.5, keep_hidden=keep_hidden, shape=BatchShape(8, 8)
    ).explain(cases)  # one evaluation at a time
    for a, b in zip(usual, narrow, strict=True):
        assert relative_l1(a.attributions, b.attributions) <= 1e-5
        assert b.evaluations == pytest.approx(a.evaluations + 0.5 * STEPS / 3)
