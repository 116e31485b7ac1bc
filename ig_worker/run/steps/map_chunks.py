"""One function over all of a run's chunks: here, or by Ray actors, with the same results in the same order.

Whatever is computed from the results chunk by chunk needs no more than this: a function of the store and of some chunks
whose value is small. The driver's pool tries again what fails, as it does for explaining.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ig_worker.errors import RunDamagedError
from ig_worker.run.deadline import Deadline
from ig_worker.run.dispatch.cluster_address import is_local
from ig_worker.run.dispatch.executor import IN_PROCESS, ON_RAY, ActorSpec, Crew, Executor
from ig_worker.run.dispatch.ledger import Ledger
from ig_worker.run.dispatch.local_machine import usable_cpus
from ig_worker.run.dispatch.map_actor import MapActor
from ig_worker.run.dispatch.runner import Step, work_through
from ig_worker.run.later_config import NONE, ApplyConfig
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_store import RunStore

Chunks = tuple[int, ...]
Apply = Callable[..., Iterator[Any]]  # apply(function, tasks, *more): function(store, task, *more) of each, in order

TASK_ROWS = 2048  # in the chunks of one task, at least; a task of Ray's costs about as much as aggregating ten rows
BIG_RUN_ROWS = 20_000  # from here on a local Ray, which takes 5 s to start, is worth it


def tasks(commits: Mapping[int, Commit]) -> list[Chunks]:
    """The chunks that have rows in tasks of neighbours, each of at least `TASK_ROWS` rows but for the last one.

    They are the same whoever computes them, so that floats are added in one order.
    """
    found: list[list[int]] = [[]]
    filled = 0
    for index in sorted(index for index, commit in commits.items() if commit.rows):
        if filled >= TASK_ROWS:
            found.append([])
            filled = 0
        found[-1].append(index)
        filled += commits[index].rows
    return [tuple(chunks) for chunks in found if chunks]


def wants_actors(config: ApplyConfig, rows: int, environment: Mapping[str, str], cpus: int) -> bool:
    """Whether Ray is used: where a number of actors is named, or where they pay, on a cluster or with a local Ray."""
    if config.actors != "auto":
        return config.actors != NONE
    if not is_local(config.address, environment):
        return rows > TASK_ROWS  # there is more than one task
    return rows >= BIG_RUN_ROWS and cpus > 1


@contextmanager
def applying(store: RunStore, config: ApplyConfig, rows: int, deadline: Deadline | None = None) -> Iterator[Apply]:
    """Something that applies a function to tasks, for the time of the context.

    Args:
        store: the run.
        config: who does it.
        rows: explained rows of the run, by which a local Ray is started or not.
        deadline: when actors have to be done with it; without them it takes its time.

    Raises:
        UsageError: no such cluster.
        RunStoppedError: a task failed again and again, or the deadline has passed.
        RunDamagedError: a file of the run is not what the run wrote.
    """
    config.check()
    executor: Executor = ON_RAY
    if not wants_actors(config, rows, os.environ, usable_cpus()):
        executor, deadline = IN_PROCESS, None
    deadline = deadline or Deadline(None)
    with executor.crew(ActorSpec(MapActor, (store.uri,), config.actor_settings()), deadline) as crew:
        yield lambda function, tasks, *more: _apply(crew, deadline, function, tasks, *more)


def _apply(
    crew: Crew, deadline: Deadline, function: Callable[..., Any], tasks: Sequence[Chunks], *more: Any
) -> Iterator[Any]:
    shared = [crew.share(value) for value in more]
    step = Step(
        order=lambda task: ("apply", function, task, *shared),
        failed="chunks {task} failed again and again",
        remedy="mend the cause and run the same command again",
    )
    waiting, done = list(tasks), {}  # results that are there before an earlier one is
    for event in work_through(crew, Ledger(tasks, alike=False), step, deadline.check):
        done[event.task] = _value(event.record)
        while waiting and waiting[0] in done:
            yield done.pop(waiting.pop(0))


def _value(record: Any) -> Any:
    """What a task found; a damaged file is damaged for everyone, so it is not tried again."""
    if isinstance(record, RunDamagedError):
        raise record
    return record
