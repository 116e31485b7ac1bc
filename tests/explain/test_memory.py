"""Batches that do not fit into memory are halved, and the numbers stay the same; programs are traced once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ig_worker.explain.explanation import Explanation, relative_l1
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.rules import fixed_rule
from tests.explain import engines
from tests.explain.engines import SHAPE, load, problems


class Failing:
    """A program that runs out of memory above a number of evaluations; its batches are counted."""

    def __init__(self, program: Callable[..., Any], most: int, evaluations: Callable[..., int], error: Any) -> None:
        self._program, self._most, self._evaluations, self._error = program, most, evaluations, error
        self.fitted: list[int] = []
        self.failed: list[int] = []

    def __call__(self, *arguments: Any) -> Any:
        size = self._evaluations(*arguments)
        (self.failed if size > self._most else self.fitted).append(size)
        if size > self._most:
            raise self._error
        return self._program(*arguments)


def exhausted() -> Exception:
    from ig_worker.models.runtime import tf

    return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def fused(model: Path, most: int = 10**9, error: Any = None) -> tuple[Any, list[Failing]]:
    """The fused engine, and its programs for contributions as they are made."""
    from ig_worker.explain.fused import FusedEngine

    made: list[Failing] = []
    network = load(model).split("embeddings")

    class Tight(FusedEngine):
        def _programs(self, rows: int, length: int, *, several: bool = False) -> tuple[Any, Any]:
            ends, contributions = traced(model)._programs(rows, length, several=several)
            if (rows, length, several) not in self._compiled:
                made.append(Failing(contributions, most, lambda *arguments: len(arguments[-1]), error or exhausted()))
                self._compiled[rows, length, several] = made[-1]
            return ends, self._compiled[rows, length, several]

    return Tight(network, fixed_rule("gausslegendre", 7), SHAPE), made


@cache
def traced(model: Path) -> Any:
    """An engine whose programs all fused engines here share: tracing them takes seconds."""
    from ig_worker.explain.fused import FusedEngine

    return FusedEngine(load(model).split("embeddings"), fixed_rule("gausslegendre", 7), SHAPE)


def adaptive(model: Path, most: int = 10**9, error: Any = None, **options: Any) -> tuple[Any, dict[str, Failing]]:
    """The adaptive engine, and those of its programs that take batches."""
    # Enough evaluations for any text.
    engine = engines.adaptive(model, "embeddings", 0.005, 1000, shape=BatchShape(8, 480), **options)
    sizes = {
        "_ends": lambda ids, *_: len(ids),
        "_vectors": lambda *arguments: len(arguments[-1]),
        "_whole": lambda starts, steps, mask, rows, alphas, *_: alphas.size,
        "_pull": lambda *arguments: len(arguments[-1]),
    }
    programs = engine._programs
    wrapped = {name: Failing(getattr(programs, name), most, size, error or exhausted()) for name, size in sizes.items()}
    for name, program in wrapped.items():
        setattr(programs, name, program)
    return engine, wrapped


def assert_equal(ours: list[Explanation], theirs: list[Explanation]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert relative_l1(a.attributions, b.attributions) <= 1e-5
        assert (a.target, a.status) == (b.target, b.status)


def test_a_batch_that_does_not_fit_is_halved_and_the_smaller_one_is_remembered(tiny_models, caplog) -> None:
    model = tiny_models["distilbert"]
    cases = problems(load(model))
    plain, _ = fused(model)
    tight, programs = fused(model, most=4)
    with caplog.at_level(logging.WARNING, "ig_worker.explain"):
        assert_equal(tight.explain(cases), plain.explain(cases))
    # 12 rows of 8 tokens, then 6, then 3, which are 24 tokens: no batch of any length fails again.
    assert [program.failed for program in programs if program.failed] == [[12], [6]]
    assert {size for program in programs for size in program.fitted} == {3, 1}
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory: batches are now up to 3 texts of 8 tokens, not 12"
    ]
    tight.explain(cases)
    assert sum(len(program.failed) for program in programs) == 2


@pytest.mark.parametrize(("most", "whole", "keep_hidden"), [(20, True, False), (20, True, True), (5, False, True)])
def test_paths_are_integrated_in_smaller_batches(tiny_models, most: int, whole: bool, keep_hidden: bool) -> None:
    model = tiny_models["distilbert"]
    cases = problems(load(model))[:8]
    plain, _ = adaptive(model, keep_hidden=keep_hidden)
    tight, programs = adaptive(model, most, keep_hidden=keep_hidden)
    theirs, ours = plain.explain(cases), tight.explain(cases)
    assert_equal(ours, theirs)
    failed = sum(len(program.failed) for program in programs.values())
    assert 1 <= failed <= 6, "halved from at most 60"
    assert bool(programs["_whole"].fitted) == whole, "several sections are parted before one is"
    if not whole:  # then forward passes come twice
        assert programs["_pull"].fitted
        assert all(a.evaluations > b.evaluations for a, b in zip(ours, theirs, strict=True))
    if keep_hidden:
        np.testing.assert_allclose(ours[0].hidden.sum(axis=1), ours[0].attributions, atol=1e-6)
    tight.explain(cases)
    assert sum(len(program.failed) for program in programs.values()) == failed, "the smaller size was forgotten"


@pytest.mark.parametrize("make", [fused, adaptive])
def test_one_evaluation_that_does_not_fit_ends_in_the_error(tiny_models, make) -> None:
    from ig_worker.models.runtime import tf

    model = tiny_models["distilbert"]
    cases = problems(load(model))[:3]
    engine, _ = make(model, most=0)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        engine.explain(cases)
    engine, _ = make(model, most=0, error=MemoryError())
    with pytest.raises(MemoryError):
        engine.explain(cases)


@pytest.mark.parametrize("make", [fused, adaptive])
def test_other_errors_are_not_tried_again(tiny_models, make) -> None:
    model = tiny_models["distilbert"]
    engine, programs = make(model, most=0, error=ValueError("something else"))
    with pytest.raises(ValueError, match="something else"):
        engine.explain(problems(load(model))[:3])
    made = programs.values() if isinstance(programs, dict) else programs
    assert sum(len(program.failed) for program in made) == 1


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "distilbert-head"])
def test_every_program_is_traced_once_whatever_the_lengths_rows_and_nodes(tiny_models, architecture: str) -> None:
    from ig_worker.explain.paths import PathPrograms
    from ig_worker.explain.product import STRAIGHT, Spread
    from ig_worker.explain.sections import Section

    classifier = load(tiny_models[architecture])
    programs = PathPrograms(classifier.split("embeddings"), BatchShape(8, 96))
    cases = problems(classifier, "plain" if architecture.endswith("head") else "bert")
    for count, length, n, targets in [(1, 24, 6, 1), (2, 24, 8, 1), (3, 40, 20, 1), (4, 32, 12, 2), (3, 40, 20, 3)]:
        at_input, at_baseline = programs.open(cases[:count], length)
        programs.probabilities(at_input)
        programs.vectors([0] * count, [0.5] * count)
        weights = np.ones((targets, 2), np.float32)
        sections = [Section(i, weights, 0.0, 1.0, at_baseline[i], at_input[i]) for i in range(count)]
        for spread in (Spread(), STRAIGHT):
            programs.integrate(sections, n, spread, length)
    names = ("ends", "whole_text", "vectors", "whole", "cotangents", "pull", "readout")
    names += ("whole_several", "cotangents_several", "pull_several")
    traced = {name: getattr(programs, f"_{name}").experimental_get_tracing_count() for name in names}
    assert set(traced.values()) == {1}, traced
