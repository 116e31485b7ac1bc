"""Whether model, configuration and what lies in a run go together, as far as that can be known without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ig_worker.data.sources import DataSpec, Documents
from ig_worker.errors import RunDamagedError, UsageError
from ig_worker.explain.precision import FLOAT32
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.models.layers import CLASSES, VALUES, layer_depth
from ig_worker.models.shape import AUTO
from ig_worker.run.config import ActorSettings, ExplainConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.cluster_address import is_connected, is_local, wanted_cluster
from ig_worker.run.dispatch.local_machine import check_surroundings
from ig_worker.run.steps.prepare import Prepared
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_store import RunStore
from ig_worker.run.targets import target_setting

_MANY = 6  # classes, of which models that give several at once begin to be common
C = TypeVar("C", ExplainConfig, ActorSettings)


def check_model(config: ExplainConfig, files: ModelFiles) -> None:
    """What can be known to be wrong with model and settings before TensorFlow is loaded."""
    shape = files.shape
    if shape.head is not None and (config.text_style, config.max_length) != ("plain", shape.head.length):
        raise UsageError(
            f"--text-style is {config.text_style} and --max-length {config.max_length}, "
            f"but this model's head reads {shape.head.length} positions, padding included",
            remedy=f"set --text-style plain --max-length {shape.head.length}",
        )
    layer_depth(config.layer, shape.blocks)
    if config.max_length > shape.longest:
        raise UsageError(
            f"--max-length is {config.max_length}", expected=f"at most {shape.longest}, the model's longest input"
        )
    target_setting(config, shape)


def spec_for(config: ExplainConfig, files: ModelFiles) -> DataSpec:
    """The data as a model can use it: a label that is a number is that of one output."""
    return replace(config.spec(), label_column="") if _several_numbers(files) else config.spec()


def _several_numbers(files: ModelFiles) -> bool:
    return files.shape.outputs == VALUES and files.shape.logits > 1


def assumptions(config: ExplainConfig, files: ModelFiles, documents: Documents) -> list[str]:
    """What a run takes for granted and nobody has said, a line each, for whoever starts it."""
    assumed = list(documents.notes)
    shape = files.shape
    if shape.logits == 1 and shape.outputs == CLASSES and config.outputs == AUTO:
        below = ", and rows below 0.5 are explained for class 0 (--target 1: none)"
        assumed.append(
            "the model has one logit: its sigmoid is taken for the probability of class 1"
            f"{below if config.target == 'predicted' else ''}; --outputs regression explains the number itself "
            "(--outputs single-label says that this is right)"
        )
    if shape.outputs == CLASSES and shape.assumed and shape.logits >= _MANY:
        assumed.append(
            f"the model's config.json has no problem_type: its {shape.logits} classes are taken to exclude each other; "
            "--outputs multi-label gives each a probability of its own (--outputs single-label says that this is right)"
        )
    if _several_numbers(files):
        assumed.append(f"the model gives {shape.logits} numbers for a text; what the data says of it is left aside")
    return assumed


def check_ray(address: str | None, deadline: Deadline) -> None:
    """What can be known to be in Ray's way before anything is started.

    Args:
        address: of the cluster, as `--address` has it.
        deadline: of the job.

    Raises:
        UsageError: no cluster answers there, or a local Ray could not start.
        RunStoppedError: the deadline has passed.
    """
    if is_connected():
        return
    wanted = wanted_cluster(address, os.environ)
    if wanted is None:
        check_surroundings()
    else:
        from ig_worker.run.dispatch.cluster import reach  # Ray takes a second to import

        reach(wanted, deadline)


def with_gpus(config: C) -> C:
    """A configuration with its number of GPUs an actor decided: one where this machine has any, unless it is told.

    On a cluster the driver's machine says nothing of the workers', so there none is the default.
    """
    if config.gpus_per_actor is not None:
        return config
    found = is_local(config.address, os.environ) and any(Path("/dev").glob("nvidia[0-9]*"))
    return replace(config, gpus_per_actor=1.0 if found else 0.0)


def settings_of(manifest: Mapping[str, Any], model: str | None = None) -> tuple[ExplainConfig, ModelFiles]:
    """The configuration in a run.json that has results, and the files of the run's model.

    Args:
        manifest: the content of run.json. Its precision is the one that was chosen.
        model: where the model is now; None is where it was.

    Raises:
        UsageError: the model is gone, or is another one.
    """
    known = {setting.name for setting in fields(ExplainConfig)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value  # JSON has no tuples, and a list cannot be hashed
        for name, value in manifest["config"].items()
        if name in known
    }
    values["precision"] = manifest["identity"].get("precision", FLOAT32)  # that was chosen
    config = ExplainConfig(**values | ({"model": model} if model else {}))
    files = find_model(config.model, config.revision, outputs=config.outputs)
    identity = manifest["identity"]
    if (files.weights_digest, files.tokenizer_digest) != (identity["weights"], identity["tokenizer"]):
        raise UsageError(
            f"{config.model} is not the model of this run: its weights or its tokenizer differ",
            remedy="give the right one by --model",
        )
    return config, files


def check_commits(
    store: RunStore, commits: Mapping[int, Commit], fingerprint: str, prepared: Prepared, chunk_rows: int
) -> None:
    """Whether every committed chunk is of this run and holds each of its rows once.

    Raises:
        RunDamagedError: one does not; the message names it.
    """
    quarantine_files = store.quarantine.names()
    for index, commit in sorted(commits.items()):
        found = commit.rows + len(commit.quarantined)
        if commit.fingerprint != fingerprint or index >= prepared.chunks:
            fault = "belongs to another run"
        elif found != prepared.rows_of(index, chunk_rows):
            fault = f"has {found} rows, its input chunk {prepared.rows_of(index, chunk_rows)}"
        elif commit.quarantine_file and commit.quarantine_file not in quarantine_files:
            fault = f"names {commit.quarantine_file} in quarantine, which is gone"
        else:
            continue
        raise RunDamagedError(
            f"chunk {index:05d} in {store.place}/attributions {fault}",
            remedy="delete that file and run jobs.explain again to remake it",
        )


def missing_chunks(chunks: int, committed: Iterable[int]) -> list[int]:
    """Chunks that have no committed result, in order: what a run, new or resumed, has to do."""
    done = set(committed)
    return [index for index in range(chunks) if index not in done]


def over_budget(quarantined: int, rows: int, budget: str) -> bool:
    """Whether more rows are quarantined than `--max-quarantined` allows: a number, or a share such as 5%."""
    if budget.endswith("%"):
        return quarantined > float(budget[:-1]) / 100 * rows
    return quarantined > int(budget)
