"""Engines of the tiny networks. Tracing programs takes seconds: engines of one network and layer share them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ig_worker.explain.packing import BatchShape
from tests.explain.test_conformance import SHAPE, load


@cache
def _programs(directory: Path, layer: str, keep_hidden: bool) -> Any:
    from ig_worker.explain.paths import PathPrograms

    return PathPrograms(load(directory).split(layer), SHAPE, keep_hidden=keep_hidden)


def adaptive(directory: Path, layer: str, *settings: Any, shape: BatchShape = SHAPE, keep_hidden: bool = False) -> Any:
    """An adaptive engine; `settings` are its tolerance and its limit of evaluations."""
    from ig_worker.explain.adaptive import AdaptiveEngine

    programs = _programs(directory, layer, keep_hidden)
    return AdaptiveEngine(
        load(directory).split(layer), *settings, shape=shape, keep_hidden=keep_hidden, programs=programs
    )


def refined(directory: Path, layer: str) -> Any:
    """The refined reference."""
    from ig_worker.explain.refined import RefinedEngine

    return RefinedEngine(load(directory).split(layer), SHAPE, _programs(directory, layer, False))
