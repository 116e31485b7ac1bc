"""The pilot's own work, on tiny networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial import legendre

from ig_worker.explain.calibration import CAUTIOUS
from ig_worker.explain.explanation import STATUS_CONVERGED, STATUS_LIMIT, relative_l1
from ig_worker.explain.node_map import SURVEYED
from ig_worker.explain.pilot_plan import SCOUTS
from ig_worker.explain.product import Spread
from tests.explain.engines import SHAPE, adaptive, load, problems, refined

TOLERANCE, RISK = 0.005, 0.01


@pytest.fixture(scope="module")
def piloted(tiny_models: dict[str, Path]):
    from ig_worker.explain.pilot import PilotEngine

    model = tiny_models["bert"]
    cases, programs = problems(load(model)), adaptive(model, "embeddings").programs
    engine = PilotEngine(load(model).split("embeddings"), TOLERANCE, SHAPE, RISK, programs=programs)
    return model, cases, *engine.calibrate(cases)


def test_its_rows_are_explained_in_their_order_and_better_than_others(piloted) -> None:
    model, cases, _, found = piloted
    for case, one, exact in zip(cases, found, refined(model, "embeddings").explain(cases), strict=True):
        assert len(one.attributions) == case.tokens
        assert one.target == exact.target
        assert relative_l1(one.attributions, exact.attributions) <= TOLERANCE / 5
        assert one.delta == pytest.approx(exact.delta, abs=1e-3)


def test_what_it_learns_is_of_this_network_and_promises_nothing_by_so_few_rows(piloted) -> None:
    _, cases, known, _ = piloted
    assert known.rows == len(cases)
    assert known.certified is None
    assert known.level != CAUTIOUS.level
    assert known.level_spread < CAUTIOUS.level_spread


def test_others_need_fewer_evaluations_and_keep_the_tolerance(piloted) -> None:
    from ig_worker.explain.adaptive import AdaptiveEngine

    model, cases, known, _ = piloted
    engine = adaptive(model, "embeddings", TOLERANCE)
    plain, network = engine.explain(cases), load(model).split("embeddings")
    told = AdaptiveEngine(network, TOLERANCE, shape=SHAPE, programs=engine.programs, calibration=known).explain(cases)
    assert sum(a.evaluations for a in told) < sum(a.evaluations for a in plain)
    for one, exact in zip(told, refined(model, "embeddings").explain(cases), strict=True):
        assert relative_l1(one.attributions, exact.attributions) <= TOLERANCE


def test_slopes_are_those_along_the_mean_gradient_of_the_head(tiny_models: dict[str, Path]) -> None:
    """By the chain rule, what J does in one direction adds up to how far z moves in it."""
    from ig_worker.explain.integrals import open_paths
    from ig_worker.explain.targets import weighted
    from ig_worker.models.runtime import tf

    model = tiny_models["bert"]
    programs, (case, *_) = adaptive(model, "embeddings").programs, problems(load(model))
    (ends,) = open_paths(programs, [case], SHAPE.padded(case.tokens))
    nodes, spread = 16, Spread(0.55, 0.3)
    samples, slopes = programs.slopes([ends.section()], nodes, spread, 64)
    assert (samples.shape[:2], slopes.shape) == ((1, nodes), (1, 64))

    middles = [(cell + 0.5) / 64 for cell in range(64)]
    z = tf.constant(programs.vectors([0] * 64, middles))
    with tf.GradientTape() as tape:
        tape.watch(z)
        chosen = weighted(load(model).split("embeddings").readout(z), tf.constant([ends.weights] * 64))
    gradients = tape.gradient(chosen, z).numpy()
    mean = gradients.mean(axis=0)
    u = mean / np.linalg.norm(mean)
    assert slopes[0] * 64 == pytest.approx(gradients @ u, rel=1e-2, abs=1e-3 * float(np.abs(gradients @ u).max()))
    t, w = legendre.leggauss(nodes)
    assert (w * _derivative(spread, t)) @ samples[0].sum(axis=1) == pytest.approx(u @ (ends.z1 - ends.z0), rel=1e-3)


def _derivative(spread: Spread, t: np.ndarray) -> np.ndarray:
    return (spread.alpha(t + 1e-6) - spread.alpha(t - 1e-6)) / 2e-6


def test_a_large_pilot_finds_where_the_nodes_lie_and_counts_what_that_costs(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ig_worker.explain import pilot, pilot_plan

    model = tiny_models["bert"]
    cases, programs = problems(load(model)), adaptive(model, "embeddings").programs
    engine = pilot.PilotEngine(load(model).split("embeddings"), TOLERANCE, SHAPE, RISK, programs=programs)
    monkeypatch.setattr(pilot, "choose_map", lambda seen, _: Spread(0.55, 0.3) if len(seen) == 8 else Spread())
    _, plain = engine.calibrate(cases)
    monkeypatch.setattr(pilot_plan, "_SURVEYS_FROM", 4)
    known, found = engine.calibrate(cases)
    assert known.spread == Spread(0.55, 0.3)
    more = [one.evaluations - before.evaluations for one, before in zip(found, plain, strict=True)]
    assert more[:SCOUTS] == [0.5 + 1.5 * SURVEYED] * 8 + [0.0] * (SCOUTS - 8)
    for one, exact in zip(found, refined(model, "embeddings").explain(cases), strict=True):
        assert relative_l1(one.attributions, exact.attributions) <= TOLERANCE / 5


def test_what_decides_whether_its_row_is_done_is_what_decides_for_others(piloted) -> None:
    from ig_worker.explain.pilot import PilotEngine

    model, (case, *_), known, _ = piloted
    programs = adaptive(model, "embeddings").programs
    engine = PilotEngine(load(model).split("embeddings"), TOLERANCE, SHAPE, RISK, programs=programs)
    (row,) = engine._observe([case], lambda _: (16,), known)
    unsure = engine._explanation(row, replace(known, start=50.0, raised=-50.0))
    sure = engine._explanation(row, replace(known, start=-50.0, told=(-50.0, 0.0, 0.0, 0.0), raised=900.0))
    assert unsure.status == STATUS_LIMIT
    assert (sure.status, sure.error_estimate) == (STATUS_CONVERGED, TOLERANCE)


def test_a_pilot_counts_every_row_that_the_network_ran(tiny_models: dict[str, Path]) -> None:
    from ig_worker.explain.packing import BatchShape
    from ig_worker.explain.pilot import PilotEngine

    model, ran = tiny_models["distilbert"], 0
    engine = PilotEngine(
        load(model).split("embeddings"), TOLERANCE, BatchShape(8, 1024), RISK,
        programs=adaptive(model, "embeddings").programs,
    )  # fmt: skip
    integrate = engine._programs.integrate

    def counted(sections, n, spread, length):
        nonlocal ran
        ran += len(sections) * n
        return integrate(sections, n, spread, length)

    engine._programs.integrate = counted
    cases = problems(load(model))
    _, found = engine.calibrate(cases)
    assert sum(one.evaluations for one in found) == ran + 0.5 * len(cases)
