"""Tiny networks, problems for them, and engines.

Tracing programs takes seconds: engines of one network and layer share them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ig_worker.explain.baselines import BASELINES, SpecialIds, baseline_ids
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem, Target

TEXTS = (
    "the film was not very good",
    "a great movie ! joy , joy , unending joy ; i was never boring",
    "dull",
    "the plot is bad but the actors ' acting was great and it ends slow - - awful / zzz zzz",
)
SHAPE = BatchShape(length_multiple=8, batch_tokens=96)  # small, so that problems are split over several batches


@cache
def load(directory: Path):
    from ig_worker.models.classifier import load_classifier
    from ig_worker.models.files import find_model

    return load_classifier(find_model(str(directory)))


def problems(classifier, style: str = "bert") -> list[Problem]:
    """Every text with every baseline, explaining the predicted class and, in turn, class 0."""
    from ig_worker.models.tokenize import TextEncoder

    special = SpecialIds.of(classifier.tokenizer)
    encoded = TextEncoder(classifier.tokenizer, style, 24).encode(TEXTS)
    return [
        Problem(t.inputs, baseline_ids(t.inputs.ids, kind, special), Target(None if i % 2 else 0))
        for kind in BASELINES
        for i, t in enumerate(encoded)
    ]


@cache
def _programs(directory: Path, layer: str, keep_hidden: bool) -> Any:
    from ig_worker.explain.paths import PathPrograms

    return PathPrograms(load(directory).split(layer), SHAPE, keep_hidden=keep_hidden)


def adaptive(
    directory: Path, layer: str, *settings: Any, shape: BatchShape = SHAPE, keep_hidden: bool = False, lanes: int = 1
) -> Any:
    """An adaptive engine; `settings` are its tolerance and its limit of evaluations."""
    from ig_worker.explain.adaptive import AdaptiveEngine

    programs = _programs(directory, layer, keep_hidden)
    return AdaptiveEngine(
        load(directory).split(layer), *settings, shape=shape, keep_hidden=keep_hidden, programs=programs, lanes=lanes
    )


def refined(directory: Path, layer: str) -> Any:
    """The refined reference."""
    from ig_worker.explain.refined import RefinedEngine

    return RefinedEngine(load(directory).split(layer), SHAPE, _programs(directory, layer, False))
