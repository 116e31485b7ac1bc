"""Which waiting task a worker will probably be given next, so that it can make that ready meanwhile: pure.

A hint is a soft reservation. The worker it was given to comes first; while there are other tasks, nobody else takes
that one; and nothing ever waits for it.
"""

from __future__ import annotations

from collections.abc import Hashable


class Hints:
    """One hint for each worker at most, and one worker for each task."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, Hashable] = {}  # by worker
        self._workers: dict[Hashable, Hashable] = {}  # by task

    def __len__(self) -> int:
        return len(self._workers)

    def __contains__(self, task: Hashable) -> bool:
        return task in self._workers

    def of(self, worker: Hashable) -> Hashable | None:
        """The task that a worker was told of; None where there is none."""
        return self._tasks.get(worker)

    def give(self, worker: Hashable, task: Hashable) -> None:
        """Tell a worker of a task, and nobody else; what it was told before is free again."""
        self.release(worker)
        self.drop(task)
        self._tasks[worker] = task
        self._workers[task] = worker

    def release(self, worker: Hashable) -> Hashable | None:
        """What a worker was told of is free again; returns that, None where there was nothing."""
        task = self._tasks.pop(worker, None)
        self._workers.pop(task, None)
        return task

    def drop(self, task: Hashable) -> None:
        """A task no longer waits."""
        if task in self._workers:
            del self._tasks[self._workers.pop(task)]
