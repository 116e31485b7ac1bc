"""The connection to Ray: a cluster that is there, or a local one for the time of a run."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from ig_worker.errors import UsageError
from ig_worker.run import logs
from ig_worker.run.config import ExplainConfig, actor_range

_OBJECT_STORE_BYTES = 200_000_000  # nothing but small records passes through it
_ENVIRONMENT = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TOKENIZERS_PARALLELISM": "false"}
_keeping = False


@contextmanager
def kept() -> Iterator[None]:
    """Let the first connection made within the context serve all others there, and end it at the end.

    Ray 2.60 leaves the senders of a process's earlier connections at work: from the third on, metrics count double.
    """
    global _keeping
    _keeping = True
    try:
        yield
    finally:
        _keeping = False
        ray.shutdown()  # which does nothing where there is no connection


@contextmanager
def cluster(config: ExplainConfig) -> Iterator[tuple[int, int]]:
    """A Ray connection: the cluster of `--address` or RAY_ADDRESS, or a local one for the time of the run.

    Yields the fewest and the most actors to use there.

    Raises:
        UsageError: no cluster at that address, or a local one on which no actor could ever run.
    """
    local = config.address is None and "RAY_ADDRESS" not in os.environ
    if not (_keeping and ray.is_initialized()):
        _connect(config, local)
    try:
        resources = ray.cluster_resources()
        if local and (config.gpus_per_actor or 0) > resources.get("GPU", 0):
            raise UsageError(
                f"--gpus-per-actor is {config.gpus_per_actor:g} and Ray sees {resources.get('GPU', 0):g} GPUs here",
                remedy="set --gpus-per-actor 0, or give a cluster's --address",
            )
        yield actor_range(config.actors, default=max(1, int(resources.get("CPU", 1)) // config.cpus_per_actor))
    finally:
        if not _keeping:
            ray.shutdown()


def _connect(config: ExplainConfig, local: bool) -> None:
    options: dict[str, Any] = {"runtime_env": {"env_vars": _ENVIRONMENT | logs.environment()}, "log_to_driver": False}
    if local:
        _, most = actor_range(config.actors, default=1)
        # More actors than cores is the user's choice to make; Ray would wait for cores that never come.
        cpus = max(os.cpu_count() or 1, most * config.cpus_per_actor)
        options |= {"num_cpus": cpus, "object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address="local" if local else config.address, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        address = config.address or os.environ.get("RAY_ADDRESS", "this machine")
        raise UsageError(
            f"no Ray cluster at {address} ({' '.join(str(error).split())[:400]})",
            remedy="start one, or leave out --address and RAY_ADDRESS for a local one",
        ) from error
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():  # Ray puts its own in place, which end the driver without a word
            signal.signal(number, handler)
