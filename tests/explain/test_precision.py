"""Matrix products in bfloat16 are near those in float32, and float32 is what it was."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.rules import fixed_rule
from tests.explain.engines import SHAPE, load, problems

# TensorFlow asks the processor whether it multiplies bfloat16, and oneDNN then lacks what it was told not to use.
pytestmark = pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ, reason="oneDNN may not use all that this processor has"
)


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "distilbert-head"])
def test_bfloat16_rounds_a_little(tiny_models, architecture: str) -> None:
    from ig_worker.explain.fused import FusedEngine

    classifier = load(tiny_models[architecture])
    cases = problems(classifier, "plain" if architecture.endswith("head") else "bert")
    rule = fixed_rule("gausslegendre", 7)
    exact, rounded = (
        FusedEngine(classifier.split("embeddings", precision), rule, SHAPE).explain(cases)
        for precision in ("float32", "bfloat16")
    )
    apart = [relative_l1(a.attributions, b.attributions) for a, b in zip(rounded, exact, strict=True)]
    assert all(a.attributions.dtype == np.float32 for a in rounded)
    assert min(apart) > 0
    assert np.median(apart) < 0.05  # these networks are sharp: single texts differ by up to 0.4


def test_what_one_row_needs_stays_in_float32(tiny_models) -> None:
    """Behind the last block but one only [CLS] is left, so that nothing is rounded there."""
    from ig_worker.explain.fused import FusedEngine

    classifier = load(tiny_models["bert"])
    cases = problems(classifier)[:4]
    exact, rounded, tf32 = (
        FusedEngine(classifier.split("block:1", precision), fixed_rule("gausslegendre", 3), SHAPE).explain(cases)
        for precision in ("float32", "bfloat16", "tf32")
    )
    for a, b, c in zip(exact, rounded, tf32, strict=True):
        np.testing.assert_array_equal(a.attributions, b.attributions)
        np.testing.assert_array_equal(a.attributions, c.attributions)


@pytest.mark.parametrize(("precision", "on"), [("tf32", True), ("bfloat16", False), ("float32", False)])
def test_tf32_is_switched_on_only_where_it_is_asked_for(tiny_models, precision: str, on: bool) -> None:
    from ig_worker.explain.fused import FusedEngine
    from ig_worker.explain.in_tf32 import in_precision
    from ig_worker.models.runtime import configure, tf

    configure()
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    classifier, seen = load(tiny_models["bert"]), []
    engine = FusedEngine(classifier.split("embeddings"), fixed_rule("gausslegendre", 3), SHAPE)
    cases = problems(classifier)[:2]
    before, plain = engine.explain(cases), engine.explain
    engine.explain = lambda problems: (seen.append(enabled()), plain(problems))[1]  # type: ignore[method-assign]
    for a, b in zip(in_precision(engine, precision).explain(cases), before, strict=True):  # on a CPU it has no effect
        np.testing.assert_array_equal(a.attributions, b.attributions)
    assert seen == [on]
    assert not enabled()


def test_programs_that_are_shared_stay_in_tf32_and_errors_switch_it_off() -> None:
    from ig_worker.explain.in_tf32 import in_precision
    from ig_worker.models.runtime import tf

    enabled = tf.config.experimental.tensor_float_32_execution_enabled

    class Programs:
        spared = 3

        def shared(self, shape: int) -> Programs:
            return Programs()

        def open(self) -> bool:
            return bool(enabled())

        def fail(self) -> None:
            raise ValueError("spoiled")

    switched = in_precision(Programs(), "tf32")
    assert switched.open()
    assert switched.shared(1).open()
    assert switched.spared == 3
    with pytest.raises(ValueError, match="spoiled"):
        switched.fail()
    assert not enabled()
