"""How many tokens belong into one batch of evaluations: measured once for a device, a network and its shape."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ig_worker.data.access import cache_folder
from ig_worker.errors import UsageError
from ig_worker.explain.integrals import open_paths
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.paths import PathPrograms
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import Spread
from ig_worker.explain.targets import Target
from ig_worker.models.encoders import counting_of
from ig_worker.models.environment import ONEDNN
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import NetworkShape
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import tf

log = logging.getLogger(__name__)

CPU_CANDIDATES = (512, 1024, 2048, 4096)  # tokens
GPU_CANDIDATES = (4096, 8192, 16384, 32768, 65536, 131072)
CPU_GUESS, GPU_GUESS = 2048, 32768
_SWEEP, _EACH = 120, 10  # evaluations that the sweep takes, and a row, about
_NODES = 6
_LENGTH = 192  # tokens, about an IMDB review's
_GAIN = 0.03  # by which a larger batch has to be faster


def worth_measuring(rows: int) -> bool:
    """Whether the sweep takes at most a tenth of the evaluations of so many rows."""
    return rows * _EACH / 10 >= _SWEEP


def guess(device: str) -> int:
    """Tokens in one batch that are not far from the best on most devices of a kind."""
    return CPU_GUESS if device == "cpu" else GPU_GUESS


def suitable_batch(
    network: SplitNetwork, shape: NetworkShape, device: str, longest: int, precision: str, rows: int | None = None
) -> int:
    """Tokens in one batch of evaluations on this device: measured by a short sweep, and remembered.

    A run too small for the sweep takes what is remembered, or a guess.

    Args:
        network: the classifier, cut at the layer.
        shape: its sizes.
        device: its name, as `models.runtime.device_kind` gives it.
        longest: the longest input of the run, in tokens.
        precision: of the network's matrix products.
        rows: of the run; None: it is worth measuring.
    """
    kind = device, os.cpu_count(), os.environ.get(ONEDNN)
    key = hashlib.sha256(repr((*kind, shape, longest, precision)).encode()).hexdigest()
    known = _read_cache()
    if key not in known:
        if rows is not None and not worth_measuring(rows):
            return guess(device)
        length = min(longest, _LENGTH)
        candidates = CPU_CANDIDATES if device == "cpu" else GPU_CANDIDATES
        programs = PathPrograms(network, BatchShape())  # traced once for all sizes
        known[key] = choose(candidates, lambda tokens: _seconds(programs, shape, length, tokens))
        _write_cache(known)
    return known[key]


def choose(candidates: Sequence[int], seconds: Callable[[int], float]) -> int:
    """The smallest candidate that no larger one beats clearly; the sweep ends where it gets slower or memory ends.

    Args:
        candidates: tokens in a batch, ascending.
        seconds: time of one evaluation in batches of that size, in seconds.
    """
    best, least = candidates[0], seconds(candidates[0])
    for tokens in candidates[1:]:
        try:
            taken = seconds(tokens)
        except (MemoryError, tf.errors.ResourceExhaustedError):
            log.info("a batch of %d tokens is too large here", tokens)
            break
        if taken < least * (1 - _GAIN):
            best, least = tokens, taken
        elif taken > least * 1.2:
            break
    return best


def _seconds(programs: PathPrograms, shape: NetworkShape, length: int, tokens: int) -> float:
    """Time of one evaluation, the better of two tries after one that warms up."""
    ids = np.random.default_rng(0).integers(0, shape.vocabulary, length).astype(np.int32)
    problem = Problem(ModelInput.single(ids, counting=counting_of(shape)), np.zeros_like(ids), Target(0))
    programs = programs.shared(BatchShape(1, max(tokens, _NODES * length)))
    texts = max(1, tokens // (_NODES * length))
    sections = [open_paths(programs, [problem], length)[0].section()] * texts

    def once() -> float:
        started = time.perf_counter()
        programs.integrate(sections, _NODES, Spread(), length)
        return time.perf_counter() - started

    once()
    return min(once(), once()) / (texts * _NODES)


def _cache_file() -> Path:
    return cache_folder() / "batch_tokens.json"


def _read_cache() -> dict[str, int]:
    try:
        content = json.loads(_cache_file().read_text())
        return {str(key): int(value) for key, value in content.items() if int(value) > 0}
    except (OSError, ValueError, TypeError, AttributeError, UsageError):
        return {}  # nothing there, or nothing that can be used: measure


def _write_cache(known: dict[str, int]) -> None:
    try:
        path = _cache_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(known))
        os.replace(scratch, path)
    except (OSError, UsageError) as error:
        log.info("the measured batch is not remembered: %s", error)
