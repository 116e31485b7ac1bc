"""Which scalar a target is, at a text."""

from __future__ import annotations

import numpy as np
import pytest

from ig_worker.errors import UsageError
from ig_worker.explain.calibration import Ends
from ig_worker.explain.targets import PREDICTED, SECOND, Scalar, Target, weighted, weights_of

OUTPUTS = np.array([0.2, 0.5, 0.25, 0.05], np.float32)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(), Scalar(1)),
        (Target(3), Scalar(3)),
        (Target(0, minus=2), Scalar(0, 2)),
        (Target(minus=0), Scalar(1, 0)),
        (Target(minus=SECOND), Scalar(1, 2)),
        (Target(0, minus=SECOND), Scalar(0, 1)),
        (Target(0, minus=PREDICTED), Scalar(0, 1)),
    ],
)
def test_a_target_is_decided_from_the_outputs_at_the_text(target: Target, expected: Scalar) -> None:
    assert target.of(OUTPUTS) == expected


def test_the_second_of_two_equal_outputs_is_not_the_first() -> None:
    assert Target(minus=SECOND).of(np.array([0.5, 0.5], np.float32)) == Scalar(0, 1)
    assert Target(minus=SECOND).of(np.full(3, -np.inf, np.float32)).contrast != 0


def test_a_scalar_is_the_sum_of_its_weights_times_the_outputs() -> None:
    for scalar, f in ((Scalar(1), 0.5), (Scalar(1, 2), 0.25), (Scalar(3, 0), -0.15), (Scalar(2, 2), 0.0)):
        assert scalar.of(OUTPUTS) == pytest.approx(f, abs=1e-7)
        assert scalar.weights(4) @ OUTPUTS == pytest.approx(f, abs=1e-7)
    assert weights_of([Scalar(1), Scalar(1, 0)], 3).tolist() == [[0, 1, 0], [-1, 1, 0]]


def test_the_weights_of_one_class_give_its_output_to_the_bit() -> None:
    outputs = np.random.default_rng(0).normal(size=(28, 28)).astype(np.float32)
    weights = weights_of([Scalar(c) for c in range(28)], 28)
    assert (weighted(outputs, weights).numpy() == np.diag(outputs)).all()


def test_a_class_less_itself_is_nothing() -> None:
    outputs = np.array([0.1, 0.2, 0.4], np.float32)
    assert Target(1, minus=1).of(outputs).of(outputs) == 0
    assert Target(minus=2).of(outputs).of(outputs) == 0


@pytest.mark.parametrize(("rank", "number"), [(0, 2), (1, 0), (2, 3), (3, 1)])
def test_ranks_are_those_of_the_outputs_and_of_equal_ones_the_lower_number_comes_first(rank: int, number: int) -> None:
    assert Target(rank=rank).of(np.array([0.2, 0.1, 0.5, 0.2], np.float32)) == Scalar(number)


@pytest.mark.parametrize("target", [Target(4), Target(0, minus=4), Target(minus=-1), Target(rank=4)])
def test_a_class_that_the_network_does_not_have_is_wrong_use(target: Target) -> None:
    with pytest.raises(UsageError, match=r"a class of the target is -?\d; expected 0 to 3"):
        target.of(OUTPUTS)


def test_a_network_with_one_output_has_no_second() -> None:
    assert Target().of(np.array([-3.0], np.float32)) == Scalar(0)
    with pytest.raises(UsageError, match="a network with one output; expected two or more"):
        Target(minus=SECOND).of(np.array([-3.0], np.float32))


def test_of_two_classes_a_contrast_shows_at_its_ends_what_its_class_shows() -> None:
    """Its attributions are twice those of the class: so it needs as many nodes."""
    at_input, at_baseline = np.array([0.1, 0.9]), np.array([0.6, 0.4])
    contrast, alone = (
        Ends.of(*(scalar.as_probability(scalar.of(p)) for p in (at_input, at_baseline)), 7)
        for scalar in (Scalar(1, 0), Scalar(1))
    )
    assert contrast.change == pytest.approx(alone.change)
    assert contrast.odds == pytest.approx(alone.odds)
