"""What a training will need of memory and disk, roughly, and whether the machine has it: decided before it starts."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ig_worker.errors import StorageError, UsageError
from ig_worker.models.layers import NetworkShape
from ig_worker.models.recipes import Recipe

_FLOAT = 4  # bytes of a float32
_RUNTIME_BYTES = 1_200_000_000  # Python, TensorFlow and transformers with 50,000 reviews, measured
_CHECKPOINTS = 2  # the last one, and the one that is being written
GIB = 2**30


@dataclass(frozen=True)
class Needs:
    """Bytes."""

    memory: int
    disk: int


def parameter_count(shape: NetworkShape) -> int:
    """Weights of an encoder with its [CLS] head, roughly; feed-forward layers are taken as four times as wide."""
    embeddings = (shape.vocabulary + shape.positions) * shape.hidden
    return embeddings + (shape.blocks * 12 + 1) * shape.hidden**2


def feature_bytes(rows: int, length: int, hidden: int) -> int:
    """Bytes of an encoder's last hidden states, float32 [rows, length, hidden]."""
    return rows * length * hidden * _FLOAT


def training_needs(shape: NetworkShape, recipe: Recipe, rows: int) -> Needs:
    """Memory and disk of training by `recipe` on `rows` texts.

    Adam keeps four numbers for each trained weight (itself, gradient, two moments), a checkpoint keeps three.
    Activations: 34 b·t·h + 5 b·a·t² numbers of 2 bytes for each block, here of 4 (Korthikanti et al. 2022,
    arXiv:2205.05198), for b texts of t tokens, width h and a heads. A frozen encoder is in memory twice while it is
    loaded.
    """
    encoder = parameter_count(shape)
    cells = recipe.batch_rows * recipe.max_length
    if recipe.head is None:
        activations = shape.blocks * 2 * cells * (34 * shape.hidden + 5 * shape.heads * recipe.max_length)
        memory = encoder * 4 * _FLOAT + activations
        return Needs(_RUNTIME_BYTES + memory, encoder * (3 * _CHECKPOINTS + 1) * _FLOAT)
    head = recipe.max_length * shape.hidden * recipe.head.hidden
    memory = (encoder * 2 + head * 4) * _FLOAT + 3 * feature_bytes(recipe.batch_rows, recipe.max_length, shape.hidden)
    disk = (encoder + head * (3 * _CHECKPOINTS + 1)) * _FLOAT
    return Needs(_RUNTIME_BYTES + memory, disk + feature_bytes(rows, recipe.max_length, shape.hidden))


def available_memory() -> int | None:
    """Bytes that a new process can have without swapping (Linux's MemAvailable); None where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def free_disk(folder: Path) -> int:
    """Bytes free where `folder` is or will be."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def check_memory(needs: Needs, available: int | None, recipe: Recipe) -> None:
    """Raise UsageError where training needs more memory than there is."""
    if available is None or needs.memory <= available:
        return
    smaller = "a --base with fewer blocks" if recipe.base else "fewer --blocks"
    raise UsageError(
        f"training {recipe.name} with --batch-rows {recipe.batch_rows} and --max-length {recipe.max_length} needs "
        f"about {needs.memory / GIB:.1f} GiB of memory, and {available / GIB:.1f} GiB are available",
        expected="that much free memory",
        remedy=f"give a smaller --batch-rows or --max-length, or {smaller}",
    )


def check_disk(needs: Needs, free: int, used: int, folder: Path) -> None:
    """Raise StorageError where scratch files and model need more than is free, with what an earlier start `used`."""
    if needs.disk <= free + used:
        return
    raise StorageError(
        f"training needs about {needs.disk / GIB:.1f} GiB of disk for scratch files and model in {folder.parent}, and "
        f"{(free + used) / GIB:.1f} GiB are free",
        expected="that much free disk",
        remedy="free some, give an --out on another disk, or fewer rows with --limit",
    )
